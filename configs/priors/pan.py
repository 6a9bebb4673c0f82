"""PAN with its published weights."""

from ml_collections import ConfigDict


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  del arg
  return ConfigDict(
    {
      'name': 'published',
      'network': 'pan',
      'weights': 'weights/pan/PANx4_DF2K.pth',
      'scale': 4.0,
    }
  )
