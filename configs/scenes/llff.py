"""The eight captures of LLFF at the published protocol, from 1/8 to 1/2.

    python -m experiments.super_resolve \
        --config=configs/scenes/llff.py:horns --workdir=runs/horns

One word names the scene; none is fern. `experiments.super_resolve` wants the
photos in `dev/scenes/llff_NAME` of the data folder, or where both
`--config.scene.root` and `--config.lr_scene.root` say: `images_8` (504 x 378),
`images_2` (2016 x 1512) and `poses_bounds.npy`, as LLFF ships them. Another
number of views than published is an error.

The poses file knows no lens, so that photos stay as they are, as published: the
published code leaves out the radial distortion that COLMAP found. With
`scene.name=colmap`, in both sections, it is taken out instead, of the test
photos too, which is no longer that protocol.

Minutes on a GPU; `cpu`, from 126 x 94 to 504 x 378, 20 minutes on two cores.
"""

from configs.base import base, for_a_minute, for_two_cores, parse

# Training and test views; every eighth of the sorted names is a test view.
VIEWS = {
  'fern': (17, 3),
  'flower': (29, 5),
  'fortress': (36, 6),
  'horns': (54, 8),
  'leaves': (22, 4),
  'orchids': (21, 4),
  'room': (35, 6),
  'trex': (48, 7),
}


def get_config(arg: str = ''):
  """HR: 2016 x 1512; LR: 504 x 378; `cpu`: a quarter of both."""
  words = arg.split(',')
  named = [word for word in words if word in VIEWS] or ['fern']
  size, prior = parse(','.join(word for word in words if word not in VIEWS))
  if len(named) > 1:
    raise ValueError(f'one run has one scene, got {", ".join(named)}')
  config = base('configs/scenes/llff.py', prior)
  scene = dict(
    name='llff',
    root=f'dev/scenes/llff_{named[0]}',
    num_views=VIEWS[named[0]],
    triangulate=False,  # done on the coarse views
  )
  config.scene = dict(scene, images='images_2', size=(2016, 1512))
  config.lr_scene = dict(scene, images='images_8', size=(504, 378))
  if size == 'cpu':
    for_two_cores(config, capacity=40_000)
    # Of one file: two would differ in how they were shrunk, too.
    config.scene.update(images='images_8', size=(504, 378))
    config.lr_scene.size = (126, 94)
  if size == 'smoke':
    for_a_minute(config)
    config.scene.update(images='images_8', size=(112, 84))
    config.lr_scene.size = (28, 21)
    config.baselines = ()
  return config
