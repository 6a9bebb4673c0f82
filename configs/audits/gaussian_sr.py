"""What a trained GaussianSR does beside its PSNR: audits, a word each.

    python -m experiments.audit --config=configs/audits/gaussian_sr.py \
        --workdir=runs/audit

`patterns` (ripple, lattice and seams that show; what is left of gratings),
`gates` (signatures of a bank that fails), `usage` (which kernels print, charts,
nature and buildings take), `uncertainty`, `back_projection`, `film` (flicker);
none is all of these. `training` (flips of kernels at its end, leaps of loss and
gradient) wants --config.run=runs/gaussian_sr, a training's folder. Some minutes
on two cores with the shipped weights; for others, set --config.prior.weights
and --config.prior.sizes. `smoke` asks an untrained network.
"""

from ml_collections import ConfigDict

from configs.priors import gaussian_sr

SQUARES = {
  'roots': ('dev/images/bsd100', 'dev/images/set14'),
  'size': 192,
  'most': 6,
}
STRATA = {
  'nature': ('dev/images/bsd100',),
  'buildings': ('dev/images/urban100_a',),
  'text': ('drawn:text',),
  'charts': ('drawn:charts',),
}
AUDITS = {
  'patterns': {'scale': 4.0, 'cycles': (0.25, 0.5)},
  'gates': {'scale': 4.0, 'hole_scale': 30.0},
  'usage': {'scale': 4.0},
  'uncertainty': {'scale': 4.0, 'num_bins': 10},
  'back_projection': {'scales': (2.0, 3.0, 4.0), 'steps': (0, 1, 3)},
  'film': {
    'motions': ('pan', 'zoom', 'turn'),
    'scale': 4.0,
    'num_frames': 8,
    'speed': 1.3,
  },
  'training': {'scale': 4.0},
}


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior, the pictures and the audits that the words name."""
  words = [word for word in arg.split(',') if word not in ('', 'smoke')]
  unknown = [word for word in words if word not in AUDITS]
  if unknown:
    raise ValueError(
      f'unknown audit {unknown[0]!r}: choose from {", ".join(AUDITS)}'
    )
  words = words or [word for word in AUDITS if word != 'training']
  config = ConfigDict(
    {
      'seed': 0,
      'prior': gaussian_sr.get_config(),
      'squares': SQUARES,
      'strata': STRATA,
      'audits': {word: AUDITS[word] for word in words},
      'run': '',
    }
  )
  if 'smoke' in arg.split(','):
    _rehearse(config)
  return config


def _rehearse(config: ConfigDict) -> None:
  """Drawings of 120 px, and a network of eight channels that knows nothing."""
  config.prior.weights = None
  config.prior.sizes = {
    'encoder': {'name': 'edsr', 'channels': 8, 'num_blocks': 1},
    'num_kernels': 9,
    'gaussian_channels': 4,
    'width': 8,
    'hidden': (8,),
  }
  config.squares.update(roots=('drawn:charts',), size=120, most=2)
  config.strata = {
    'text': ('drawn:text',),
    'charts': ('drawn:charts',),
  }
  for word, section in config.audits.items():
    if word == 'patterns':
      section.scale = 2.5
    if word == 'film':
      section.update(motions=('pan',), num_frames=2)
    if word == 'gates':
      section.hole_scale = 8.0
    if word == 'back_projection':
      section.scales = (4.0,)
