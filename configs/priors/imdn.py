"""IMDN, published weights; Set5, Set14, BSD100 x4: 32.21, 28.60, 27.56 dB."""

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
