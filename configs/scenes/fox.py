"""The fox: 50 phone photos, super-resolved from a quarter of 540 x 960.

    python -m experiments.super_resolve --config=configs/scenes/fox.py:cpu \
        --workdir=runs/fox
"""

from configs.base import base, for_a_minute, for_two_cores, parse


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
    for_two_cores(config, capacity=30_000)
    config.fit.update(num_steps=300, refine_stop=200)
  if size == 'smoke':
    config.scene.size = (54, 96)
    for_a_minute(config)
    config.baselines = ()
  return config
