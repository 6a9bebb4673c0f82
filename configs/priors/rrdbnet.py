"""Real-ESRGAN's RRDBNet with its published weights, x4; 16.7 M parameters.

It removes noise and compression and invents texture: for photos that were never
shrunk by bicubic, and without a score on those that were. The weights are the
user's own: RealESRGAN_x4plus.pth is published with xinntao/Real-ESRGAN and
expected below the data folder. RealESRGAN_x2plus.pth takes the sizes {'scale':
2}, RealESRGAN_x4plus_anime_6B.pth {'num_blocks': 6}.
"""

from ml_collections import ConfigDict


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  del arg
  return ConfigDict(
    {
      'name': 'published',
      'network': 'rrdbnet',
      'weights': 'weights/rrdbnet/RealESRGAN_x4plus.pth',
      'section': 'params_ema',
      'sizes': {'scale': 4, 'num_blocks': 23},
      'scale': 4.0,
    }
  )
