"""The levels of a UNet: blocks between two sizes of its features [B, H, W, C].

Parameters have the names of diffusers.
"""

from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from sr3d_jax.models.attention import FusedAttention, PixelAttention
from sr3d_jax.models.diffusion_blocks import Downsampler, ResBlock, Upsampler
from sr3d_jax.models.transformer import Transformer
from sr3d_jax.types import Array


class Level(NamedTuple):
  """What the blocks of one level of a UNet have in common.

  Attributes:
    channels: of the features.
    layers: residual blocks.
    kind: of attention after each: None, `self`, `fused` or `cross`.
    heads: of each attention.
    groups: of the norms.
    only_context: whether `cross` attends twice to the context.
    is_linear: whether its projections are stored as in SD 2.
    dtype: of the products.
    remat: whether each block is computed anew for the gradient.
  """

  channels: int
  layers: int
  kind: str | None
  heads: int
  groups: int = 32
  only_context: bool = False
  is_linear: bool = True
  dtype: jnp.dtype = jnp.float32
  remat: bool = False


class Signals(NamedTuple):
  """What all blocks of a UNet are told: `ResBlock` and `Transformer` say."""

  time: Array
  context: Array | None = None
  maps: Mapping[int, Array] | None = None


def _refine(level: Level, i: int, x: Array, signals: Signals) -> Array:
  """The i-th residual block and attention; inside a compact module."""
  return _attend(level, i, _convolve(level, i, x, signals), signals)


def _convolve(level: Level, i: int, x: Array, signals: Signals) -> Array:
  block = _kind(ResBlock, level)(
    level.channels, level.groups, dtype=level.dtype, name=f'resnets_{i}'
  )
  return block(x, signals.time, signals.maps)


def _attend(level: Level, i: int, x: Array, signals: Signals) -> Array:
  if level.kind is None:
    return x
  settings = (level.heads, level.groups)
  rest = {'dtype': level.dtype, 'name': f'attentions_{i}'}
  if level.kind == 'cross':
    block = _kind(Transformer, level)(
      *settings, level.is_linear, level.only_context, **rest
    )
    return block(x, signals.context)
  within = {'self': PixelAttention, 'fused': FusedAttention}[level.kind]
  return _kind(within, level)(*settings, 1e-5, **rest)(x)


def _kind(module: type[nn.Module], level: Level) -> type[nn.Module]:
  return nn.remat(module) if level.remat else module


class DownBlock(nn.Module):
  """Refines features and halves them, if a level follows."""

  level: Level
  is_last: bool

  @nn.compact
  def __call__(self, x: Array, signals: Signals) -> tuple[Array, list[Array]]:
    """Returns the features for the next level and all that are skips."""
    skips = []
    for i in range(self.level.layers):
      x = _refine(self.level, i, x, signals)
      skips.append(x)
    if not self.is_last:
      x = Downsampler(self.level.dtype, name='downsamplers_0')(x)
      skips.append(x)
    return x, skips


class MidBlock(nn.Module):
  """Two residual blocks and attention between them."""

  level: Level

  @nn.compact
  def __call__(self, x: Array, signals: Signals) -> Array:
    x = _refine(self.level, 0, x, signals)
    return _convolve(self.level, 1, x, signals)


class UpBlock(nn.Module):
  """Refines features with those that were skipped and doubles them."""

  level: Level

  @nn.compact
  def __call__(self, x: Array, skips: list[Array], signals: Signals) -> Array:
    """Uses up the last of the skips; doubles up to the size of the next."""
    for i in range(self.level.layers):
      x = jnp.concatenate([x, skips.pop()], axis=-1)
      x = _refine(self.level, i, x, signals)
    if skips:
      height, width = skips[-1].shape[-3:-1]
      x = Upsampler(height, width, self.level.dtype, name='upsamplers_0')(x)
    return x
