"""Diffusion of latents by the shipped weights, any scale; see sr3d_jax/weights.

The presets `threedsr_released` and `threedsr_corrected` are this with other
keywords: what 3DSR's published code does, and what its paper means.
"""

from ml_collections import ConfigDict

from configs.train import diffusion_sr


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  del arg
  return ConfigDict(
    {
      'name': 'diffusion',
      'weights': 'shipped',
      'sizes': diffusion_sr.get_config('tiny').network.to_dict(),
      'scale': 4.0,
      'num_steps': 4,
      'timesteps': 'trailing',
      'eta': 0.0,
      'noise': 'independent',
      'state': 'carried',
      'update': 'eps',
      'encode': 'mode',
      'quantise': 'float',
      'at_once': False,
      'color': 'wavelet',
      'fidelity': 0.5,
      'back_projections': 1,
      'tile': None,
      'overlap': 0,
      'patch': None,
      'is_published': False,
      'rows_per_device': 1,  # views, tiles or patches at a time
      'dtype': 'float32',  # bfloat16 takes half the memory
    }
  )
