"""3DSR beside what it has to beat, at equal cost: does interleaving help?

    python -m experiments.super_resolve \
        --config=configs/threedsr/table.py:fox,cpu \
        --workdir=runs/threedsr/fox_cpu

Words: a scene (fox, fern, lego, quickstart, llff_NAME, mipnerf360_NAME; none is
fox), a size (`smoke`, `cpu`; none is a GPU), a seed (`seed1`), `stablesr`,
whose weights are yours, in place of the shipped network, and rows that are
wanted alone (`sr_once`, `released`, `corrected`). Rows:

    lr_fit     the fit to the coarse photos, from which all others start
    bicubic    its enlargements, fitted
    rlfn       those of a regression network, with its published weights
    diffusion  all steps of the diffusion for each view alone, then the fit
    sr_once    the same, and the fit is anchored in the coarse photos
    released   3DSR as its published code computes it
    corrected  3DSR as its paper means it
    hr_fit     a bound: saw the fine photos

`sr_once` and `corrected` cost alike: the same calls of the denoiser, steps of
the fit and refinements of the density, and the optimiser goes on as in one fit;
only what stands between the steps differs, for which `corrected` decodes three
times more and encodes what it drew. Both draw no noise anew and look back at
the photo once, see configs/priors/diffusion.py.

`cpu` is four times 500 steps after 2,000, fox at 270 x 480 of a quarter, fern
at 504 x 378 of 126 x 94: 16 minutes each on one core. Otherwise it is four
times 5,000 after Mip-Splatting's 30,000, at the published sizes, which no GPU
has run yet. Rows are resumed one by one. configs/tables/threedsr.py gathers
runs, which it looks for in runs/threedsr, named by their words: fox_cpu,
fern_cpu_seed1; docs/results/threedsr.md has what came out.
"""

import re
from typing import NamedTuple

from ml_collections import ConfigDict

from configs import base, quickstart
from configs.priors import stablesr_corrected
from configs.scenes import fox, lego, llff, mipnerf360
from configs.train import diffusion_sr

THREEDSR = 'threedsr_released'
# Word: whose config, and its word for the scene.
SCENES = {
  'fox': (fox, ''),
  'fern': (llff, 'fern'),
  'lego': (lego, ''),
  'quickstart': (quickstart, ''),
  **{f'llff_{name}': (llff, name) for name in llff.VIEWS},
  **{f'mipnerf360_{name}': (mipnerf360, name) for name in mipnerf360.SCENES},
}
# The network that is meant, and what its presets replace.
PRIORS = {'diffusion': {}, 'stablesr': {THREEDSR: 'stablesr_released'}}
STEPS = {'': 20_000, 'cpu': 2000, 'smoke': 8}  # of each row's fits together
ALONE = ('sr_once', 'released', 'corrected')
CALLS = 4  # of the denoiser, and fits between them
# (first, last) refinement of the density in one long fit; in four parts of it,
# none of which ends with one, so that they refine as often; in each of four
# fits of their own, likewise; and of the published code.
WINDOWS = {
  '': ((600, 8100), (600, 8200), (600, 2400), (600, 2400)),
  'cpu': ((50, 1400), (50, 1550), (50, 350), (60, 240)),
  'smoke': ((1, 8), (1, 8), (1, 2), (1, 2)),
}
WHOLE, PARTS, ANEW, PUBLISHED = range(4)
MEASURES = (
  'psnr', 'ssim', 'niqe', 'gmsd', 'haarpsi', 'consistency', 'lr_psnr',
)  # fmt: skip
SMALL_MEASURES = ('psnr', 'ssim', 'gmsd', 'haarpsi', 'lr_psnr')


def get_config(arg: str = '') -> ConfigDict:
  """Returns one scene's run; the words are told above."""
  words = parse(arg)
  return with_rows(scene_config(words), table_rows(words.size), words)


class Words(NamedTuple):
  """The config's argument, word by word."""

  scene: str
  size: str = ''
  seed: int = 0
  prior: str = 'diffusion'
  only: tuple[str, ...] = ()  # rows; none is all


def parse(arg: str) -> Words:
  """Splits the config's argument."""
  scenes, words, only = [], {}, ()
  for word in filter(None, arg.split(',')):
    if word in SCENES:
      scenes.append(word)
    elif word in base.SIZES:
      words['size'] = word
    elif word in PRIORS:
      words['prior'] = word
    elif re.fullmatch(r'seed\d+', word):
      words['seed'] = int(word.removeprefix('seed'))
    elif word in ALONE:
      only = (*only, word)
    else:
      raise ValueError(
        f'the config argument has an unknown word {word!r}: wanted a size '
        f'(smoke, cpu), a seed (seed1), a prior ({", ".join(PRIORS)}), a row '
        f'({", ".join(ALONE)}) or a scene ({", ".join(SCENES)})'
      )
  if len(scenes) > 1:
    raise ValueError(f'one run has one scene, got {", ".join(scenes)}')
  if words.get('prior') == 'stablesr' and words.get('size') == 'smoke':
    raise ValueError('smoke has untrained weights: leave stablesr out')
  return Words(*scenes or ('fox',), **words, only=only)


def scene_config(words: Words) -> ConfigDict:
  """A scene with the preset's fits; `with_rows` adds the rest."""
  (module, name), size = SCENES[words.scene], words.size
  config = module.get_config(f'{name},{size},diffusion')
  config.update(
    source='configs/threedsr/table.py',
    seed=words.seed,
    main='corrected',
    measures=SMALL_MEASURES if size == 'smoke' else MEASURES,
  )
  if size == 'smoke':
    tiny = diffusion_sr.get_config('smoke').network.to_dict()
    config.prior.update(weights=None, sizes=tiny)
    if words.scene == 'quickstart':
      config.scene.height = config.scene.width  # RLFN wants 15 px
    base.for_a_minute(config)
  elif size == 'cpu':
    if words.scene == 'fox':
      config.scene.size = (270, 480)
    base.for_two_cores(config, capacity=40_000)
    # 2000 steps are too few for MCMC to fill the capacity.
    config.representation.density_control = 'gof'
  else:
    for_mip_splatting(config)
  config.fit.update(num_steps=STEPS[size], sh_every=0, **window(size, WHOLE))
  return config


def with_rows(config: ConfigDict, rows: dict, words: Words) -> ConfigDict:
  """Gives a config its rows, and their order, which a `ConfigDict` forgets."""
  rows = {k: v for k, v in rows.items() if not words.only or k in words.only}
  if not rows:
    raise ValueError(f'there is no row {", ".join(words.only)} here')
  config.rows = rows
  config.main = config.main if config.main in rows else list(rows)[-1]
  config.baselines = tuple(row for row in rows if row != config.main)
  if words.prior == 'stablesr':
    config.prior = stablesr_corrected.get_config()
    for row in config.rows.values():
      row.prior = PRIORS[words.prior].get(row.prior, row.prior)
  return config


def for_mip_splatting(config: ConfigDict) -> None:
  """Sets what Mip-Splatting does in its 30,000 steps, the density included."""
  config.representation.update(
    sh_degree=3, density_control='classic', init_opacity=0.1
  )
  config.representation.capacity = max(config.representation.capacity, 10**6)
  config.first_fit.update(
    num_steps=30_000, refine_start=500, refine_stop=15_000, sh_every=1000
  )


def table_rows(size: str) -> dict:
  """The rows of the table, each with how it is made."""
  return {
    'bicubic': one_call('bicubic', size),
    'rlfn': one_call('rlfn', size),
    'diffusion': sr_once(size, anchor_weight=0.0),
    'sr_once': sr_once(size),
    'released': released(size),
    'corrected': interleaved(size),
  }


def interleaved(size: str, **changes) -> dict:
  """3DSR as corrected: a part of the fit after each step."""
  row = {
    'prior': 'diffusion',
    'anchor_weight': 1.0,
    'steps': even(size),
    'one_fit': True,
    'fit': window(size, PARTS),
  }
  return {**row, **changes}


def released(size: str, **changes) -> dict:
  """3DSR as released: each fit anew, density of GOF, and no centre moves."""
  row = interleaved(
    size,
    prior=THREEDSR,
    representation={'density_control': 'gof', 'rates': frozen(size)},
    one_fit=False,
    fit=window(size, PUBLISHED),
  )
  if size == 'smoke':
    tiny = diffusion_sr.get_config('smoke').network.to_dict()
    row['settings'] = {'weights': None, 'sizes': tiny}
  return {**row, **changes}


def frozen(size: str, position: tuple[float, float] = (0.0, 0.0)) -> dict:
  """The learning rates of a size, but for the centres."""
  rates = dict(scale=1e-2, color=5e-3) if size == 'cpu' else {}
  return {'position': position, **rates}


def even(size: str, num_calls: int = CALLS) -> tuple[int, ...]:
  """The steps of as many fits, one after each call."""
  return (max(1, STEPS[size] // num_calls),) * num_calls


def sr_once(size: str, *, anchor_weight: float = 1.0) -> dict:
  """As many calls and steps, but all of the calls before all of the steps."""
  row = one_call('diffusion', size, anchor_weight=anchor_weight)
  return {**row, 'settings': {'at_once': True}}


def one_call(prior: str, size: str, *, anchor_weight: float = 0.0) -> dict:
  """One fit to what a prior shows in one step."""
  steps = (STEPS[size],)
  return {'prior': prior, 'anchor_weight': anchor_weight, 'steps': steps}


def window(size: str, kind: int) -> dict:
  """When a fit refines the density, see `WINDOWS`."""
  start, stop = WINDOWS[size][kind]
  return {'refine_start': start, 'refine_stop': stop}
