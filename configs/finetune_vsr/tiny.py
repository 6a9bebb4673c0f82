"""Our compact video network, finetuned on what coarse scenes look like.

    python -m experiments.finetune_vsr --config=configs/finetune_vsr/tiny.py \
        --workdir=runs/finetuned_video

Pairs of six procedural desks, of twelve that photographs cover and of the two
captures of `train/scenes` are made first, and one desk is held out; then
follows phase A on two cores. `smoke` learns one small clip by heart.

Further words: `desks` takes the first six alone, for which no data is needed;
`b` adds a small judge of phase B; and what `paper.py` calls ablations. Pairs
take 7 minutes, training 8, on two cores. What it brings on captures that it has
not seen is in docs/results/supergaussian.md.
"""

from ml_collections import ConfigDict

from configs.finetune_vsr import own, words
from configs.vsr_pairs import tiny as pairs

HELD_OUT = 'desk6'
MIX = {'desk': 0.1, 'photo': 0.6, 'monstree|maryrose': 0.3}  # of the cuts


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; words: `smoke`, `desks`, `b` and ablations."""
  asked = words.parse(arg, ('smoke', 'desks', 'b'))
  config = ConfigDict(
    {
      'seed': 0,
      'network': own.get_config('tiny').network,
      'start': 'shipped',
      'pairs': pairs.get_config('' if 'desks' in asked else 'captures'),
      'batches': {
        'name': 'clip_pairs',
        'roots': (),
        'scale': 4,
        'patch': 32,
        'num_frames': 5,
        'batch_size': 4,
        'strides': (1, 2),
        'held_out': (HELD_OUT,),
        'num_splats': (0, 1_000_000),
        'photo_share': 0.0,
        'augment': ('flip_rows', 'flip_columns', 'transpose', 'reverse'),
        'seed': 0,
      },
      'loss': {
        'charbonnier': 10.0,
        'clean': 0.0,
        'flow': 0.0,
        'eps': 0.2,
        'temporal': 0.0,
      },
      'perceptual': {'weight': 0.0, 'backbone': 'alex', 'weights': ''},
      'adversarial': {'weight': 0.0, 'start': 0, 'r1': 0.0, 'r1_every': 16},
      'judge': {'name': 'unet', 'channels': 16, 'dtype': 'float32'},
      'judge_optimizer': {
        'learning_rate': 1e-4,
        'num_steps': 600,
        'decay': 0.99,
      },
      'optimizer': {
        'learning_rate': 4e-4,
        'num_steps': 600,
        'warmup': 20,
        'clip_norm': 1.0,
        'decay': 0.99,
        'rates': {'spynet': 0.25},
        'frozen': {'spynet': 300},
      },
      'train': {'num_steps': 600, 'chunk': 50, 'ema_decay': 0.99},
      'validation': {'every': 200, 'num_frames': 10, 'num_clips': 2},
      'lifted': words.lifted(
        desk0={
          'name': 'procedural',
          'width': 256,
          'height': 192,
          'num_train': 24,
          'num_test': 4,
        }
      ),
    }
  )
  config.lifted.softness = 0.6  # amid those of the pairs
  if 'b' in asked:
    config.adversarial.weight = 0.05
  if not {'desks', 'smoke'} & set(asked):
    config.batches.sources = dict(MIX)
  if 'smoke' in asked:
    _shrink(config)
  words.ablate(config, asked)
  return config


def _shrink(config: ConfigDict) -> None:
  """Makes all of it run in two minutes: one small clip is learnt by heart."""
  desk = dict(
    name='procedural', width=64, height=64, num_train=4, num_test=0,
    supersample=2, num_points=400,
  )  # fmt: skip
  small = pairs.get_config('smoke')
  small.sources = {name: {**desk, 'seed': i} for i, name in enumerate('ab', 1)}
  small.drawn = {'num_splats': (1500,), 'num_steps': (200,), 'softness': (0.0,)}
  small.fitting.refine_stop = 150
  config.pairs = small
  config.start = ''
  config.loss.eps = 1e-6
  config.network.update(
    channels=16, num_blocks=3, fine_channels=32, flow_channels=(8, 8, 8, 8),
    flow_levels=3, unroll=4,
  )  # fmt: skip
  config.batches.update(
    patch=16, num_frames=4, batch_size=1, strides=(1,), held_out=('b',),
    augment=(),
  )  # fmt: skip
  for section in (config.optimizer, config.judge_optimizer, config.train):
    section.num_steps = 200
  config.optimizer.update(learning_rate=4e-3, frozen={'spynet': 20})
  config.train.chunk = 20
  config.validation.update(every=100, num_frames=4, num_clips=1)
  config.judge.channels = 4
  config.lifted.scenes = {}
