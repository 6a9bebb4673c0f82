"""What the paper of 3DSR means, with StableSR-Turbo, your weights.

docs/weights.md says what to download and how to convert it. Whole views go
through the autoencoder, and tiles overlap less than as published.
"""

from ml_collections import ConfigDict

from configs.priors import threedsr_corrected
from configs.priors.stablesr_released import WEIGHTS


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  config = threedsr_corrected.get_config(arg)
  config.update(weights=WEIGHTS, tile=64, overlap=32, timesteps='strided')
  del config.sizes  # they are in the file
  return config
