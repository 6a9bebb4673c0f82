"""A desk and a cow whose surfaces are known: does the shape gain, too?

    python -m experiments.super_resolve \
        --config=configs/gaussian_vae/shapes.py:desk,cpu,x4 \
        --workdir=runs/gaussian_vae/shapes_desk_x4_seed0
    python -m experiments.evaluate_geometry \
        --config=configs/gaussian_vae/shapes.py:desk,cpu,x4 \
        --workdir=runs/gaussian_vae/shapes_desk_x4_seed0

Words: a scene, `desk` (procedural, of a seed that nothing was trained on) or
`spot` (a textured mesh below the data folder); how much finer, `x2`, `x3` or
`x4`; further words as of configs/gaussian_vae/rows.py.
"""

from configs.base import base, for_a_minute, for_two_cores
from configs.gaussian_vae import rows

SCENES = {
  'desk': {
    'name': 'procedural', 'width': 768, 'height': 576, 'num_train': 40,
    'num_test': 8, 'supersample': 3,
  },
  'spot': {
    'name': 'mesh', 'root': 'assets/meshes/spot/spot.obj', 'size': (576, 576),
    'num_views': 40, 'num_test': 8, 'supersample': 2,
  },
}  # fmt: skip
SCALES = {'x2': 2.0, 'x3': 3.0, 'x4': 4.0}


def get_config(arg: str = ''):
  """Returns one scene at one scale; the desk, four times finer, by default."""
  words = rows.parse(arg, (*SCENES, *SCALES, *rows.FLAGS))
  scenes = [word for word in words.flags if word in SCENES] or ['desk']
  scales = [word for word in words.flags if word in SCALES] or ['x4']
  if len(scenes + scales) > 2:
    raise ValueError(f'one run has one scene and one scale, got {arg!r}')
  config = base('configs/gaussian_vae/shapes.py', 'bicubic')
  config.scene = SCENES[scenes[0]]
  config.shrink = config.prior.scale = SCALES[scales[0]]
  if words.size == 'cpu':
    for_two_cores(config, capacity=40_000)
  if words.size == 'smoke':
    for_a_minute(config)
    small = {'width': 96, 'height': 72, 'num_train': 6, 'num_test': 2}
    if scenes[0] == 'spot':
      small = {'size': (72, 72), 'num_views': 6, 'num_test': 2}
    config.scene.update(**small, supersample=1, num_points=400)
  chosen = (word for word in arg.split(',') if word not in {*SCENES, *SCALES})
  return rows.compare(config, ','.join(chosen))
