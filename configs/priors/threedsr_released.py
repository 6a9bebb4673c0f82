"""What the published code of 3DSR computes between its fits.

Its fits, too, differ from the paper's: see configs/threedsr/table.py.
"""

from ml_collections import ConfigDict

from configs.priors import diffusion


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  config = diffusion.get_config(arg)
  config.update(
    timesteps='strided',  # 999, 666, 333, 0
    eta=1.0,
    state='stale',
    update='implied',
    encode='sample',
    quantise='trunc',
    back_projections=0,
    patch=1280,
    is_published=True,
  )
  return config
