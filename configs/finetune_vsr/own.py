"""Our compact video network, x4, from scratch, on films and moving photographs.

    python -m experiments.finetune_vsr \
        --config=configs/finetune_vsr/own.py:tiny,flow --workdir=runs/flow
    python -m experiments.finetune_vsr \
        --config=configs/finetune_vsr/own.py:tiny \
        --config.start=$PWD/runs/flow/weights.npz --workdir=runs/own_video

The flow comes first, alone, from photographs whose motion is known: beside the
colours it is hardly learnt. Then all learn together.

Sizes: `tiny`, two cores; `base`, one data-centre GPU; `paper`, BasicVSR's own
size; `smoke`, a minute. `still` shows single frames, from which the same
network can learn nothing of time. The two runs of `tiny` made the shipped
weights in 9 and 39 minutes, see sr3d_jax/weights/README.md.
"""

from ml_collections import ConfigDict

# channels, blocks, fine channels, flow's channels and levels
NETWORKS = {
  'smoke': (4, 1, 4, (4, 4, 4, 4), 3),
  'tiny': (32, 5, 24, (16, 32, 16, 8), 4),
  'base': (48, 10, 48, (32, 64, 32, 16), 5),
  'paper': (64, 30, 64, (32, 64, 32, 16), 6),
}
# coarse patch, frames, clips, steps, learning rate
RUNS = {
  'smoke': (8, 2, 2, 4, 1e-3),
  'tiny': (32, 5, 4, 2500, 1e-3),
  'base': (64, 10, 16, 30_000, 4e-4),
  'paper': (64, 15, 8, 300_000, 2e-4),
}

FLOW_RATE = 0.125  # beside the others': BasicVSR's
FLOW_STEPS = {'smoke': 4, 'tiny': 6000, 'base': 20_000, 'paper': 40_000}


def get_config(arg: str = 'tiny') -> ConfigDict:
  """Returns the config; words: a size, and `still`."""
  words = set(filter(None, arg.split(',')))
  sizes = words - {'still', 'flow'} or {'tiny'}
  if len(sizes) > 1 or not sizes <= NETWORKS.keys() or len(words - sizes) > 1:
    raise ValueError(
      f'the config argument must be one of {", ".join(NETWORKS)}, with still, '
      f'flow or neither, got {arg!r}'
    )
  (size,) = sizes
  channels, blocks, fine_channels, flow_channels, flow_levels = NETWORKS[size]
  patch, num_frames, batch_size, num_steps, learning_rate = RUNS[size]
  if 'still' in words:
    num_frames, batch_size = 1, num_frames * batch_size
  is_small = size in ('smoke', 'tiny')
  config = ConfigDict(
    {
      'seed': 0,
      'network': {
        'channels': channels,
        'num_blocks': blocks,
        'fine_channels': fine_channels,
        'flow_channels': flow_channels,
        'flow_levels': flow_levels,
        'odd_flow': size != 'paper',
        'unroll': num_frames if is_small else 1,
        'remat': not is_small,
        'dtype': 'float32' if is_small else 'bfloat16',
      },
      'start': '',
      'batches': {
        'name': 'clips',
        'films': ('train/video/davis480',),
        'photos': ('train/images/bsds200', 'train/images/photos'),
        'photo_share': 0.7,
        'scale': 4,
        'patch': patch,
        'num_frames': num_frames,
        'batch_size': batch_size,
        'max_side': 1024,
        'seed': 0,
      },
      'loss': {'charbonnier': 1.0, 'clean': 0.0, 'flow': 0.02, 'eps': 1e-6},
      'optimizer': {
        'learning_rate': learning_rate,
        'num_steps': num_steps,
        'warmup': min(200, num_steps // 2),
        'clip_norm': 1.0,
        'rates': {'spynet': FLOW_RATE},
      },
      'train': {
        'num_steps': num_steps,
        'chunk': min(50, num_steps // 2),
        'ema_decay': 0.999,
      },
    }
  )
  if 'flow' in words:
    # Photographs alone: of films the flow is not known.
    num_steps = FLOW_STEPS[size]
    config.loss.update(charbonnier=0.0, flow=1.0)
    config.batches.update(films=(), num_frames=2, batch_size=8)
    config.batches.update(shift=2.0, turn=2.0, zoom=0.02)
    config.optimizer.update(learning_rate=1e-3, num_steps=num_steps, rates={})
    config.train.num_steps = num_steps
  return config
