"""The fox of a quarter, with more Gaussians: GaussianVAE and what it must beat.

    python -m experiments.super_resolve \
        --config=configs/gaussian_vae/fox.py:cpu,refined \
        --workdir=runs/gaussian_vae/fox

Further words as of configs/gaussian_vae/rows.py: `dilated,refined,baselines`
makes the second of the baselines, the coarse scene as 3DGS draws it;
configs/tables/gaussianvae.py says where each run is looked for.
"""

from configs.gaussian_vae import rows
from configs.scenes import fox


def get_config(arg: str = ''):
  """As configs/scenes/fox.py; rows as in `rows`."""
  config = fox.get_config(f'{rows.parse(arg).size},bicubic')
  config.source = 'configs/gaussian_vae/fox.py'
  return rows.compare(config, arg)
