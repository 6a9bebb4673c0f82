"""The fox of a quarter, with more Gaussians: GaussianVAE and what it must beat.

    python -m experiments.super_resolve \
        --config=configs/gaussian_vae/fox.py:cpu \
        --workdir=runs/gaussian_vae/fox

Further words: `refined` adds rows with steps on the coarse photos; `dilated`
draws all as 3DGS does, whose `lr_fit` is the second of the baselines.
"""

from configs.gaussian_vae import rows
from configs.scenes import fox


def get_config(arg: str = ''):
  """As configs/scenes/fox.py; rows as in `rows`."""
  size, _ = rows.parse(arg)
  config = fox.get_config(f'{size},bicubic')
  config.source = 'configs/gaussian_vae/fox.py'
  config.bound = False
  return rows.compare(config, arg)
