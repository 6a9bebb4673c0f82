"""Any coarse 3D content, four times finer: SuperGaussian on what you have.

    python -m experiments.super_resolve \
        --config=configs/supergaussian/any.py:cpu \
        --config.scene.root=/path/to/model.glb \
        --workdir=runs/model

The root may be a mesh (.obj, .glb, .ply, .stl, .off), splats (.ply, .spz,
.splat, .compressed.ply), a NeRF (the nerf.npz of experiments.fit_nerf) or
a folder of photos (with or without poses); `sr3d_jax/inputs.py` tells how that
is known. Each kind has a section of what else it may be told, such as
`--config.scene.mesh.up='(0., 0., 1.)'`.

Pictures of it are enlarged as a film and lifted to a scene; beside them stand
renders along a path of its own, which `rows.supergaussian.paths` lays. There is
no finer truth, so the table shows how well results, shrunk, explain views that
were held out. `--config.shrink=4` makes the pictures the truth instead, and
shrinks them first.
"""

from ml_collections import ConfigDict, config_dict

from configs import base

ROW = 'supergaussian'
SIZES = {'': 256, 'cpu': 96, 'smoke': 16}  # px of the coarse views of a model
VIEWS = {'': 60, 'cpu': 32, 'smoke': 6}
STEPS = {'': 2000, 'cpu': 1000, 'smoke': 8}  # the paper: 2,000


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; words: `cpu`, `smoke`, or a prior."""
  size, prior = base.parse(arg)
  config = base.base('configs/supergaussian/any.py', prior or 'video')
  side, num_views = SIZES[size], VIEWS[size]
  around = dict(num_views=num_views, size=(side, side))
  config.update(shrink=1.0, bound=False, main=ROW)
  config.scene = dict(
    name='any',
    root='assets/meshes/spot/spot.obj',
    mesh=dict(
      **around,
      num_test=max(2, num_views // 4),
      path='sinusoid',
      up=(0.0, 1.0, 0.0),
      max_faces=config_dict.placeholder(int),
      background=(1.0, 1.0, 1.0),
    ),
    splats=dict(
      **around,
      up=config_dict.placeholder(tuple),
      cameras=config_dict.placeholder(str),
      background=(1.0, 1.0, 1.0),
    ),
    nerf=dict(**around, num_test=max(2, num_views // 4)),
    photos=dict(downscale=config_dict.placeholder(float)),
  )
  config.baselines = ('bicubic',)
  config.rows = {ROW: row(size, prior or 'video')}
  if size == 'cpu':
    base.for_two_cores(config, capacity=40_000)
    config.representation.density_control = 'gof'
  if size == 'smoke':
    base.for_a_minute(config)
    for_tiny_network(config)
  config.fit.update(num_steps=STEPS[size], refine_stop=STEPS[size] * 3 // 4)
  return config


def row(size: str, prior: str = 'video', **changes) -> dict:
  """The photos as they are and renders along a wave, each as one film."""
  settings = {'order': 'pose'} if prior == 'video' else {}
  return {
    'prior': prior,
    'settings': settings,
    'paths': (
      {'name': 'captured', 'photos': True},
      {'name': 'sinusoid', 'num_views': VIEWS[size]},
    ),
    'anchor_weight': 1.0,
    **changes,
  }


def for_tiny_network(config: ConfigDict) -> None:
  """Rehearses with an untrained network, which compiles at once."""
  if config.prior.name == 'video':
    config.prior.weights = 'untrained'
    config.prior.sizes.update(
      channels=4, num_blocks=1, fine_channels=4, flow_channels=(4,),
      flow_levels=2,
    )  # fmt: skip
