"""EDSR-baseline with its published weights, x4; 1.5 M parameters.

The weights are the user's own: edsr_baseline_x4-6b446fab.pt is published with
sanghyun-son/EDSR-PyTorch and expected below the data folder. The large EDSR
(edsr_x4-4f62e9ef.pt, 43 M parameters) takes the sizes {'channels': 256,
'num_blocks': 32, 'residual_scale': 0.1}; files of x2 take {'scale': 2}.
"""

from ml_collections import ConfigDict


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  del arg
  return ConfigDict(
    {
      'name': 'published',
      'network': 'edsr',
      'weights': 'weights/edsr/edsr_baseline_x4-6b446fab.pt',
      'sizes': {
        'scale': 4,
        'channels': 64,
        'num_blocks': 16,
        'residual_scale': 1.0,
      },
      'scale': 4.0,
    }
  )
