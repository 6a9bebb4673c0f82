"""The fox: 50 phone photos, super-resolved from a quarter of 540 x 960.

    python -m experiments.super_resolve --config=configs/scenes/fox.py:cpu \
        --workdir=runs/fox

Size `cpu` on two shared cores, 41 minutes, PSNR on the seven test views (commit
d9c3851): LR fit 26.18 dB, bicubic 26.54 (anchored 26.64), RLFN 26.68 (26.78),
IMDN 26.71, own 26.71, HR fit 26.89. Detail is not what parts the first from the
last: shrunk to a quarter, their test views still differ from the coarse photos
by 27.5 and 28.2 dB. That run had too few splats at first (`growth` 1.15); with
1.3 the LR fit alone reaches 27.46 dB, and the other rows have not been run.
"""

from configs.base import base, for_a_minute, for_two_cores, parse


def get_config(arg: str = ''):
  """HR: undistorted photos at 540 x 960; LR: a quarter of that."""
  size, prior = parse(arg)
  config = base('configs/scenes/fox.py', prior)
  config.scene = dict(
    name='transforms_json',
    root='dev/scenes/fox',
    size=(540, 960),
    triangulate=False,  # done on the coarse views
  )
  config.anchor = False  # rows with and without it stand side by side
  if not prior:
    config.baselines = (
      'bicubic', 'bicubic+anchor', 'rlfn', 'rlfn+anchor', 'imdn',
    )  # fmt: skip
  if size == 'cpu':
    for_two_cores(config, capacity=40_000)
    config.fit.update(num_steps=400, refine_stop=300)
  if size == 'smoke':
    config.scene.size = (54, 96)
    for_a_minute(config)
    config.baselines = ()
  return config
