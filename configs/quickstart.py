"""The embedded desk: everything the project does, on two cores, no download.

    make quickstart

Rows: LR fit, bicubic -> fit, own prior -> fit without and with the anchor in
the LR photos, own diffusion with a quarter of the anchored fit after each of
its steps, HR fit (bound).
"""

from configs.base import base, for_few_steps, parse


def get_config(arg: str = ''):
  """The desk at 320 x 240, from views of 80 x 60."""
  size, prior = parse(arg)
  config = base('configs/quickstart.py', prior)
  config.scene = dict(
    name='procedural', width=320, height=240, num_train=24, num_test=6
  )
  config.representation.update(capacity=20_000, sh_degree=0, growth=1.2)
  for_few_steps(config)
  config.baselines = ('bicubic', 'own', 'diffusion+anchor')
  config.first_fit.num_steps = 500
  config.fit.num_steps = 500
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
