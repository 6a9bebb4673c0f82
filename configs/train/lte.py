"""LTE for any scale; the argument is a size, as for GaussianSR.

python -m experiments.train_gaussian_sr \
  --config=configs/train/lte.py:base --workdir=runs/lte

`paper` is the published network, 1,714,267 parameters, at 600,000 steps.
"""

from ml_collections import ConfigDict

from configs.train import field_networks


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config of one size."""
  config = field_networks.sized(arg)
  config.network.name = 'lte'
  config.network.hidden = config.network.hidden[1:]
  config.optimizer.rates = {}  # there is no bank
  return config
