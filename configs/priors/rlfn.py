"""RLFN with its published weights; Set5 x4: 32.10 dB."""

from ml_collections import ConfigDict


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  del arg
  return ConfigDict(
    {
      'name': 'published',
      'network': 'rlfn',
      'weights': 'weights/rlfn/team04_rlfn.pth',
      'scale': 4.0,
    }
  )
