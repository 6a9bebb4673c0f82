"""A radiance field as input: what it draws is made four times finer.

    python -m experiments.fit_nerf --config=configs/nerf/lego.py:cpu \
        --config.num_steps=500 --workdir=runs/nerf
    python -m experiments.super_resolve --config=configs/scenes/nerf.py:cpu \
        --config.scene.root=$PWD/runs/nerf/nerf.npz --workdir=runs/finer_nerf

The path goes round where the field's own cameras did, and keeps to their arc
otherwise. As with photos of your own there is no finer truth to compare with.
"""

from ml_collections import config_dict

from configs.base import base, for_a_minute, for_two_cores, parse


def get_config(arg: str = ''):
  """Views of the size that the field learnt from; `smoke` takes an eighth."""
  size, prior = parse(arg)
  config = base('configs/scenes/nerf.py', prior)
  config.shrink = 1.0
  config.bound = False
  config.scene = dict(
    name='nerf',
    root='.',
    num_views=48,
    num_test=8,
    path='sinusoid',
    closed=config_dict.placeholder(bool),
    downscale=1.0,
  )
  if size == 'cpu':
    for_two_cores(config, capacity=20_000)
    config.scene.num_views = 32
  if size == 'smoke':
    for_a_minute(config)
    config.scene.update(num_views=8, num_test=2, downscale=8.0)
    config.baselines = ()
  return config
