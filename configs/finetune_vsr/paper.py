"""RealBasicVSR, finetuned by SuperGaussian's recipe, on a data-centre GPU.

    python -m experiments.finetune_vsr \
        --config=configs/finetune_vsr/paper.py:a --workdir=runs/phase_a
    python -m experiments.finetune_vsr \
        --config=configs/finetune_vsr/paper.py:b --workdir=runs/phase_b \
        --config.start=RUNS/phase_a/weights.npz

where RUNS is the absolute path of `runs`.

`a` is Charbonnier 10 and cleaning 1, 10,000 steps; `b` adds LPIPS 15, of the
user's weights (docs/weights.md), and a judge 0.05, 30,000 steps. Clips are 12
whole frames of 64 px; make them by experiments.make_vsr_pairs with
configs/vsr_pairs, or give `batches.roots`. Not run yet: no numbers.

Ablations: `scratch`; `still_flow`, `free_flow`; `single`, one frame; `unclean`
(from scratch or from weights without cleaning); `steady`; `no_charbonnier`,
`no_lpips`, `no_gan`; `patches`, a 3D judge with R1; `photos`, whose coarse
clips are shrunk photos alone, and `mixed`, a quarter; `few_splats`,
`many_splats`. The mix of sources is `batches.sources`, {pattern: weight}.
"""

from ml_collections import ConfigDict

from configs.finetune_vsr import words

STEPS = {'a': 10_000, 'b': 30_000}


def get_config(arg: str = 'a') -> ConfigDict:
  """Returns the config; words: a phase, `a` or `b`, and ablations."""
  asked = words.parse(arg, tuple(STEPS))
  if len(asked & STEPS.keys()) > 1:
    raise ValueError(f'a run is of one phase, a or b, got {arg!r}')
  phase = 'b' if 'b' in asked else 'a'
  num_steps = STEPS[phase]
  config = ConfigDict(
    {
      'seed': 0,
      'network': {
        'channels': 64,
        'num_blocks': 20,
        'fine_channels': 64,
        'clean_blocks': 20,
        'max_cleanings': 1,
        'unroll': 1,
        'remat': True,
        'dtype': 'bfloat16',
      },
      'start': 'weights/realbasicvsr.safetensors',
      'pairs': {},
      'batches': {
        'name': 'clip_pairs',
        'roots': ('train/vsr_pairs',),
        'scale': 4,
        'patch': 64,
        'num_frames': 12,
        'batch_size': 8,
        'strides': (1, 2),
        'held_out': ('held_out',),
        'num_splats': (0, 1_000_000),
        'photo_share': 0.0,
        'seed': 0,
      },
      'loss': {
        'charbonnier': 10.0,
        'clean': 1.0,
        'flow': 0.0,
        'eps': 1e-6,
        'temporal': 0.0,
      },
      'perceptual': {
        'weight': 15.0 if phase == 'b' else 0.0,
        'backbone': 'vgg',
        'weights': 'weights/lpips_vgg.safetensors' if phase == 'b' else '',
      },
      'adversarial': {
        'weight': 0.05 if phase == 'b' else 0.0,
        'start': 0,
        'r1': 0.0,
        'r1_every': 16,
      },
      'judge': {'name': 'unet', 'channels': 64, 'dtype': 'bfloat16'},
      # The rate would be halved after the last step: it stays.
      'judge_optimizer': {
        'learning_rate': 1e-4,
        'num_steps': num_steps,
        'milestones': (num_steps,),
        'decay': 0.99,
      },
      'optimizer': {
        'learning_rate': 5e-5,
        'num_steps': num_steps,
        'milestones': (num_steps,),
        'clip_norm': 1.0,
        'decay': 0.99,
        'rates': {'spynet': 0.25},
        'frozen': {'spynet': 5000},
      },
      'train': {'num_steps': num_steps, 'chunk': 100, 'ema_decay': 0.999},
      'validation': {'every': 1000, 'num_frames': 12, 'num_clips': 32},
      'lifted': words.lifted(),
    }
  )
  words.ablate(config, asked)
  return config
