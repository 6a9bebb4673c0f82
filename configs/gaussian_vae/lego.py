"""Lego of a quarter, with more Gaussians: GaussianVAE and what it must beat.

    python -m experiments.super_resolve \
        --config=configs/gaussian_vae/lego.py:cpu,refined \
        --workdir=runs/gaussian_vae/lego

Further words as of configs/gaussian_vae/fox.py.
"""

from configs.gaussian_vae import rows
from configs.scenes import lego


def get_config(arg: str = ''):
  """As configs/scenes/lego.py; rows as in `rows`."""
  config = lego.get_config(f'{rows.parse(arg).size},bicubic')
  config.source = 'configs/gaussian_vae/lego.py'
  return rows.compare(config, arg)
