"""Your own photos, four times finer: posed ones,

    python -m experiments.super_resolve \
        --config=configs/scenes/own_folder.py:cpu \
        --config.scene.root=/path/to/folder_with_transforms_json \
        --workdir=runs/mine

or plain ones, which COLMAP places first (once; minutes for 50 photos):

    python -m experiments.super_resolve \
        --config=configs/scenes/own_folder.py:cpu \
        --config.scene.name=photos \
        --config.scene.root=/path/to/folder_of_photos \
        --workdir=runs/mine

The photos are the coarse views themselves (`shrink` is 1), so there is no finer
truth to compare with: the table shows how well each result, shrunk, explains
held-out photos. `--config.scene.downscale=4` shrinks large photos on load.
"""

from configs.base import base, for_a_minute, for_two_cores, parse


def get_config(arg: str = ''):
  """Photos with a transforms.json; other loaders by `scene.name`."""
  size, prior = parse(arg)
  config = base('configs/scenes/own_folder.py', prior)
  config.shrink = 1.0
  config.bound = False
  config.scene = dict(
    name='transforms_json', root='.', downscale=1.0, triangulate=True
  )
  if size == 'cpu':
    for_two_cores(config, capacity=40_000)
  if size == 'smoke':
    for_a_minute(config)
  return config
