"""PAN with its published weights; Set5 x4: 32.14 dB."""

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
