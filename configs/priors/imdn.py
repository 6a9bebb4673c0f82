"""IMDN with its published weights."""

from ml_collections import ConfigDict


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  del arg
  return ConfigDict(
    {
      'name': 'published',
      'network': 'imdn',
      'weights': 'weights/imdn/IMDN_x4.pth',
      'scale': 4.0,
    }
  )
