"""One scene of SuperGaussian's test archive as released, 64 to 256 px.

    python -m experiments.super_resolve \
        --config=configs/scenes/supergaussian.py:cpu \
        --config.scene.root=/path/to/scene \
        --config.lr_scene.root=/path/to/scene \
        --workdir=runs/supergaussian/archive_NAME

Coarse views are the archive's own renders of coarse splats, along the captured
path and `traj_1`; the truth is what its fine splats show along `traj_0`, no
photo. Without those two lines the scene is looked for in
`dev/scenes/supergaussian` of the data folder. Nobody here has the archive, so
that no time is known; `cpu` is for two cores.
"""

from configs.base import base, for_a_minute, for_two_cores, parse


def get_config(arg: str = ''):
  """Views of 256 x 256, of 64 x 64; `smoke`, a quarter of both."""
  size, prior = parse(arg)
  config = base('configs/scenes/supergaussian.py', prior)
  scene = dict(
    name='supergaussian',
    root='dev/scenes/supergaussian',
    train=('orig', 'traj_1'),
    test=('traj_0',),
    background=(1.0, 1.0, 1.0),
  )
  config.scene = dict(scene, images='HR_131072_gaussian', side=256)
  config.lr_scene = dict(scene, images='LR_131072_gaussian', side=64)
  if size == 'cpu':
    for_two_cores(config, capacity=40_000)
  if size == 'smoke':
    for_a_minute(config)
    config.scene.side, config.lr_scene.side = 64, 16
    config.baselines = ()
  return config
