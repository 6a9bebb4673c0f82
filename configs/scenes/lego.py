"""NeRF-synthetic lego, the 400 x 400 training views, black background.

    python -m experiments.fit_scene --config=configs/scenes/lego.py:cpu \
        --workdir=runs/lego

Size `cpu` on two shared cores: 33.42 dB, SSIM 0.975 on the 25 test views with
50,000 splats in 14 minutes (commit 3a1ef95); drawn by `xla`, 55 minutes.
"""

from configs.base import base, for_few_steps, parse


def get_config(arg: str = ''):
  """100 training views; 25 test views reduced to 400 x 400."""
  size, prior = parse(arg)
  config = base('configs/scenes/lego.py', prior)
  config.scene = dict(
    name='blender',
    root='dev/scenes/nerf_synthetic/lego',
    size=(400, 400),
    test_size=(400, 400),
    num_points=20_000,
    background=(0.0, 0.0, 0.0),
  )
  # Random points: small ones leave the empty space sooner.
  config.representation.update(capacity=200_000, sh_degree=3, init_scale=0.3)
  config.bound = False  # there are no 800-pixel training views here
  if size == 'cpu':
    config.representation.update(capacity=50_000, sh_degree=2, growth=1.1)
    for_few_steps(config)
    config.fit.update(num_steps=7000, refine_stop=6000, sh_every=1000)
    config.first_fit.update(num_steps=2000, refine_stop=1500)
  if size == 'smoke':
    config.scene.update(size=(50, 50), test_size=(50, 50), num_points=500)
    config.representation.update(capacity=2000, sh_degree=0)
    config.fit.update(num_steps=20, chunk=10)
    config.first_fit.update(num_steps=20, chunk=10)
  return config
