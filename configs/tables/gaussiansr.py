"""GaussianSR and its peers: our rows beside the published ones.

    python -m experiments.paper_tables --config=configs/tables/gaussiansr.py \
        --workdir=runs/tables

Set5 with all the rows below: three minutes on two CPU cores; at x4 bicubic
28.43, own 31.04, RLFN 32.10, PAN 32.14, IMDN 32.21 dB (luma of 8 bits).

A row is a prior, with `trained`, what its figures cost; `scales` keeps it from
others. To add one, append to `_rows`. Those of equal budgets have their weights
from `experiments.sweep --config=configs/sweeps/gaussiansr.py:e1
--workdir=runs/e1`.
"""

import importlib
from pathlib import Path

from ml_collections import ConfigDict

from configs.sweeps import gaussiansr as sweeps
from configs.tables import published

ROOTS = (
  'dev/images/set5',
  'dev/images/set14',
  'dev/images/bsd100',
  'dev/images/urban100_a',
  'dev/images/urban100',
  'dev/images/manga109',
  'dev/images/div2k_valid',
)
RUNS = Path(__file__).resolve().parents[2] / 'runs'
LABELS = {
  'set5': 'Set5',
  'set14': 'Set14',
  'bsd100': 'B100',
  'urban100_a': 'Urban100-a',
  'urban100': 'Urban100',
  'manga109': 'Manga109',
  'div2k_valid': 'DIV2K',
  'lsdir': 'LSDIR',
}


def get_config(arg: str = '') -> ConfigDict:
  """Returns rows, tables and the published figures."""
  del arg
  return ConfigDict(
    {
      'title': 'Super-resolution by any scale',
      'seed': 0,
      'roots': ROOTS,
      'labels': LABELS,
      'reference': 'bicubic',
      'rows': _rows(),
      'tables': (
        *(_luma(name) for name in ('set5', 'set14', 'bsd100')),
        _luma('urban100_a', 'four pictures, not comparable with Urban100'),
        _luma('urban100'),
        _luma('manga109'),
        *_others(),
      ),
    }
  )


def _rows() -> tuple:
  return (
    _row('bicubic', '', 'bicubic'),
    _row('GaussianSR, exact', 'shipped, all scales, 0.23 M', 'gaussian_sr'),
    *(_swept(row) for row in ('LIIF', 'LTE', 'released', 'exact')),
    _row('own', 'shipped, x4 only, 0.13 M', 'own'),
    _row('IMDN', 'published weights, x4 only', 'imdn', scales=(4.0,)),
    _row('RLFN', 'published weights, x4 only', 'rlfn', scales=(4.0,)),
    _row('PAN', 'published weights, x4 only', 'pan', scales=(4.0,)),
  )


def _row(name: str, trained: str, prior: str, **keys) -> dict:
  """A row of the section in configs/priors/."""
  module = importlib.import_module(f'configs.priors.{prior}')
  section = module.get_config().to_dict()
  return dict(name=name, trained=trained, prior=section, **keys)


def _swept(name: str) -> dict:
  """A row of the sweep at equal budgets, the first seed."""
  network = sweeps.network(name)
  weights = RUNS / 'e1' / 'rows' / f'{name}_seed0' / 'weights.npz'
  prior = dict(
    name='continuous',
    network=network.pop('name'),
    weights=str(weights),
    sizes=network,
    scale=4.0,
  )
  return dict(
    name=f'{name}, equal budgets',
    trained='encoder of 48 k, 1,500 steps of 4 patches',
    prior=prior,
  )


def _table(name, title, measure, columns, figures, notes='', digits=2) -> dict:
  return dict(
    name=name,
    title=title,
    measure=measure,
    columns=columns,
    published=figures,
    notes=notes,
    digits=digits,
  )


def _luma(name: str, notes: str = '') -> dict:
  """One set, floats: the convention of LIIF and those after it."""
  figures = () if name == 'urban100_a' else published.rdn_y(name)
  return _table(
    f'{name}_y',
    f'{LABELS[name]}, luma',
    'psnr_y_liif',
    tuple((name, scale) for scale in published.SET_SCALES),
    figures,
    notes or 'published rows have the encoder RDN, 22 M',
  )


def _others() -> tuple:
  """The tables of several sets, and those of DIV2K."""
  ours = ('set5', 'set14', 'bsd100', 'urban100_a')
  theirs = ('urban100', 'div2k_valid', 'lsdir')
  unknown = (None,) * len(ours)
  rounded = tuple(
    {**row, 'values': (*unknown, *row['values'])} for row in published.GSASR_Y
  )
  div2k = (('div2k_valid', 4.0),)
  return (
    _table(
      'x4_y',
      'x4, luma of 8 bits',
      'psnr_y',
      tuple((name, 4.0) for name in ours + theirs),
      rounded,
      'the convention of GSASR, and of IMDN, RLFN and PAN',
    ),
    _table(
      'sets_rgb',
      'Set5, Set14 and DIV2K, RGB',
      'psnr_rgb',
      tuple(
        (name, scale)
        for name in ('set5', 'set14', 'div2k_valid')
        for scale in (2.0, 3.0, 4.0, 6.0)
      ),
      published.MMEDITING_RGB,
      'the published row is of pictures cropped to multiples of 12',
    ),
    _table(
      'div2k_rgb',
      'DIV2K, RGB',
      'psnr_rgb_div2k',
      tuple(('div2k_valid', scale) for scale in published.DIV2K_SCALES),
      published.DIV2K_RGB,
      'the validation set; published rows are trained on DIV2K with x1 to x4 '
      'unless they say otherwise',
    ),
    _table(
      'div2k_ssim', 'DIV2K, SSIM', None, div2k, published.GSASR_SSIM, digits=4
    ),
    _table(
      'div2k_lpips',
      'DIV2K, LPIPS (less is better)',
      None,
      div2k,
      published.GSASR_LPIPS,
      digits=4,
    ),
  )
