"""Histories of small scenes over three levels of their photos.

    python -m experiments.make_lineages --config=configs/lineages/tiny.py \
        --workdir=runs/lineages

Eight procedural desks; `real` adds what lies below the data folder: desks that
are covered with photographs, two captures and two meshes. A scene takes about a
minute of one core. `smoke` makes one small history of two levels.
"""

from ml_collections import ConfigDict

from configs.base import base, for_few_steps

SEEDS = tuple(range(1, 9))  # the quickstart's desk has seed 0
DESK = {
  'name': 'procedural',
  'width': 320,
  'height': 240,
  'num_train': 24,
  'num_test': 0,
}
REAL = {
  **{
    f'covered{seed}': {
      **DESK,
      'seed': seed,
      'photos': ('train/images/photos', 'train/images/bsds200'),
    }
    for seed in (11, 12, 13, 14)
  },
  'monstree': {
    'name': 'transforms_json',
    'root': 'train/scenes/monstree',
    'size': (480, 360),
  },
  'maryrose': {
    'name': 'transforms_json',
    'root': 'train/scenes/maryrose',
    'size': (400, 400),
  },
  **{
    name: {
      'name': 'mesh',
      'root': f'assets/meshes/trimesh/{file}',
      'size': (320, 320),
      'num_test': 0,
      'background': (1.0, 1.0, 1.0),
    }
    for name, file in (('duck', 'Duck.glb'), ('fuze', 'fuze.obj'))
  },
}


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; words: `real` or `smoke`."""
  if arg not in ('', 'real', 'smoke'):
    raise ValueError(f'the config argument is real or smoke, got {arg!r}')
  shared = base('configs/lineages/tiny.py', '')
  shared.representation.update(
    capacity=32_000, sh_degree=1, density_control='gof'
  )
  for_few_steps(shared)
  config = ConfigDict(
    {
      'seed': 0,
      'num_each': 1,
      # `grow` tells networks no Hessian by default either.
      'with_hessian': False,
      'sources': {f'desk{seed}': {**DESK, 'seed': seed} for seed in SEEDS},
      'representation': shared.representation,
      'drawing': shared.drawing,
      'levels': {
        'num_levels': 3,
        'num_first': 1500,
        'num_steps': 1000,
        'num_before': 100,
      },
      'fitting': shared.fit,
    }
  )
  del config.fitting.num_steps
  config.fitting.update(refine_start=120, refine_stop=700, chunk=50, sh_every=0)
  if arg == 'real':
    config.sources = {**config.sources.to_dict(), **REAL}
  elif arg == 'smoke':
    config.sources = {'desk1': {**config.sources.desk1}}
    config.sources.desk1.update(
      width=64, height=48, num_train=6, supersample=1, num_points=100
    )
    config.representation.update(capacity=800)
    config.levels.update(
      num_levels=2, num_first=30, num_steps=30, num_before=10
    )
    config.fitting.update(refine_start=15, refine_stop=25, chunk=5)
  return config
