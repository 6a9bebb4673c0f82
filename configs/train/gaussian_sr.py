"""GaussianSR for any scale, exact; the argument is a size.

python -m experiments.train_gaussian_sr \
  --config=configs/train/gaussian_sr.py:tiny --workdir=runs/gaussian_sr

`tiny` takes an hour on two cores and is what ships, see the model card in
sr3d_jax/weights; `base` half an hour on a data-centre GPU; `paper` is the
published protocol at 600,000 steps, on DIV2K; none is `base`. `smoke` takes a
minute.
"""

from ml_collections import ConfigDict

from configs.train import field_networks


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config of one size."""
  config = field_networks.sized(arg)
  config.network.update(name='gaussian_sr')
  return config
