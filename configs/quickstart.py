"""The embedded desk: everything the project does, on two cores, no download.

    make quickstart

Rows: LR fit, bicubic -> fit, own prior -> fit, HR fit (bound).
"""

from configs.base import base, parse


def get_config(arg: str = ''):
  """The desk at 256 x 192, from views of 64 x 48."""
  size, prior = parse(arg)
  config = base('configs/quickstart.py', prior)
  config.scene = dict(
    name='procedural', width=256, height=192, num_train=24, num_test=6
  )
  config.representation.update(capacity=16_000, sh_degree=0, growth=1.2)
  config.first_fit.num_steps = 600
  config.fit.num_steps = 600
  if size == 'smoke':
    config.scene.update(
      width=64, height=48, num_train=6, num_test=2, supersample=1,
      num_points=400,
    )  # fmt: skip
    config.representation.capacity = 1000
    config.first_fit.num_steps = 20
    config.fit.num_steps = 20
    config.first_fit.chunk = config.fit.chunk = 10
  return config
