"""UNets of diffusion models, as configured for diffusers' UNet2DConditionModel.

Stable Diffusion 2.1 is `make()` (Rombach et al. 2022); the x4 upscaler and our
own small networks are other keywords. Parameters are named as in diffusers;
`ldm_names` has those that the older checkpoints use for the same ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from sr3d_jax.models.attention import group_norm
from sr3d_jax.models.blocks import conv
from sr3d_jax.models.diffusion_blocks import TimeEmbedding
from sr3d_jax.models.unet_levels import (
  DownBlock,
  Level,
  MidBlock,
  Signals,
  UpBlock,
)
from sr3d_jax.types import Array, Network, Params

NAMES = (
  (r'(blocks|resnets|attentions|samplers|to_out)_(\d+)\.', r'\1.\2.'),
  (r'\.net_0_proj\.', '.net.0.proj.'),
  (r'\.net_2\.', '.net.2.'),
)
LDM_INSIDE = (
  (r'((?:resnets|fea_tran)_\d+\.)norm1\.', r'\1in_layers.0.'),
  (r'((?:resnets|fea_tran)_\d+\.)conv1\.', r'\1in_layers.2.'),
  (r'((?:resnets|fea_tran)_\d+\.)norm2\.', r'\1out_layers.0.'),
  (r'\.conv2\.', '.out_layers.3.'),
  (r'\.time_emb_proj\.', '.emb_layers.1.'),
  (r'\.conv_shortcut\.', '.skip_connection.'),
  (r'\.mlp_shared\.', '.mlp_shared.0.'),
)
LDM_OUTSIDE = (
  (r'^time_embedding\.linear_1\.', 'time_embed.0.'),
  (r'^time_embedding\.linear_2\.', 'time_embed.2.'),
  (r'^class_embedding\.', 'label_emb.'),
  (r'^conv_in\.', 'input_blocks.0.0.'),
  (r'^mid_block\.resnets_0\.', 'middle_block.0.'),
  (r'^mid_block\.attentions_0\.', 'middle_block.1.'),
  (r'^mid_block\.resnets_1\.', 'middle_block.2.'),
  (r'^conv_norm_out\.', 'out.0.'),
  (r'^conv_out\.', 'out.2.'),
)
# what a block attends to beyond its convolutions
DOWN_BLOCKS = {
  'DownBlock2D': None,
  'AttnDownBlock2D': 'self',
  'CrossAttnDownBlock2D': 'cross',
}
UP_BLOCKS = {
  'UpBlock2D': None,
  'AttnUpBlock2D': 'self',
  'CrossAttnUpBlock2D': 'cross',
}
MID_BLOCKS = {
  'UNetMidBlock2D': 'self',
  'UNetMidBlock2DCrossAttn': 'cross',
}


def ldm_names(
  up_block_types: Sequence[str], layers_per_block: int = 2
) -> tuple[tuple[str, str], ...]:
  """The names that Stable Diffusion's own checkpoints use, without prefix.

  There, blocks are counted through all levels.

  Args:
    up_block_types: as for `make`.
    layers_per_block: as for `make`.
  """
  stride = layers_per_block + 1
  names = []
  for i, kind in enumerate(up_block_types):
    for j in range(stride):
      down, up = rf'^down_blocks_{i}\.', rf'^up_blocks_{i}\.'
      n = stride * i + j
      names += [
        (rf'{down}resnets_{j}\.', f'input_blocks.{n + 1}.0.'),
        (rf'{down}attentions_{j}\.', f'input_blocks.{n + 1}.1.'),
        (rf'{up}resnets_{j}\.', f'output_blocks.{n}.0.'),
        (rf'{up}attentions_{j}\.', f'output_blocks.{n}.1.'),
      ]
    # the last of a level, behind its attention if it has one
    place = 1 if UP_BLOCKS[kind] is None else 2
    names += [
      (rf'{down}downsamplers_0\.conv\.', f'input_blocks.{n + 1}.0.op.'),
      (rf'{up}upsamplers_0\.', f'output_blocks.{n}.{place}.'),
    ]
  return (*LDM_INSIDE, *names, *LDM_OUTSIDE, *NAMES)


def make(
  *,
  in_channels: int = 4,
  out_channels: int = 4,
  block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
  layers_per_block: int = 2,
  down_block_types: Sequence[str] = (
    'CrossAttnDownBlock2D',
    'CrossAttnDownBlock2D',
    'CrossAttnDownBlock2D',
    'DownBlock2D',
  ),
  mid_block_type: str | None = 'UNetMidBlock2DCrossAttn',
  up_block_types: Sequence[str] = (
    'UpBlock2D',
    'CrossAttnUpBlock2D',
    'CrossAttnUpBlock2D',
    'CrossAttnUpBlock2D',
  ),
  attention_head_dim: int | Sequence[int] = (5, 10, 20, 20),
  cross_attention_dim: int = 1024,
  only_cross_attention: bool | Sequence[bool] = False,
  use_linear_projection: bool = True,
  norm_num_groups: int = 32,
  num_class_embeds: int | None = None,
  map_channels: int | None = None,
  dtype: str = 'float32',
  remat: bool = False,
) -> Network:
  """Makes a UNet that is told the time; Stable Diffusion 2.1's by default.

  `apply(params, x, timesteps, context=None, class_labels=None, maps=None)`
  takes latents x [B, h, w, in], timesteps [B], context [B, L, D], labels [B]
  and maps {w: [B, h, w, M]} for each width on the way down, and returns
  [B, h, w, out]. Any h and w serve. `loss` is the mean squared error over a
  batch of these, with a `target` [B, h, w, out].

  Args:
    in_channels: of x.
    out_channels: of the result.
    block_out_channels: of each level, from the finest.
    layers_per_block: residual blocks of each level on the way down; there is
      one more on the way up.
    down_block_types: of each level, among `DOWN_BLOCKS`. With `CrossAttn` they
      attend to themselves and to the context, with `Attn` to themselves.
    mid_block_type: one of `MID_BLOCKS`, or None. `UNetMidBlock2D` attends to
      itself, as in diffusers' unconditional UNet2DModel.
    up_block_types: of each level, from the coarsest, among `UP_BLOCKS`.
    attention_head_dim: the number of heads, in spite of its name, which is
      diffusers'; of each level or of all.
    cross_attention_dim: of the context.
    only_cross_attention: whether both attentions of a `CrossAttn` block are to
      the context; of each level or of all.
    use_linear_projection: whether projections are stored as in SD 2.
    norm_num_groups: of the group norms.
    num_class_embeds: labels there are, such as levels of noise, if any.
    map_channels: M, for StableSR's modulation of residual blocks, if any.
    dtype: of products and activations; parameters, norms and softmax are in
      float32.
    remat: whether blocks are computed anew for the gradient, to save memory.
  """
  levels = len(block_out_channels)
  _check_kinds('down_block_types', down_block_types, DOWN_BLOCKS, levels)
  _check_kinds('up_block_types', up_block_types, UP_BLOCKS, levels)
  if mid_block_type is not None:
    _check_kinds('mid_block_type', (mid_block_type,), MID_BLOCKS, 1)
  heads = _each('attention_head_dim', attention_head_dim, levels)
  _check_widths(block_out_channels, norm_num_groups, heads)
  only = _each('only_cross_attention', only_cross_attention, levels)
  module = _UNet(
    out_channels=out_channels,
    channels=tuple(block_out_channels),
    layers=layers_per_block,
    down=tuple(DOWN_BLOCKS[kind] for kind in down_block_types),
    mid=mid_block_type and MID_BLOCKS[mid_block_type],
    up=tuple(UP_BLOCKS[kind] for kind in up_block_types),
    heads=heads,
    only_context=only,
    is_linear=use_linear_projection,
    groups=norm_num_groups,
    num_labels=num_class_embeds,
    has_maps=map_channels is not None,
    dtype=jnp.dtype(dtype),
    remat=remat,
  )
  return _network(module, in_channels, cross_attention_dim, map_channels)


def _each(name: str, value: Any, levels: int) -> tuple:
  """One value for each level."""
  values = tuple(value) if isinstance(value, Sequence) else (value,) * levels
  if len(values) != levels:
    raise ValueError(
      f'{name} has {len(values)} entries, wanted one for each of the {levels} '
      'levels of block_out_channels'
    )
  return values


def _check_kinds(
  name: str, kinds: Sequence[str], known: Mapping[str, Any], levels: int
) -> None:
  _each(name, tuple(kinds), levels)
  for kind in kinds:
    if kind not in known:
      raise ValueError(
        f'unknown {name} {kind!r}: choose from {", ".join(known)}'
      )


def _check_widths(
  channels: Sequence[int], groups: int, heads: Sequence[int]
) -> None:
  for width, number in zip(channels, heads):
    if width % groups or number < 1 or width % number:
      raise ValueError(
        f'block_out_channels has {width}, which norm_num_groups {groups} and '
        f'attention_head_dim {number} must divide'
      )


def _network(
  module: nn.Module,
  in_channels: int,
  context_channels: int,
  map_channels: int | None,
) -> Network:
  kinds = (*module.down, module.mid, *module.up)
  context = jnp.zeros((1, 1, context_channels)) if 'cross' in kinds else None
  labels = jnp.zeros(1, int) if module.num_labels else None
  widths = [2**i for i in range(len(module.channels))]
  maps = map_channels and {
    w: jnp.zeros((1, w, w, map_channels)) for w in widths
  }

  def init(key):
    x = jnp.zeros((1, widths[-1], widths[-1], in_channels))
    return module.init(key, x, jnp.zeros(1), context, labels, maps)['params']

  def apply(params, x, timesteps, context=None, class_labels=None, maps=None):
    return module.apply(
      {'params': params}, x, timesteps, context, class_labels, maps
    )

  def loss(params: Params, key: Array, batch: Mapping[str, Array]):
    del key
    inputs = {name: a for name, a in batch.items() if name != 'target'}
    error = jnp.mean(jnp.square(apply(params, **inputs) - batch['target']))
    return error, {'mse': error}

  return Network(init=init, apply=apply, loss=loss)


class _UNet(nn.Module):
  """Down, through the middle and up again, with skips (Ho et al. 2020)."""

  out_channels: int
  channels: tuple[int, ...]
  layers: int
  down: tuple[str | None, ...]
  mid: str | None
  up: tuple[str | None, ...]
  heads: tuple[int, ...]
  only_context: tuple[bool, ...]
  is_linear: bool
  groups: int
  num_labels: int | None
  has_maps: bool
  dtype: jnp.dtype
  remat: bool

  @nn.compact
  def __call__(
    self,
    x: Array,
    timesteps: Array,
    context: Array | None,
    labels: Array | None,
    maps: Mapping[int, Array] | None,
  ) -> Array:
    self._check(context=context, class_labels=labels, maps=maps)
    time = TimeEmbedding(self.channels[0], self.dtype, name='time_embedding')(
      timesteps
    )
    if self.num_labels:
      time = time + nn.Embed(
        self.num_labels, time.shape[-1], name='class_embedding'
      )(labels)
    x = conv(self.channels[0], dtype=self.dtype, name='conv_in')(x)
    signals, skips, last = Signals(time, context, maps), [x], len(self.down) - 1
    for i, kind in enumerate(self.down):
      block = DownBlock(
        self._level(i, kind), i == last, name=f'down_blocks_{i}'
      )
      x, found = block(x, signals)
      skips += found
    if self.mid:
      level = self._level(last, self.mid)._replace(only_context=False)
      x = MidBlock(level, name='mid_block')(x, signals)
    for i, kind in enumerate(self.up):
      level = self._level(last - i, kind, layers=self.layers + 1)
      x = UpBlock(level, name=f'up_blocks_{i}')(x, skips, signals)
    x = nn.silu(group_norm(self.groups, 1e-5, 'conv_norm_out')(x))
    # the result, like the norms, in full
    return conv(
      self.out_channels, kernel_init=nn.initializers.zeros, name='conv_out'
    )(x)

  def _level(self, i: int, kind: str | None, layers: int = 0) -> Level:
    return Level(
      self.channels[i],
      layers or self.layers,
      kind,
      self.heads[i],
      self.groups,
      self.only_context[i],
      self.is_linear,
      self.dtype,
      self.remat,
    )

  def _check(self, **given: Array | None) -> None:
    """Raises unless what is given is what this network was made for."""
    wanted = {
      'context': 'cross' in (*self.down, self.mid, *self.up),
      'class_labels': bool(self.num_labels),
      'maps': self.has_maps,
    }
    for name, is_wanted in wanted.items():
      if (given[name] is not None) != is_wanted:
        raise ValueError(
          f'this UNet takes {"" if is_wanted else "no "}{name}, got '
          f'{"none" if is_wanted else "some"}'
        )
