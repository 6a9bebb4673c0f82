"""The config.json of a published UNet, as keywords of `unet.make`."""

from collections.abc import Mapping
from typing import Any

from sr3d_jax.models import unet

OURS = ('map_channels', 'dtype', 'remat')  # that no config.json has
# diffusers' own, where they are not those of `unet.make`
DEFAULTS = {
  'attention_head_dim': 8,
  'cross_attention_dim': 1280,
  'use_linear_projection': False,
}
# what may be a list in diffusers, and is one number here
NUMBERS = ('cross_attention_dim', 'layers_per_block', 'norm_num_groups')
# what may only say one thing here
FIXED = {
  'act_fn': 'silu',
  'addition_embed_type': None,
  'attention_type': 'default',
  'center_input_sample': False,
  'class_embed_type': None,
  'class_embeddings_concat': False,
  'conv_in_kernel': 3,
  'conv_out_kernel': 3,
  'cross_attention_norm': None,
  'downsample_padding': 1,
  'dropout': 0.0,
  'dual_cross_attention': False,
  'encoder_hid_dim': None,
  'encoder_hid_dim_type': None,
  'flip_sin_to_cos': True,
  'freq_shift': 0,
  'mid_block_only_cross_attention': None,
  'mid_block_scale_factor': 1,
  'norm_eps': 1e-5,
  'num_attention_heads': None,
  'projection_class_embeddings_input_dim': None,
  'resnet_out_scale_factor': 1.0,
  'resnet_skip_time_act': False,
  'resnet_time_scale_shift': 'default',
  'reverse_transformer_layers_per_block': None,
  'time_cond_proj_dim': None,
  'time_embedding_act_fn': None,
  'time_embedding_dim': None,
  'time_embedding_type': 'positional',
  'timestep_post_act': None,
  'transformer_layers_per_block': 1,
}
# what says nothing about what is computed
IGNORED = (
  'addition_embed_type_num_heads',
  'addition_time_embed_dim',
  'sample_size',
  'upcast_attention',
)


def options(config: Mapping[str, Any]) -> dict[str, Any]:
  """Reads a config.json of diffusers as keywords of `unet.make`.

  Raises:
    ValueError: it asks for what this UNet does not do, naming the key.
  """
  asked = {k: v for k, v in config.items() if not k.startswith('_')}
  known = set(unet.make.__kwdefaults__) - set(OURS)
  for key in asked.keys() - known - set(IGNORED):
    if key not in FIXED:
      raise ValueError(
        f'the config has {key} = {asked[key]!r}, which this UNet does not know'
      )
    if asked[key] != FIXED[key]:
      raise ValueError(
        f'the config has {key} = {asked[key]!r}: this UNet only does '
        f'{FIXED[key]!r}'
      )
  for key in NUMBERS:
    if not isinstance(asked.get(key, 0), int):
      raise ValueError(
        f'the config has {key} = {asked[key]!r}: this UNet wants one number'
      )
  return DEFAULTS | {key: asked[key] for key in known if key in asked}
