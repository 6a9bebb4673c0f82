"""What the training of every network for any scale shares.

python -m experiments.train_gaussian_sr \
  --config=configs/train/gaussian_sr.py:tiny --workdir=runs/gaussian_sr
"""

from ml_collections import ConfigDict

PHOTOS = ('train/images/bsds200', 'train/images/photos')
SIZES = ('smoke', 'tiny', 'base', 'paper')


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config of one size, for the default network."""
  return sized(arg)


def sized(arg: str) -> ConfigDict:
  """Returns the config of one of `SIZES`; '' is `base`."""
  size = arg or 'base'
  if size not in SIZES:
    raise ValueError(f'unknown size {size!r}: choose from {", ".join(SIZES)}')
  config = _base()
  if size == 'paper':
    _on_div2k(config)
  if size in ('tiny', 'smoke'):
    _for_two_cores(config)
  if size == 'smoke':
    config.batches.update(patch=16, num_queries=64, batch_size=2)
    config.optimizer.update(num_steps=4, warmup=0)
    config.train.update(num_steps=4, chunk=2)
  return config


def _base() -> ConfigDict:
  """EDSR-baseline, for one GPU."""
  num_steps = 40_000
  return ConfigDict(
    {
      'seed': 0,
      'network': {
        'name': 'gaussian_sr',
        'encoder': {'name': 'edsr', 'channels': 64, 'num_blocks': 16},
        'width': 256,
        'hidden': (256, 256, 256, 256),
      },
      'batches': {
        'name': 'image_pairs',
        'roots': PHOTOS,
        'scale_range': (1.0, 4.0),
        'patch': 48,
        'num_queries': 2304,
        'batch_size': 32,
        'seed': 0,
      },
      'optimizer': {
        'learning_rate': 4e-4,
        'num_steps': num_steps,
        'warmup': 500,
        'milestones': (),
        'clip_norm': 1.0,
        'rates': {'bank': 5.0},
      },
      'train': {'num_steps': num_steps, 'chunk': 500, 'ema_decay': 0.999},
    }
  )


def _on_div2k(config: ConfigDict) -> None:
  """The published protocol: 16 patches, Adam at 1e-4, halved, no clipping."""
  num_steps = 600_000
  # Published files hold these; nothing reads them.
  config.network.encoder.mean_shift = True
  config.batches.update(roots=('tfds:div2k/bicubic_x4',), batch_size=16)
  config.optimizer.update(
    learning_rate=1e-4,
    num_steps=num_steps,
    warmup=0,
    milestones=tuple(range(120_000, num_steps, 120_000)),
    clip_norm=0.0,
    rates={'bank': 1.0},
  )
  config.train.update(num_steps=num_steps, chunk=1000)


def _for_two_cores(config: ConfigDict) -> None:
  """Eight blocks of 32 channels, an hour."""
  num_steps = 20_000
  config.network.encoder.update(channels=32, num_blocks=8)
  config.network.update(width=128, hidden=(128, 128))
  config.batches.update(patch=32, num_queries=512, batch_size=8)
  config.optimizer.update(learning_rate=1e-3, num_steps=num_steps, warmup=200)
  config.train.update(num_steps=num_steps, chunk=250)
