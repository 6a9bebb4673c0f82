"""A radiance field of NeRF-synthetic lego, whose steps say how coarse it is.

    python -m experiments.fit_nerf --config=configs/nerf/lego.py:cpu \
        --config.num_steps=500 --workdir=runs/nerf_500

Any scene will do, say `--config.scene.name=colmap --config.scene.root=...`
with keys of its own; its points give the box, or `--config.box` does.
"""

from ml_collections import ConfigDict, config_dict

from configs.base import parse


def get_config(arg: str = '') -> ConfigDict:
  """Views of 200 x 200, the low resolution of its x4 protocol."""
  size, prior = parse(arg)
  if prior:
    raise ValueError(f'a field has no prior, got {prior!r}: leave it out')
  config = ConfigDict(
    dict(
      seed=0,
      num_steps=5000,
      shrink=1.0,
      scene=dict(
        name='blender',
        root='dev/scenes/nerf_synthetic/lego',
        size=(200, 200),
        test_size=(200, 200),
        background=(0.0, 0.0, 0.0),
      ),
      box=config_dict.placeholder(tuple),
      network=dict(
        near=0.05,
        resolution=192,
        density_channels=8,
        color_channels=16,
        hidden=64,
        proposal=96,
        num_coarse=96,
        num_fine=32,
      ),
      batches=dict(batch_size=4096, seed=0),
      optimizer=dict(
        learning_rate=0.02, rates={'coarse': 10.0, 'mix|layers|last': 0.1}
      ),
      train=dict(chunk=50, ema_decay=0.95),
    )
  )
  if size == 'cpu':
    config.num_steps = 2000
    config.network.update(
      resolution=128, proposal=64, num_coarse=64, num_fine=16
    )
    config.batches.batch_size = 1024
  if size == 'smoke':
    config.num_steps = 20
    config.scene.update(size=(32, 32), test_size=(32, 32), num_points=500)
    config.network.update(
      resolution=16, proposal=16, num_coarse=16, num_fine=8, hidden=8
    )
    config.batches.batch_size = 256
    config.train.chunk = 10
  return config
