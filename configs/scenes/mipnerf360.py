"""The nine captures of Mip-NeRF 360 at the published protocol, 1/8 to 1/2.

    python -m experiments.super_resolve \
        --config=configs/scenes/mipnerf360.py:garden --workdir=runs/garden

One word names the scene; none is garden. The photos are wanted in
`dev/scenes/mipnerf360_NAME` of the data folder, or where both
`--config.scene.root` and `--config.lr_scene.root` say: `images_8`, `images_2`
and `sparse/0`, as they are published. Another number of views than published is
an error. The cameras are pinholes already.

1/8 of a side is no whole number of pixels: LR is rounded, and HR is four times
that, within two pixels of `images_2`, which is resized to it. To make both of
the full photos, as some papers do, set `scene.images` and `lr_scene.images` to
`images`. Means are told indoors and outdoors apart: outdoors, but for garden,
bicubic is within 0.4 dB of a fit to the fine photos, or above it.

A GPU and 32 GB of memory, for the fine views; `cpu` is from 1/32 to 1/8.
"""

from configs.base import base, for_a_minute, for_two_cores, parse

# (training and test views, (width, height) of 1/8, of 1/32, for `cpu`)
SCENES = {
  'bicycle': ((169, 25), (618, 411), (154, 103)),
  'flowers': ((151, 22), (628, 414), (157, 104)),
  'garden': ((161, 24), (648, 420), (162, 105)),
  'stump': ((109, 16), (622, 412), (156, 103)),
  'treehill': ((123, 18), (634, 416), (158, 104)),
  'room': ((272, 39), (389, 259), (97, 65)),
  'counter': ((210, 30), (389, 260), (97, 65)),
  'kitchen': ((244, 35), (389, 260), (97, 65)),
  'bonsai': ((255, 37), (390, 260), (98, 65)),
}
INDOORS = ('room', 'counter', 'kitchen', 'bonsai')
OUTDOORS = tuple(name for name in SCENES if name not in INDOORS)
# About where the authors of MCMC stop: 1.2 to 1.8 M and 4.75 to 5.9 M.
CAPACITY = {'indoors': 1_500_000, 'outdoors': 5_000_000}


def get_config(arg: str = ''):
  """HR: four times LR, about 1/2; LR: 1/8 of the photos."""
  words = arg.split(',')
  named = [word for word in words if word in SCENES] or ['garden']
  size, prior = parse(','.join(word for word in words if word not in SCENES))
  if len(named) > 1:
    raise ValueError(f'one run has one scene, got {", ".join(named)}')
  views, eighth, small = SCENES[named[0]]
  config = base('configs/scenes/mipnerf360.py', prior)
  scene = dict(
    name='colmap',
    root=f'dev/scenes/mipnerf360_{named[0]}',
    num_views=views,
    triangulate=False,  # done on the coarse views; the model's saw fine ones
  )
  config.scene = dict(scene, images='images_2', size=_times(eighth, 4))
  config.lr_scene = dict(scene, images='images_8', size=eighth)
  place = 'indoors' if named[0] in INDOORS else 'outdoors'
  config.representation.capacity = CAPACITY[place]
  if size == 'cpu':
    for_two_cores(config, capacity=40_000)
    config.scene.update(images='images_8', size=_times(small, 4))
    config.lr_scene.size = small
  if size == 'smoke':
    for_a_minute(config)
    config.scene.update(images='images_8', size=_times(_over(small, 4), 4))
    config.lr_scene.size = _over(small, 4)
    config.baselines = ()
  return config


def _times(size: tuple[int, int], factor: int) -> tuple[int, int]:
  return size[0] * factor, size[1] * factor


def _over(size: tuple[int, int], factor: int) -> tuple[int, int]:
  return size[0] // factor, size[1] // factor
