"""Our compact video network, x4; views in path order. See sr3d_jax/weights.

Other orders and networks are keys: `--config.prior.order=pose` for photos that
are no film, and for a published network, once converted (docs/weights.md),
`--config.prior.weights=realbasicvsr.safetensors` with its `sizes`.
"""

from ml_collections import ConfigDict

from configs.finetune_vsr import own


def get_config(arg: str = '') -> ConfigDict:
  """Returns the prior's section."""
  del arg
  sizes = own.get_config('tiny').network.to_dict()
  return ConfigDict(
    {
      'name': 'video',
      'scale': 4.0,
      'weights': 'shipped',
      'sizes': {**sizes, 'unroll': 1},
      'order': 'path',
      'clip_length': 30,
      'overlap': 6,
      'color_fix': 'none',
    }
  )
