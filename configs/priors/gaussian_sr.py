"""GaussianSR by the shipped weights, any scale; see sr3d_jax/weights.

With `--config.back_projections=1` or more the result is corrected to shrink to
the picture that it was made of; whole, so in memory that grows with it.
"""

from ml_collections import ConfigDict

from configs.train import gaussian_sr


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  del arg
  sizes = gaussian_sr.get_config('tiny').network.to_dict()
  return ConfigDict(
    {
      'name': 'continuous',
      'network': sizes.pop('name'),
      'weights': 'shipped',
      'sizes': sizes,
      'scale': 4.0,
      'back_projections': 0,
    }
  )
