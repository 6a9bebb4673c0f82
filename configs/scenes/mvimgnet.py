"""One object of MVImgNet, its photos shrunk to 64 px and made 256 px again.

    python -m experiments.super_resolve \
        --config=configs/scenes/mvimgnet.py:cpu \
        --config.scene.root=/path/to/CLASS/INSTANCE \
        --workdir=runs/supergaussian/mvimgnet_CLASS_INSTANCE

Every eighth photo is held out and is the truth, which SuperGaussian's own
protocol has not: see configs/scenes/supergaussian.py. Without that line the
object is looked for in `dev/scenes/mvimgnet` of the data folder. Captures that
are incomplete are told, see `scenes.mvimgnet`. Nobody here has the set, so that
no time is known; `cpu` is for two cores.
"""

from ml_collections import config_dict

from configs.base import base, for_a_minute, for_two_cores, parse


def get_config(arg: str = ''):
  """Views of 256 x 256 and a quarter of that; `smoke`, 64 x 64."""
  size, prior = parse(arg)
  config = base('configs/scenes/mvimgnet.py', prior)
  config.scene = dict(
    name='mvimgnet',
    root='dev/scenes/mvimgnet',
    side=256,
    mask_root=config_dict.placeholder(str),
    min_views=20,
    max_missing=0,
    background=(1.0, 1.0, 1.0),
  )
  if size == 'cpu':
    for_two_cores(config, capacity=40_000)
  if size == 'smoke':
    for_a_minute(config)
    config.scene.update(side=64, min_views=4)
    config.baselines = ()
  return config
