"""GaussianSR for any scale, exact; the argument is a size.

python -m experiments.train_gaussian_sr \
  --config=configs/train/gaussian_sr.py:tiny --workdir=runs/gaussian_sr

`tiny` takes an hour on two cores and is what ships, see the model card in
sr3d_jax/weights; `base` half an hour on a data-centre GPU; `paper` is the
published protocol at 600,000 steps, on DIV2K; none is `base`. `smoke` takes a
minute.

After a comma, `released` is the network as its authors have it, 1,838,159
parameters. `paper,released` is to reproduce them: on DIV2K x4 29.03 +- 0.05 dB
(RGB), on Urban100 x4 26.19 +- 0.05 dB (luma).
"""

from ml_collections import ConfigDict

from configs.train import field_networks

# All options but the sizes: when a default changes, a run goes on as it began
# or is refused, and weights are drawn as they were trained.
EXACT = {
  'splat': 'exact',
  'average': False,
  'centre': 'half_pixel',
  'units': 'lr',
  'blend': 'norm',
  'clamp': False,
  'select': 'soft',
  'eval_select': None,
  'temperature': 1.0,
  'noise': False,
  'sigmas': (0.3, 1.0),
  'max_rho': 0.7,
  'kappa': 1 / 3,
  'radius': None,
  'offsets': False,
  'cubic': -0.5,
  'head': 'query',
  'skip': True,
  'ensemble': 'waves',
}
# What the authors have instead.
RELEASED = {
  'splat': 'tiles',
  'average': True,
  'centre': 'released',
  'units': 'hr',
  'blend': 'sum',
  'clamp': True,
  'eval_select': 'argmax',
  'noise': True,
  'kappa': 0.0,
  'cubic': -0.75,
  'head': 'grid',
  'skip': False,
  'ensemble': 'none',
}
# It draws whole grids, so a batch has one scale: those of x1 to x4 in tenths.
SCALES = tuple(tenths / 10 for tenths in range(10, 41))


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config of one size, of the exact network or the released."""
  words = arg.split(',')
  is_released = 'released' in words
  config = field_networks.sized(
    ','.join(word for word in words if word != 'released')
  )
  config.network.update(EXACT)
  if is_released:
    config.network.update(RELEASED)
    del config.batches['scale_range']
    config.batches.scales = SCALES
  return config
