"""Splats of a file, and more of them: no photo is looked at, nothing is fitted.

    python -m experiments.super_resolve --config=configs/gaussian_vae/ply.py \
        --config.scene.root=/path/to/scene.ply \
        --workdir=runs/finer

Cameras as of configs/scenes/splats.py. They say only where detail is wanted:
four times as fine as what they would show. There is no finer truth either, so
that the table shows how well the result, shrunk, explains the file's renders.
What is exported has children of the shipped network, four of every Gaussian
that may have some.
"""

from configs.gaussian_vae import rows
from configs.scenes import splats


def get_config(arg: str = ''):
  """As configs/scenes/splats.py, whose file is taken as it is."""
  config = splats.get_config(f'{rows.parse(arg).size},bicubic')
  config.source = 'configs/gaussian_vae/ply.py'
  config.given = True
  config.representation.update(sh_degree=3, filter3d=False)
  config = rows.compare(config, arg)
  # Nothing tells what filter a file was smoothed by.
  names = [row for row in config.rows if not row.endswith('_fine')]
  config.rows = {row: config.rows[row].to_dict() for row in names}
  config.main = 'vae' if 'vae' in names else 'split'
  config.baselines = tuple(row for row in names if row != config.main)
  config.measures = ('lr_psnr',)
  return config
