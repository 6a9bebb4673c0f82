"""GaussianSR by the shipped weights, any scale; see sr3d_jax/weights."""

from ml_collections import ConfigDict

from configs.train import field_networks


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  del arg
  sizes = field_networks.sized('tiny').network.to_dict()
  return ConfigDict(
    {
      'name': 'continuous',
      'network': sizes.pop('name'),
      'weights': 'shipped',
      'sizes': sizes,
      'scale': 4.0,
    }
  )
