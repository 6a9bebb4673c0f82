"""The fox: 50 phone photos, super-resolved from a quarter of 540 x 960.

    python -m experiments.super_resolve --config=configs/scenes/fox.py:cpu \
        --workdir=runs/fox
"""

from configs.base import base, parse


def get_config(arg: str = ''):
  """HR: undistorted photos at 540 x 960; LR: a quarter of that."""
  size, prior = parse(arg)
  config = base('configs/scenes/fox.py', prior)
  config.scene = dict(
    name='transforms_json',
    root='dev/scenes/fox',
    size=(540, 960),
    triangulate=False,  # done on the coarse views
  )
  if not prior:
    config.baselines = (
      'bicubic', 'bicubic+anchor', 'rlfn', 'rlfn+anchor', 'imdn',
    )  # fmt: skip
  if size == 'cpu':
    config.representation.update(capacity=40_000, sh_degree=1, growth=1.15)
    config.first_fit.update(num_steps=2000, refine_stop=1500, sh_every=500)
    config.fit.update(num_steps=500, refine_stop=350, refine_start=50, chunk=50)
  if size == 'smoke':
    config.scene.size = (54, 96)
    config.representation.update(capacity=2000, sh_degree=0)
    config.first_fit.update(num_steps=20, chunk=10)
    config.fit.update(num_steps=10, chunk=10)
    config.baselines = ()
  return config
