"""The VAE of lineages, learnt of families and then of pictures, too.

    python -m experiments.train_gaussian_vae \
        --config=configs/gaussian_vae/train.py:tiny --workdir=runs/gaussian_vae

Words: `tiny` is for two cores, `base` (as none) for a GPU, `smoke` learns a few
steps of two small desks; `m1` refines alone: one child, whose mean may move;
`real` adds what lies below the data folder. Histories are those of
configs/lineages/tiny.py, of which two desks are held out by name.
"""

from ml_collections import ConfigDict

from configs.lineages import tiny as histories

WORDS = 'tiny', 'base', 'smoke', 'm1', 'real'
HELD_OUT = ('desk7', 'desk8')


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; words: `tiny`, `base` or `smoke`; `m1`; `real`."""
  asked = tuple(filter(None, arg.split(',')))
  for word in asked:
    if word not in WORDS:
      raise ValueError(
        f'the config argument is some of {", ".join(WORDS)}, got {word!r}'
      )
  config = ConfigDict(
    {
      'seed': 0,
      'lineages': histories.get_config('real' if 'real' in asked else ''),
      'network': {
        'width': 96,
        'encoder_layers': 3,
        'decoder_layers': 2,
        'heads': 4,
        'latent': 16,
        'num_children': 4,
      },
      'keep_mean': True,
      'batches': {
        'name': 'lineages',
        'roots': (),
        'batch_size': 4096,
        'num_states': 4,
        'num_children': 4,
        'num_neighbors': 8,
        'held_out': HELD_OUT,
        'seed': 0,
      },
      'scenes': {
        'name': 'growths',
        'roots': (),
        'num_states': 4,
        'num_neighbors': 8,
        'octaves': (1, 2),
        'shares': (0.25, 1.0),
        'side': 256,
        'most': 8192,
        'held_out': HELD_OUT,
        'seed': 1,
      },
      # Families alone, learnt first, make worse pictures than the plain split.
      'draw_from': 0,
      'drawing': {
        'blur': 0.1,
        'compensation': 'clamped',
        'capacity': 1_000_000,  # C++ asks for none
      },
      'looks': {
        'image_weight': 10.0,
        'coarse_weight': 0.5,
        'attribute_weight': 0.01,
      },
      # Most Gaussians have one descendant, so that a network which may drop
      # children drops three of four, and adds none.
      'loss': {'beta': 1e-3, 'free': 0.02, 'existence_weight': 0.0},
      'optimizer': {
        'learning_rate': 3e-4,
        'num_steps': 50_000,
        'warmup': 500,
        'clip_norm': 2.0,
        'weight_decay': 1e-4,
      },
      'train': {'num_steps': 50_000, 'chunk': 500, 'ema_decay': 0.999},
      'validation': {'every': 2500, 'num_parents': 4096, 'num_views': 4},
    }
  )
  if 'tiny' in asked:
    config.network.update(width=48, encoder_layers=2, decoder_layers=1)
    config.network.latent = 8
    config.batches.batch_size = 256
    config.scenes.update(side=128, most=2048)
    config.optimizer.update(learning_rate=1e-3, warmup=100)
    _shorten(config, 2500, chunk=50)
    config.validation.update(every=500, num_parents=2048, num_views=2)
  if 'smoke' in asked:
    _shrink(config)
  if 'm1' in asked:
    config.network.num_children = config.batches.num_children = 1
    config.keep_mean = False
    config.scenes.shares = (1.0,)
  return config


def _shorten(config: ConfigDict, num_steps: int, chunk: int) -> None:
  config.optimizer.num_steps = config.train.num_steps = num_steps
  config.train.chunk = chunk


def _shrink(config: ConfigDict) -> None:
  """Makes all of it run in two minutes: two desks, one of them held out."""
  config.lineages = histories.get_config('smoke')
  desk = config.lineages.sources.desk1.to_dict()
  config.lineages.sources = {
    f'desk{seed}': {**desk, 'seed': seed} for seed in (1, 2)
  }
  config.network.update(width=16, encoder_layers=1, decoder_layers=1, heads=2)
  config.network.latent = 4
  config.batches.update(batch_size=64, held_out=('desk2',))
  config.scenes.update(held_out=('desk2',), octaves=(1,), side=32, most=64)
  config.optimizer.warmup = 2
  _shorten(config, 8, chunk=4)
  config.validation.update(every=4, num_parents=128, num_views=2)
