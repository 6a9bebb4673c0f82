"""Histories of the procedural desk, by seed, over three levels of its photos.

    python -m experiments.make_lineages --config=configs/lineages/tiny.py \
        --workdir=runs/lineages

`captures` adds the two training captures below the data folder. `smoke` makes
one small history of two levels in a minute.
"""

from ml_collections import ConfigDict

from configs.base import base, for_few_steps

SEEDS = tuple(range(1, 9))  # the quickstart's desk has seed 0


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; words: `captures` or `smoke`."""
  if arg not in ('', 'captures', 'smoke'):
    raise ValueError(f'the config argument is captures or smoke, got {arg!r}')
  shared = base('configs/lineages/tiny.py', '')
  shared.representation.update(
    capacity=8000, sh_degree=1, density_control='gof'
  )
  for_few_steps(shared)
  config = ConfigDict(
    {
      'seed': 0,
      'num_each': 1,
      'with_hessian': True,
      'sources': {
        f'desk{seed}': {
          'name': 'procedural',
          'width': 192,
          'height': 144,
          'num_train': 20,
          'num_test': 0,
          'seed': seed,
        }
        for seed in SEEDS
      },
      'representation': shared.representation,
      'drawing': shared.drawing,
      'levels': {
        'num_levels': 3,
        'num_first': 400,
        'num_steps': 400,
        'num_before': 100,
      },
      'fitting': shared.fit,
    }
  )
  del config.fitting.num_steps
  config.fitting.update(refine_start=120, refine_stop=320, chunk=50, sh_every=0)
  if arg == 'smoke':
    config.sources = {'desk1': {**config.sources.desk1}}
    config.sources.desk1.update(
      width=64, height=48, num_train=6, supersample=1, num_points=100
    )
    config.num_each = 1
    config.representation.update(capacity=800)
    config.levels.update(
      num_levels=2, num_first=30, num_steps=30, num_before=10
    )
    config.fitting.update(refine_start=15, refine_stop=25, chunk=5)
  elif arg == 'captures':
    for name, size in (('monstree', (240, 180)), ('maryrose', (248, 248))):
      config.sources[name] = {
        'name': 'transforms_json',
        'root': f'train/scenes/{name}',
        'size': size,
      }
  return config
