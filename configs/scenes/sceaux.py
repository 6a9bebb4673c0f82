"""Sceaux castle: 11 photos of a facade, super-resolved from a quarter.

    python -m experiments.super_resolve --config=configs/scenes/sceaux.py:cpu \
        --workdir=runs/sceaux
"""

from configs.base import base, parse


def get_config(arg: str = ''):
  """HR: undistorted photos at half size, 708 x 532; LR: a quarter of that."""
  size, prior = parse(arg)
  config = base('configs/scenes/sceaux.py', prior)
  config.scene = dict(
    name='transforms_json', root='dev/scenes/sceaux', size=(708, 532)
  )
  if size == 'cpu':
    config.representation.update(capacity=30_000, sh_degree=1, growth=1.15)
    config.first_fit.update(num_steps=2000, refine_stop=1500, sh_every=500)
    config.fit.update(num_steps=500, refine_stop=350, refine_start=50, chunk=50)
  if size == 'smoke':
    config.scene.size = (88, 66)
    config.representation.update(capacity=2000, sh_degree=0)
    config.first_fit.update(num_steps=20, chunk=10)
    config.fit.update(num_steps=10, chunk=10)
  return config
