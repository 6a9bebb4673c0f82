"""The config.json of a published autoencoder, as keywords of its `make`."""

from collections.abc import Mapping
from typing import Any

# ours for theirs, and what diffusers takes where the config is silent
KEYS = {
  'block_out_channels': ('channels', (64,)),
  'latent_channels': ('latent_channels', 4),
  'layers_per_block': ('num_blocks', 1),
  'norm_num_groups': ('num_groups', 32),
  'mid_block_add_attention': ('mid_attention', True),
  'scaling_factor': ('scaling', 0.18215),
}
# what may only say one thing here
FIXED = {
  'act_fn': 'silu',
  'in_channels': 3,
  'latents_mean': None,
  'latents_std': None,
  'out_channels': 3,
  'shift_factor': None,
  'use_post_quant_conv': True,
  'use_quant_conv': True,
}
BLOCKS = {
  'down_block_types': 'DownEncoderBlock2D',
  'up_block_types': 'UpDecoderBlock2D',
}
# what says nothing about what is computed
IGNORED = ('force_upcast', 'sample_size')


def options(config: Mapping[str, Any]) -> dict[str, Any]:
  """Reads a config.json of diffusers as keywords of `autoencoder.make`.

  Raises:
    ValueError: it asks for what this autoencoder does not do, naming the key.
  """
  asked = {k: v for k, v in config.items() if not k.startswith('_')}
  found = {
    ours: asked.pop(theirs, default) for theirs, (ours, default) in KEYS.items()
  }
  found['channels'] = tuple(found['channels'])
  for key, kind in BLOCKS.items():
    kinds = asked.pop(key, [kind])
    if kinds != [kind] * len(found['channels']):
      raise ValueError(
        f'unsupported value: the config has {key} = {kinds!r}, and this '
        f'autoencoder has {len(found["channels"])} times {kind}'
      )
  for key in asked.keys() - set(IGNORED):
    if key not in FIXED or asked[key] != FIXED[key]:
      known = (
        f'only does {FIXED[key]!r}' if key in FIXED else 'knows no such key'
      )
      raise ValueError(
        f'unsupported value: the config has {key} = {asked[key]!r}, and this '
        f'autoencoder {known}'
      )
  return found
