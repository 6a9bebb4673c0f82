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

from configs.base import base, parse


def get_config(arg: str = ''):
  """Photos with a transforms.json; other loaders by `scene.name`."""
  size, prior = parse(arg)
  config = base('configs/scenes/own_folder.py', prior)
  config.shrink = 1.0
  config.bound = False
  config.scene = dict(
    name='transforms_json', root='.', downscale=1.0, triangulate=True
  )
  if size:
    config.representation.update(capacity=40_000, sh_degree=1, growth=1.15)
    config.first_fit.update(num_steps=2000, refine_stop=1500, sh_every=500)
    config.fit.update(num_steps=500, refine_stop=350, refine_start=50, chunk=50)
  if size == 'smoke':
    config.representation.update(capacity=2000, sh_degree=0)
    config.first_fit.update(num_steps=20, chunk=10)
    config.fit.update(num_steps=10, chunk=10)
  return config
