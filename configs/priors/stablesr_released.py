"""3DSR between its fits as published: StableSR-Turbo, your weights.

docs/weights.md says what to download and how to convert it.
"""

from ml_collections import ConfigDict

from configs.priors import threedsr_released

WEIGHTS = 'weights/stablesr_turbo.safetensors'


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  config = threedsr_released.get_config(arg)
  config.update(weights=WEIGHTS, tile=64, overlap=32)
  del config.sizes  # they are in the file
  return config
