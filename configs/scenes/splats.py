"""Your own splats: a file of them is drawn, and made four times finer.

    python -m experiments.super_resolve \
        --config=configs/scenes/splats.py:cpu \
        --config.scene.root=/path/to/scene.ply \
        --config.scene.cameras=cameras.json \
        --workdir=runs/mine

The root may be a .ply of 3DGS, a .compressed.ply, a .splat or an .spz.
`cameras.json` is looked for beside the splats (3DGS leaves it two folders up:
`../../cameras.json`); without that line they are circled from outside, level
to what is up in their format, or to `--config.scene.up='(0., -1., 0.)'`. As
with photos of your own there is no finer truth to compare with.
"""

from ml_collections import config_dict

from configs.base import base, for_a_minute, for_two_cores, parse


def get_config(arg: str = ''):
  """Renders at the cameras' size; `smoke` takes an eighth of it."""
  size, prior = parse(arg)
  config = base('configs/scenes/splats.py', prior)
  config.shrink = 1.0
  config.bound = False
  config.scene = dict(
    name='splats',
    root='.',
    cameras=config_dict.placeholder(str),
    num_views=32,
    up=config_dict.placeholder(tuple),
    downscale=1.0,
  )
  if size == 'cpu':
    for_two_cores(config, capacity=40_000)
  if size == 'smoke':
    for_a_minute(config)
    config.scene.downscale = 8.0
    config.baselines = ()
  return config
