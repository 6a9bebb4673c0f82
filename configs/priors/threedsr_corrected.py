"""What the paper of 3DSR means: each view is carried on, with fresh noise."""

from ml_collections import ConfigDict

from configs.priors import diffusion


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  config = diffusion.get_config(arg)
  config.eta = 1.0
  return config
