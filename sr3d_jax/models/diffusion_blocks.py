"""Convolutional pieces of diffusion networks; features [B, H, W, C].

Parameters have the names of diffusers and are float32; `dtype` is that of the
products, while norms are in float32.
"""

import math
from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from sr3d_jax.models.attention import group_norm
from sr3d_jax.models.blocks import conv
from sr3d_jax.types import Array

SPADE_CHANNELS = 128  # between a map and what it modulates


def frequencies(timesteps: Array, channels: int) -> Array:
  """Embeds times [B] as cosines, then sines: [B, channels].

  Frequency j of J is 10⁴^(-j/J) (Vaswani et al. 2017; in Ho et al. 2020 sines
  come first, in Stable Diffusion cosines).
  """
  half = channels // 2
  rates = jnp.exp(-math.log(1e4) * jnp.arange(half) / half)
  angles = timesteps.astype(jnp.float32)[:, None] * rates
  return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


class TimeEmbedding(nn.Module):
  """Turns times [B] into vectors [B, 4 C] by two layers."""

  channels: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, timesteps: Array) -> Array:
    x = frequencies(timesteps, self.channels)
    x = nn.Dense(4 * self.channels, dtype=self.dtype, name='linear_1')(x)
    return nn.Dense(4 * self.channels, dtype=self.dtype, name='linear_2')(
      nn.silu(x)
    )


class ResBlock(nn.Module):
  """Two normalised convolutions that know the time, inside a residual.

  With maps, the second one is normalised once more and modulated by the map of
  its width (Wang et al. 2024, "Exploiting Diffusion Prior for Real-World Image
  Super-Resolution").

  Attributes:
    channels: of the result.
    groups: of the norms.
    epsilon: of the norms.
    dtype: of the products.
  """

  channels: int
  groups: int = 32
  epsilon: float = 1e-5
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: Array,
    time: Array | None = None,
    maps: Mapping[int, Array] | None = None,
  ) -> Array:
    """Refines x [B, H, W, C] at a time [B, T], by maps {W: [B, H, W, D]}."""
    y = nn.silu(group_norm(self.groups, self.epsilon, 'norm1')(x))
    y = conv(self.channels, dtype=self.dtype, name='conv1')(y)
    if time is not None:
      shift = nn.Dense(self.channels, dtype=self.dtype, name='time_emb_proj')
      y = y + shift(nn.silu(time))[:, None, None]
    y = nn.silu(group_norm(self.groups, self.epsilon, 'norm2')(y))
    y = conv(
      self.channels,
      dtype=self.dtype,
      kernel_init=nn.initializers.zeros,
      name='conv2',
    )(y)
    if maps is not None:
      y = Spade(self.groups, self.dtype, name='spade')(y, _of_width(maps, y))
    if x.shape[-1] != self.channels:
      x = conv(self.channels, 1, dtype=self.dtype, name='conv_shortcut')(x)
    return x + y


def _of_width(maps: Mapping[int, Array], x: Array) -> Array:
  width = x.shape[-2]
  if width not in maps:
    raise ValueError(
      f'features are {width} px wide, but the maps to modulate them '
      f'{", ".join(map(str, sorted(maps)))}: encode the picture at the size '
      'that is denoised'
    )
  return maps[width]


class Spade(nn.Module):
  """Scales and shifts normalised features pixel by pixel, as a map says.

  Park et al. 2019, "Semantic Image Synthesis with Spatially-Adaptive
  Normalization", after a group norm with parameters of its own.
  """

  groups: int = 32
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, guide: Array) -> Array:
    """Modulates x [B, H, W, C] by a guide [B, H, W, D]."""
    normed = group_norm(self.groups, 1e-5, 'param_free_norm')(x)
    shared = conv(SPADE_CHANNELS, dtype=self.dtype, name='mlp_shared')(guide)
    shared = nn.relu(shared)
    gamma, beta = (
      conv(x.shape[-1], dtype=self.dtype, name=name)(shared)
      for name in ('mlp_gamma', 'mlp_beta')
    )
    return normed * (1 + gamma) + beta


class Downsampler(nn.Module):
  """Halves a picture, rounding up, by a strided convolution."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    return conv(x.shape[-1], strides=2, dtype=self.dtype, name='conv')(x)


class Upsampler(nn.Module):
  """Doubles a picture by nearest pixels, cropped to a size, and a convolution.

  Attributes:
    height: of the result, 2 H or one less.
    width: of the result.
    dtype: of the products.
  """

  height: int
  width: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    x = jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)
    x = x[..., : self.height, : self.width, :]
    return conv(x.shape[-1], dtype=self.dtype, name='conv')(x)
