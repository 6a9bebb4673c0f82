"""Lego from 200 to 800 px, with more Gaussians: GaussianVAE and its rivals.

    python -m experiments.super_resolve \
        --config=configs/gaussian_vae/lego.py:cpu,refined \
        --workdir=runs/gaussian_vae/lego

Further words as of configs/gaussian_vae/fox.py. The coarse photos are means of
2 x 2 pixels of the files, themselves such means of the published 800 px.
"""

from configs.gaussian_vae import rows
from configs.scenes import lego


def get_config(arg: str = ''):
  """As configs/scenes/lego.py; rows as in `rows`."""
  size = rows.parse(arg).size
  config = lego.get_config(f'{size},bicubic')
  config.source = 'configs/gaussian_vae/lego.py'
  train, fine, coarse = (40, 80, 20) if size == 'smoke' else (400, 800, 200)
  config.scene.update(size=(train, train), test_size=(fine, fine))
  config.lr_scene = {
    **config.scene.to_dict(),
    'size': (coarse, coarse),
    'test_size': (coarse, coarse),
  }
  return rows.compare(config, arg)
