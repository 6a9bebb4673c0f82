"""The rows of GaussianVAE's comparisons: one scene, more Gaussians or not.

None looks at a finer photo. `lr_fit`, of the run itself, is the coarse scene
with Mip-Splatting's filters; rows of `_steps` are then fitted to the coarse
photos alone, by as many steps each. Children of every row that adds some come
from the same parents, so that counts are equal. Rows whose weights are not
there are told and left out.
"""

from ml_collections import ConfigDict

from configs import base

WEIGHTS = 'runs/gaussian_vae/{}/weights.npz'
BUDGET = 0.25  # of the Gaussians have children
STEPS = {'': 200, 'cpu': 200, 'smoke': 4}  # of the fit to coarse photos
WORDS = ('dilated', 'refined')


def parse(arg: str) -> tuple[str, tuple[str, ...]]:
  """Splits the config's argument into a size and other words."""
  words = tuple(filter(None, arg.split(',')))
  sizes = [word for word in words if word in base.SIZES]
  wrong = [word for word in words if word not in (*base.SIZES, *WORDS)]
  if wrong or len(sizes) > 1:
    raise ValueError(
      f'the config argument has an unknown word or two sizes, {arg!r}: wanted '
      f'smoke or cpu, and {" or ".join(WORDS)}'
    )
  return (sizes or [''])[0], tuple(w for w in words if w in WORDS)


def grown(**keys) -> dict:
  """A row that grows and is fitted no more."""
  return {'steps': (0,), 'grow': {'budget': BUDGET, **keys}}


def learned(num_children: int, **keys) -> dict:
  """Keys of `grow` for a trained network of so many children."""
  name = 'vae' if num_children > 1 else 'refine'
  return {
    'weights': WEIGHTS.format(name),
    'network': {'num_children': num_children},
    **keys,
  }


def rows(size: str, words: tuple[str, ...] = ()) -> dict:
  """Every row of a run; `refined` adds those with steps."""
  chosen = {
    'split': grown(rule='conserving4'),
    'split_fine': grown(rule='conserving4', smoothing='fine'),
    'refine_only': grown(**learned(1, budget=1.0)),
    'vae': grown(**learned(4)),
  }
  if 'refined' in words:
    lr = {
      'prior': 'bicubic', 'trust': 'nothing', 'anchor_weight': 1.0,
      'steps': (STEPS[size],),
      'representation': {'density_control': 'none'},
    }  # fmt: skip
    chosen |= {
      'lr_steps': lr,
      **{f'{name}_steps': {**row, **lr} for name, row in chosen.items()},
    }
  return chosen


def compare(config: ConfigDict, arg: str) -> ConfigDict:
  """Makes a main job's config one of these comparisons."""
  size, words = parse(arg)
  config.rows = rows(size, words)
  config.update(
    baselines=tuple(row for row in config.rows if row != 'split'),
    main='split',
    anchor=False,
    measures=('psnr', 'ssim', 'gmsd', 'haarpsi', 'niqe', 'lr_psnr'),
  )
  if 'dilated' in words:
    # As released by Kerbl et al. 2023, at any resolution.
    config.drawing.update(blur=0.3, compensation='none')
    config.representation.filter3d = False
  if size == 'smoke':
    config.measures = ('psnr',)
  return config
