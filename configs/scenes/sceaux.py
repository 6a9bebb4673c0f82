"""Sceaux castle: 11 photos of a facade, super-resolved from a quarter.

    python -m experiments.super_resolve --config=configs/scenes/sceaux.py:cpu \
        --workdir=runs/sceaux
"""

from configs.base import base, for_a_minute, for_two_cores, parse


def get_config(arg: str = ''):
  """HR: undistorted photos at half size, 708 x 532; LR: a quarter of that."""
  size, prior = parse(arg)
  config = base('configs/scenes/sceaux.py', prior)
  config.scene = dict(
    name='transforms_json', root='dev/scenes/sceaux', size=(708, 532)
  )
  if size == 'cpu':
    for_two_cores(config, capacity=30_000)
  if size == 'smoke':
    for_a_minute(config)
    config.scene.size = (88, 66)
  return config
