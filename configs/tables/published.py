"""What others published of arbitrary-scale super-resolution, with its sources.

A tag says how a figure is known: [P] the paper's own table, [R] the method's
repository or page, [S] somebody who quotes the paper. None: not known. Bicubic
LR of x2 to x4 is MATLAB's in these papers and Pillow's here.
"""

DIV2K_SCALES = (2.0, 3.0, 4.0, 6.0, 12.0, 18.0, 30.0)
SET_SCALES = (2.0, 3.0, 3.3, 4.0, 6.0, 8.0, 12.0)
LIIF = 'LIIF (Chen et al. 2021), table 1'
THERA = 'Thera (arXiv 2311.17643), table 1'
THERA_RDN = 'Thera (arXiv 2311.17643), table 2'
FIT = 'page of FIT'
GSASR = 'README of GSASR'
MMEDITING = 'README of MMEditing'


def row(name, trained, source, tag, *values):
  """One published row: a value for each column, None where not known."""
  return dict(name=name, trained=trained, source=source, tag=tag, values=values)


def _rdn_x4(name, value, source=THERA):
  known = (None, None, value, None, None, None, None)
  return row(name, 'RDN', source, 'P', *known)


DIV2K_RGB = (
  row('bicubic', '', LIIF, 'P',
      31.01, 28.22, 26.66, 24.82, 22.27, 21.00, 19.59),
  row('EDSR', 'EDSR-baseline, a model per scale', LIIF, 'P',
      34.55, 30.90, 28.94, None, None, None, None),
  row('EDSR x4 + Lanczos', 'EDSR-baseline', THERA, 'P',
      34.52, 30.89, 28.98, 26.75, 23.76, 22.25, 20.62),
  row('MetaSR', 'EDSR-baseline + 0.45 M', LIIF, 'P',
      34.64, 30.93, 28.92, 26.61, 23.55, 22.03, 20.37),
  row('LIIF', 'EDSR-baseline + 0.35 M', LIIF, 'P',
      34.67, 30.96, 29.00, 26.75, 23.71, 22.17, 20.48),
  row('GaussianSR', 'EDSR-baseline + 0.62 M', 'two notes quoting its arXiv v1',
      'S', None, None, 29.03, None, None, None, None),
  row('LTE', 'EDSR-baseline + 0.49 M', THERA, 'P',
      34.72, 31.02, 29.04, 26.81, 23.78, 22.23, 20.53),
  row('CUF', 'EDSR-baseline + 0.30 M', THERA, 'P',
      34.79, 31.07, 29.09, 26.82, 23.78, 22.24, None),
  row('Thera Air', 'EDSR-baseline + 0.008 M', THERA, 'P',
      34.75, 31.09, 29.10, 26.84, 23.80, 22.26, 20.56),
  row('CLIT', 'EDSR-baseline + 15.7 M', THERA, 'P',
      34.81, 31.12, 29.15, 26.92, 23.83, 22.29, 20.53),
  row('SRNO', 'EDSR-baseline + 0.80 M', THERA, 'P',
      34.85, 31.11, 29.16, 26.90, 23.84, 22.29, 20.56),
  row('CiaoSR', 'EDSR-baseline + 1.43 M', THERA, 'P',
      34.88, 31.12, 29.19, 26.92, 23.85, 22.30, 20.44),
  row('MSIT', 'EDSR-baseline + 4.83 M', THERA, 'P',
      34.95, 31.23, 29.22, 26.94, 23.83, 22.27, 20.54),
  row('Thera Plus', 'EDSR-baseline + 1.41 M', THERA, 'P',
      34.81, 31.15, 29.18, 26.91, None, None, None),
  row('Thera Plus, self-ensemble', 'EDSR-baseline + 1.41 M', THERA, 'P',
      34.89, 31.22, 29.24, 26.96, 23.89, 22.34, 20.61),
  row('Thera Pro, self-ensemble', 'EDSR-baseline + 4.63 M', THERA, 'P',
      35.19, 31.50, 29.51, 27.19, 24.09, 22.51, 20.73),
  row('HIIF', 'EDSR-baseline, perhaps DF2K', FIT, 'R',
      34.90, 31.26, 29.28, 27.01, 23.91, None, 20.56),
  row('FIT', 'EDSR-baseline, DF2K', FIT, 'R',
      35.01, 31.35, 29.36, 27.08, 23.97, None, 20.62),
  _rdn_x4('LIIF', 29.27), _rdn_x4('LTE', 29.33), _rdn_x4('CUF', 29.39),
  _rdn_x4('SRNO', 29.42), _rdn_x4('CiaoSR', 29.43), _rdn_x4('Thera Pro', 29.57),
)  # fmt: skip

# Luma, RDN; x2, x3, x4.
_RDN = {
  'LIIF': {
    'set5': (38.17, 34.68, 32.50), 'set14': (33.97, 30.53, 28.80),
    'bsd100': (32.32, 29.26, 27.74), 'urban100': (32.87, 28.82, 26.68),
    'manga109': (39.26, 34.21, 31.20),
  },
  'LTE': {
    'set5': (38.23, 34.72, 32.61), 'set14': (34.09, 30.58, 28.88),
    'bsd100': (32.36, 29.30, 27.77), 'urban100': (33.04, 28.97, 26.81),
    'manga109': (39.28, 34.32, 31.30),
  },
  'CiaoSR': {
    'set5': (38.29, 34.85, 32.66), 'set14': (34.22, 30.65, 28.93),
    'bsd100': (32.41, 29.34, 27.83), 'urban100': (33.30, 29.17, 27.11),
    'manga109': (39.51, 34.57, 31.57),
  },
  'SRNO': {
    'set5': (38.32, 34.84, 32.69), 'set14': (34.27, 30.71, 28.97),
    'bsd100': (32.43, 29.37, 27.83), 'urban100': (33.33, 29.14, 26.98),
    'manga109': (39.52, 34.67, 31.61),
  },
  'Thera Pro': {
    'set5': (38.36, 34.88, 32.79), 'set14': (34.43, 30.85, 29.08),
    'bsd100': (32.46, 29.39, 27.87), 'urban100': (33.63, 29.58, 27.26),
    'manga109': (39.62, 34.98, 31.98),
  },
}  # fmt: skip
# Of LIIF's own paper; x6, x8.
_LIIF_RDN = {
  'set5': (29.15, 27.14),
  'set14': (26.64, 25.15),
  'bsd100': (25.98, 24.91),
  'urban100': (24.20, 22.79),
}


def rdn_y(name):
  """Rows of one set, of luma, by the columns of `SET_SCALES`."""
  rows = []
  for method, sets in _RDN.items():
    two, three, four = sets.get(name, (None,) * 3)
    rows.append(
      row(method, 'RDN', THERA_RDN, 'P', two, three, None, four, *[None] * 3)
    )
  if name in _LIIF_RDN:
    known = (None,) * 4 + _LIIF_RDN[name] + (None,)
    rows.insert(1, row('LIIF', 'RDN', 'LIIF (Chen et al. 2021)', 'P', *known))
  return tuple(rows)


# Luma of x4 on Urban100, DIV2K and LSDIR.
GSASR_Y = (
  row('LIIF', 'EDSR-baseline, 1.57 M in all', GSASR, 'R', 26.14, 30.43, 26.21),
  row('GaussianSR', 'EDSR-baseline, 1.84 M in all', GSASR, 'R',
      26.19, 30.46, 26.23),
  row('CiaoSR', 'EDSR-baseline, 2.65 M in all', GSASR, 'R',
      26.69, 30.67, 26.42),
  row('GSASR, paper', 'EDSR-baseline, 20.44 M in all', GSASR, 'R',
      27.01, 30.89, 26.65),
  row('GSASR, enhanced', 'EDSR-baseline, larger', GSASR, 'R',
      27.34, 31.01, 26.78),
  row('LIIF', 'RDN', GSASR, 'R', 26.71, 30.71, 26.48),
  row('GaussianSR', 'RDN', GSASR, 'R', 26.77, 30.76, 26.53),
  row('CiaoSR', 'RDN', GSASR, 'R', 27.10, 30.91, 26.66),
  row('GSASR', 'RDN', GSASR, 'R', 27.15, 30.96, 26.73),
)  # fmt: skip

# SSIM and LPIPS of x4 on DIV2K.
GSASR_SSIM = (
  row('LIIF', 'EDSR-baseline', GSASR, 'R', 0.8388),
  row('GaussianSR', 'EDSR-baseline', GSASR, 'R', 0.8389),
)
GSASR_LPIPS = (
  row('LIIF', 'EDSR-baseline', GSASR, 'R', 0.2662),
  row('GaussianSR', 'EDSR-baseline', GSASR, 'R', 0.2684),
  row('CiaoSR', 'EDSR-baseline', GSASR, 'R', 0.2585),
  row('GSASR, paper', 'EDSR-baseline', GSASR, 'R', 0.2518),
  row('GSASR, enhanced', 'EDSR-baseline', GSASR, 'R', 0.2508),
)

# RGB of x2, x3, x4, x6 on Set5, Set14 and DIV2K.
MMEDITING_RGB = (
  row('LIIF, trained again', 'EDSR-baseline', MMEDITING, 'R',
      35.71, 32.38, 30.27, 27.12,
      31.56, 28.46, 26.84, 24.75,
      34.66, 30.98, 29.02, 26.78),
)  # fmt: skip
