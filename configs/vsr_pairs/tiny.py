"""Pairs of the procedural desk, by seed: what its coarse fits look like.

    python -m experiments.make_vsr_pairs --config=configs/vsr_pairs/tiny.py \
        --workdir=runs/vsr_pairs

Photos are as soft as lenses make them, by 0 to 0.8 coarse px. `captures` adds
what is below the data folder: desks that are covered with photographs, and two
training captures, whose photos were not taken as a film and are put in order.
`smoke` makes one small pair in a minute.
"""

from ml_collections import ConfigDict

from configs.base import base, for_few_steps

SEEDS = tuple(range(1, 7))  # the quickstart's desk has seed 0
PHOTO_SEEDS = tuple(range(20, 32))


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; words: `captures` or `smoke`."""
  if arg not in ('', 'captures', 'smoke'):
    raise ValueError(f'the config argument is captures or smoke, got {arg!r}')
  shared = base('configs/vsr_pairs/tiny.py', '')
  shared.representation.update(sh_degree=0, growth=1.2, density_control='gof')
  for_few_steps(shared)
  config = ConfigDict(
    {
      'seed': 0,
      'scale': 4.0,
      'min_psnr': 24.0,
      'num_each': 2,
      'drawn': {
        'num_splats': (2000, 4000, 8000),
        'num_steps': (500, 1000),
        'softness': (0.0, 0.4, 0.6, 0.8),
      },
      'sources': {
        f'desk{seed}': {
          'name': 'procedural',
          'width': 256,
          'height': 192,
          'num_train': 30,
          'num_test': 0,
          'seed': seed,
        }
        for seed in SEEDS
      },
      'representation': shared.representation,
      'drawing': shared.drawing,
      'fitting': shared.fit,
    }
  )
  config.fitting.update(refine_stop=400, sh_every=0)
  del config.fitting.num_steps
  if arg == 'smoke':
    config.sources = {'desk1': {**config.sources.desk1}}
    config.sources.desk1.update(
      width=64, height=48, num_train=6, supersample=1, num_points=400
    )
    config.update(num_each=1, min_psnr=10.0)
    config.drawn = {
      'num_splats': (500,),
      'num_steps': (20,),
      'softness': (0.0,),
    }
    config.fitting.update(chunk=10)
  elif arg == 'captures':
    config.num_each = 3
    for seed in PHOTO_SEEDS:
      config.sources[f'photo{seed}'] = {
        **config.sources.desk1,
        'seed': seed,
        'num_train': 20,
        'photos': ('train/images/bsds200',),
      }
    for name, size in (('monstree', (240, 180)), ('maryrose', (248, 248))):
      config.sources[name] = {
        'name': 'transforms_json',
        'root': f'train/scenes/{name}',
        'size': size,
      }
  return config
