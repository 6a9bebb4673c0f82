"""SwinIR, classical, with its published weights, x4; 11.9 M parameters.

The weights are the user's own: 001_classicalSR_DF2K_s64w8_SwinIR-M_x4.pth is
published with JingyunLiang/SwinIR and expected below the data folder. The
lightweight 002_lightweightSR_DIV2K_s64w8_SwinIR-S_x4.pth (0.9 M) takes the
sizes {'channels': 60, 'num_groups': 4, 'upsampler': 'pixelshuffledirect'}, the
real-world 003_realSR_BSRGAN_DFO_s64w8_SwinIR-M_x4_GAN.pth {'upsampler':
'nearest+conv'} and the section params_ema.
"""

from ml_collections import ConfigDict


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  del arg
  return ConfigDict(
    {
      'name': 'published',
      'network': 'swinir',
      'weights': ('weights/swinir/001_classicalSR_DF2K_s64w8_SwinIR-M_x4.pth'),
      'section': 'params',
      'sizes': {
        'channels': 180,
        'num_groups': 6,
        'upsampler': 'pixelshuffle',
      },
      'scale': 4.0,
    }
  )
