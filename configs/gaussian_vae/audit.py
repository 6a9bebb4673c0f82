"""Do splits do what the Hessian says, on a scene fitted to real photos?

    python -m experiments.audit_splits --config=configs/gaussian_vae/audit.py \
        --workdir=runs/audit_splits

The fox at 136 x 240, 8,000 splats after 500 steps; 200 of them are split, one
at a time, along the eigenvector of S's least eigenvalue. `smoke` takes the
procedural desk.
"""

from ml_collections import ConfigDict

from configs.base import base, for_few_steps

TINY_DESK = dict(
  name='procedural', width=64, height=48, num_train=6, num_test=0,
  supersample=1, num_points=400,
)  # fmt: skip


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config; words: `smoke`."""
  if arg not in ('', 'smoke'):
    raise ValueError(f'the config argument is smoke, got {arg!r}')
  shared = base('', '')
  for_few_steps(shared)
  shared.representation.update(
    capacity=8000, sh_degree=0, growth=1.2, density_control='gof'
  )
  shared.first_fit.update(num_steps=500, refine_stop=400, sh_every=0)
  config = ConfigDict(
    {
      'seed': 0,
      'scene': {
        'name': 'transforms_json',
        'root': 'dev/scenes/fox',
        'size': (136, 240),
      },
      'representation': shared.representation,
      'drawing': shared.drawing,
      'fit': shared.first_fit,
      'num': 200,
      'shifts': (0.05, 0.1, 0.2, 0.5),  # standard deviations
    }
  )
  if arg == 'smoke':
    config.scene = TINY_DESK
    config.representation.capacity = 500
    config.fit.update(num_steps=20, chunk=10)
    config.update(num=20, shifts=(0.1,))
  return config
