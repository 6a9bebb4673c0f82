"""LIIF for any scale; the argument is a size, as for GaussianSR.

python -m experiments.train_gaussian_sr \
  --config=configs/train/liif.py:base --workdir=runs/liif

`paper` is the published network, 1,567,323 parameters, at 600,000 steps.
"""

from ml_collections import ConfigDict

from configs.train import field_networks


def get_config(arg: str = '') -> ConfigDict:
  """Returns the config of one size."""
  config = field_networks.sized(arg)
  config.network.name = 'liif'
  del config.network['width']
  config.optimizer.rates = {}  # there is no bank
  return config
