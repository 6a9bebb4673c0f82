"""The rows of GaussianVAE's comparisons: one scene, more Gaussians or not.

None looks at a finer photo. `lr_fit`, of the run itself, is the coarse scene
with Mip-Splatting's filters; rows of `_steps` are then fitted to the coarse
photos alone, by as many steps each. A row without a number has children of
every Gaussian that may have some, `_25` of a quarter of them; those of equal
budgets have the same parents, so that counts are equal, but for children that
a network does not want. Rows whose weights are not there are told and left out.

    split        four that together are what their parent was; not learnt
    split_fine   likewise, smoothed for the finer views
    refine_only  one child of the network of one: nothing is added
    vae          four of the network, which takes the mean of z
    vae_fine     likewise, smoothed for the finer views, as it never learnt
    vae_25_rest  the others have one child of the network of one
    *_told       likewise, and told of the scene's past, see `told` below

Words: `refined` adds rows with steps, `dilated` draws all as 3DGS does,
`baselines` leaves out what was learnt, `seed1` is another fit and other lots,
`told` fits the coarse scene to photos of a quarter and a half of its size
first, so that it has a past, and adds the rows `_told`;
`ablations` has these in place of the above, each at 25 unless it says so:

    split_5 ..., refine_5 ..., vae_5 ...   budgets; without a number all
    vae_sampled, vae_shuffled   z drawn, and z of somebody else
    *_twice, vae_twice_told     twice as fine twice, as many in the end as
                                `vae`; the second pass told of the first
    rule_*                      published splits, as many in the end as `_25`
"""

import re
from typing import NamedTuple

from ml_collections import ConfigDict

from configs import base

# Of the shipped networks.
NETWORK = {
  'width': 48, 'encoder_layers': 2, 'decoder_layers': 1, 'heads': 4,
  'latent': 8,
}  # fmt: skip
FEW = 0.25  # of the Gaussians have children
BUDGETS = {'_5': 0.05, '_10': 0.1, '_25': FEW, '_50': 0.5, '': 1.0}
# Children of published splits.
RULES = {
  'random_halves': 2, 'clones': 2, 'relocated': 2, 'halves_apart': 2,
  'long_axis': 2, 'shuffled': 6,
}  # fmt: skip
STEPS = {'': 200, 'cpu': 200, 'smoke': 4}  # of the fit to coarse photos
LEVELS = {
  '': (4000, 4000, 200), 'cpu': (1500, 1000, 100), 'smoke': (10, 10, 4)
}  # fmt: skip
FLAGS = ('dilated', 'refined', 'baselines', 'ablations', 'told')
MEASURES = ('psnr', 'ssim', 'gmsd', 'haarpsi', 'niqe', 'lr_psnr')


class Words(NamedTuple):
  """The config's argument, word by word."""

  size: str = ''
  seed: int = 0
  flags: tuple[str, ...] = ()


def parse(arg: str, known: tuple[str, ...] = FLAGS) -> Words:
  """Splits the config's argument; `known` are its words besides."""
  words = tuple(filter(None, arg.split(',')))
  sizes = [word for word in words if word in base.SIZES]
  seeds = [word for word in words if re.fullmatch(r'seed\d+', word)]
  flags = tuple(word for word in words if word in known)
  if len(words) > len(sizes + seeds) + len(flags) or max(
    len(sizes), len(seeds)
  ) > 1:  # fmt: skip
    raise ValueError(
      f'the config argument has an unknown word or two sizes, {arg!r}: wanted '
      f'smoke or cpu, a seed (seed1), and {", ".join(known)}'
    )
  seed = int((seeds or ['seed0'])[0].removeprefix('seed'))
  return Words((sizes or [''])[0], seed, flags)


def grown(budget: float = 1.0, **keys) -> dict:
  """A row that grows and is fitted no more."""
  return {'steps': (0,), 'grow': {'budget': budget, **keys}}


def shipped(num_children: int, **network) -> dict:
  """Which network, by its children."""
  return {
    'weights': 'shipped',
    'network': {**NETWORK, 'num_children': num_children, **network},
  }


SPLIT = {'rule': 'conserving4'}
REFINE, VAE = shipped(1), shipped(4)


def main_rows(words: Words) -> dict:
  """What everybody is compared with, and what is learnt."""
  learnt = {
    'refine_only': grown(**REFINE),
    'vae': grown(**VAE),
    'vae_fine': grown(smoothing='fine', **VAE),
    'vae_25': grown(FEW, **VAE),
    'vae_25_rest': grown(FEW, refiner=REFINE, **VAE),
  }
  if 'told' in words.flags:
    learnt |= {
      'refine_told': grown(history=True, **REFINE),
      'vae_told': grown(history=True, **VAE),
    }
  return {
    'split': grown(**SPLIT),
    'split_25': grown(FEW, **SPLIT),
    'split_fine': grown(smoothing='fine', **SPLIT),
    **({} if 'baselines' in words.flags else learnt),
  }


def ablations() -> dict:
  """One thing at a time."""
  kinds = {'split': SPLIT, 'refine': REFINE, 'vae': VAE}
  twice = {'passes': 2}
  return {
    **{
      f'{kind}{name}': grown(budget, **keys)
      for kind, keys in kinds.items()
      for name, budget in BUDGETS.items()
    },
    'vae_sampled': grown(FEW, **shipped(4, temperature=1.0)),
    'vae_shuffled': grown(FEW, **shipped(4, z='shuffled')),
    # (1 + 3 / 3)^2 = 4
    'split_twice': grown(1 / 3, **twice, **SPLIT),
    'vae_twice': grown(1 / 3, **twice, **VAE),
    'vae_twice_told': grown(1 / 3, history=True, **twice, **VAE),
    **{
      f'rule_{rule}': grown(3 * FEW / (num - 1), rule=rule)
      for rule, num in RULES.items()
    },
  }


def with_steps(chosen: dict, size: str) -> dict:
  """The rows, and each of them fitted on; the coarse scene, too."""
  lr = {
    'prior': 'bicubic', 'trust': 'nothing', 'anchor_weight': 1.0,
    'steps': (STEPS[size],),
    'representation': {'density_control': 'none'},
  }  # fmt: skip
  fitted = {f'{name}_steps': {**row, **lr} for name, row in chosen.items()}
  return {**chosen, 'lr_steps': lr, **fitted}


def compare(config: ConfigDict, arg: str) -> ConfigDict:
  """Makes a main job's config one of these comparisons."""
  words = parse(arg)
  rows = ablations() if 'ablations' in words.flags else main_rows(words)
  if 'refined' in words.flags:
    rows = with_steps(rows, words.size)
  if 'told' in words.flags:
    first, steps, before = LEVELS[words.size]
    config.levels = {
      'num_levels': 2 if words.size == 'smoke' else 3,
      'num_first': first,
      'num_steps': steps,
      'num_before': before,
    }
    # Each level may have four times the Gaussians of the one before.
    config.representation.growth = 1.35
    config.first_fit.refine_stop = round(0.7 * steps)
  return with_rows(config, rows, words, main='split')


def with_rows(
  config: ConfigDict, rows: dict, words: Words, *, main: str
) -> ConfigDict:
  """Gives a config its rows, and their order, which a `ConfigDict` forgets."""
  config.rows = rows
  config.update(
    seed=words.seed,
    baselines=tuple(row for row in rows if row != main),
    main=main,
    anchor=False,
    bound=False,
    measures=('psnr',) if words.size == 'smoke' else MEASURES,
  )
  if 'dilated' in words.flags:
    # As released by Kerbl et al. 2023, at any resolution.
    config.drawing.update(blur=0.3, compensation='none')
    config.representation.filter3d = False
  return config
