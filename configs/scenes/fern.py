"""LLFF's fern, 17 photos from 1/8 to 1/2: the published fourfold protocol.

    python -m experiments.super_resolve --config=configs/scenes/fern.py:cpu \
        --workdir=runs/fern

Both sizes come from files, as published: the coarse photos from `images_8`
(504 x 378), the truth from `images_2` (2016 x 1512). `cpu` halves both, which
is fourfold still but no longer comparable with published figures. It took 18
minutes on two shared cores (commit 3a1ef95), PSNR on three test views: LR fit
21.06 dB, bicubic 21.20, own, anchored, 21.48, HR fit 21.50.
"""

from configs.base import base, for_a_minute, for_two_cores, parse


def get_config(arg: str = ''):
  """HR: 2016 x 1512; LR: 504 x 378; `cpu`: 1008 x 756 and 252 x 189."""
  size, prior = parse(arg)
  config = base('configs/scenes/fern.py', prior)
  config.scene = dict(
    name='llff',
    root='dev/scenes/llff_fern',
    images='images_2',
    size=(2016, 1512),
    triangulate=False,  # done on the coarse views
  )
  config.lr_scene = dict(
    name='llff',
    root='dev/scenes/llff_fern',
    images='images_8',
    size=(504, 378),
    triangulate=False,
  )
  if size == 'cpu':
    for_two_cores(config, capacity=40_000)
    config.scene.size = (1008, 756)
    config.lr_scene.size = (252, 189)
  if size == 'smoke':
    for_a_minute(config)
    config.scene.size = (112, 84)
    config.lr_scene.size = (28, 21)
    config.baselines = ()
  return config
