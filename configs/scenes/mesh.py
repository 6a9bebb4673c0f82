"""A textured mesh: its pictures, shrunk, are made four times finer again.

    python -m experiments.super_resolve \
        --config=configs/scenes/mesh.py:cpu \
        --config.scene.root=/path/to/model.glb \
        --workdir=runs/model

Any of .obj, .glb, .ply, .stl and .off; without that line, the cow `spot` of the
data folder. Models mostly have y up; others want
`--config.scene.up='(0., 0., 1.)'`. The pictures of the mesh itself are the
truth, so the table has every measure. `--config.scene.max_faces=500` makes the
shape coarse before all else. A view of 256 x 256 takes half a second, a
coarser shape about five seconds once, on two cores.
"""

from ml_collections import config_dict

from configs.base import base, for_a_minute, for_two_cores, parse


def get_config(arg: str = ''):
  """Pictures of 512 x 512; `cpu` takes 256 x 256 and `smoke` 64 x 64."""
  size, prior = parse(arg)
  config = base('configs/scenes/mesh.py', prior)
  config.scene = dict(
    name='mesh',
    root='assets/meshes/spot/spot.obj',
    num_views=48,
    num_test=12,
    path='sinusoid',
    up=(0.0, 1.0, 0.0),
    size=(512, 512),
    max_faces=config_dict.placeholder(int),
    light='bare',
    supersample=3,
    background=(1.0, 1.0, 1.0),
  )
  if size == 'cpu':
    for_two_cores(config, capacity=20_000)
    config.scene.update(num_views=32, num_test=8, size=(256, 256))
  if size == 'smoke':
    for_a_minute(config)
    config.scene.update(num_views=8, num_test=2, size=(64, 64))
    config.baselines = ()
  return config
