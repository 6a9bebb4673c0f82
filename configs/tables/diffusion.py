"""The shipped diffusion beside a regression and beside grain, x4.

    python -m experiments.compare_textures \
        --config=configs/tables/diffusion.py --workdir=runs/textures

The regression is the same network, trained as long to guess at once; its
weights do not ship (configs/train/diffusion_sr.py:tiny,regression makes them):
name them by --config.rows.regression.weights. What came out is in
docs/results/diffusion.md.
"""

from ml_collections import ConfigDict

from configs.priors import bicubic, diffusion

REGRESSION = 'runs/diffusion_regression/weights.npz'


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; `smoke` for one small set."""
  smoke = 'smoke' in arg.split(',')
  sampled = {**diffusion.get_config().to_dict(), 'at_once': True}
  regression = {
    **sampled,
    'weights': REGRESSION,
    'timesteps': (999,),  # noise alone
    'noise': 'none',
  }
  roots = ('dev/images/bsd100', 'dev/images/urban100_a')
  return ConfigDict(
    {
      'seed': 0,
      'scale': 4.0,
      'roots': ('dev/images/urban100_a',) if smoke else roots,
      'measures': ('psnr_rgb', 'ssim_y', 'gmsd', 'haarpsi')
      + (() if smoke else ('niqe',)),
      'rows': {
        'bicubic': bicubic.get_config().to_dict(),
        'regression': regression,
        'diffusion': sampled,
      },
      'sampled': 'diffusion',
      # of whose crops: (row, column) of the middle as shares
      'shown': {
        '108070': (0.5, 0.45),
        '148089': (0.5, 0.5),
        'img_001': (0.4, 0.5),
        'img_043': (0.5, 0.5),
      },
      'side': 160,
    }
  )
