"""SwinIR: attention inside windows that shift (Liang et al. 2021), x2 to x8.

Weights are published with JingyunLiang/SwinIR, parameters named as there:
classical (001_classicalSR_*, the defaults), lightweight (002_lightweightSR_*,
60 channels, 4 groups, `pixelshuffledirect`) and real-world (003_realSR_*, the
defaults with `nearest+conv`).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen import initializers

from sr3d_jax.models.blocks import (
  conv,
  image_network,
  pixel_shuffle,
  repeated_up,
  shuffled_up,
)
from sr3d_jax.types import Array, Network

NAMES = (
  (r'^first_norm\.', 'patch_embed.norm.'),
  (r'^group(\d+)\.', r'layers.\1.'),
  (r'\.block(\d+)\.', r'.residual_group.blocks.\1.'),
  (r'\.(fc\d)\.', r'.mlp.\1.'),
  (r'^conv_before_upsample\.', 'conv_before_upsample.0.'),
  (r'^upsample(\d)\.', r'upsample.\1.'),
)
UPSAMPLERS = ('pixelshuffle', 'pixelshuffledirect', 'nearest+conv')
MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K
APART = -100.0  # added to the logits of pixels that only wrapping made meet


def make(
  *,
  scale: int = 4,
  channels: int = 180,
  num_groups: int = 6,
  num_blocks: int = 6,
  num_heads: int = 6,
  window: int = 8,
  upsampler: str = 'pixelshuffle',
  up_channels: int = 64,
) -> Network:
  """Makes [B, H, W, 3] -> [B, sH, sW, 3]; as published for bicubic x4.

  Args:
    scale: 2, 3, 4 or 8; 4 for `nearest+conv`.
    channels: of the features, shared among the heads.
    num_groups: groups of blocks, each inside a residual.
    num_blocks: of each group; every second one shifts its windows.
    num_heads: of each block's attention.
    window: side of the windows, px.
    upsampler: one of `UPSAMPLERS`.
    up_channels: of what is enlarged, other than by `pixelshuffledirect`.
  """
  if upsampler not in UPSAMPLERS:
    raise ValueError(
      f'unknown upsampler {upsampler!r}: choose from {", ".join(UPSAMPLERS)}'
    )
  if upsampler == 'nearest+conv' and scale != 4:
    raise ValueError(f'nearest+conv enlarges by 4, got {scale}')
  if channels % num_heads:
    raise ValueError(
      f'{num_heads} heads cannot share {channels} channels evenly: choose a '
      f'multiple of {num_heads}'
    )
  return image_network(
    _SwinIR(
      scale,
      channels,
      num_groups,
      num_blocks,
      num_heads,
      window,
      upsampler,
      up_channels,
    )
  )


class _SwinIR(nn.Module):
  """Reflects images up to whole windows, refines features, enlarges them.

  The published script adds a window even where all are whole; we do not.
  """

  scale: int
  channels: int
  num_groups: int
  num_blocks: int
  num_heads: int
  window: int
  upsampler: str
  up_channels: int

  @nn.compact
  def __call__(self, images: Array) -> Array:
    height, width = images.shape[-3:-1]
    pad = [(0, -size % self.window) for size in (height, width)]
    images = jnp.pad(images, [(0, 0), *pad, (0, 0)], mode='symmetric')
    mean = jnp.asarray(MEAN, images.dtype)
    shallow = conv(self.channels, name='conv_first')(images - mean)
    x = _norm('first_norm')(shallow)
    for i in range(self.num_groups):
      x = _Group(
        self.num_blocks, self.num_heads, self.window, name=f'group{i}'
      )(x)
    x = conv(self.channels, name='conv_after_body')(_norm('norm')(x))
    x = self._enlarge(x + shallow) + mean
    return x[..., : self.scale * height, : self.scale * width, :]

  def _enlarge(self, x: Array) -> Array:
    """Features to images, in one of the three published ways."""
    if self.upsampler == 'pixelshuffledirect':
      x = conv(3 * self.scale**2, name='upsample0')(x)
      return pixel_shuffle(x, self.scale)
    x = conv(self.up_channels, name='conv_before_upsample')(x)
    x = nn.leaky_relu(x, 0.01)
    if self.upsampler == 'nearest+conv':
      return repeated_up(x)
    return conv(3, name='conv_last')(shuffled_up(x, self.scale, 'upsample'))


class _Group(nn.Module):
  """Blocks, a convolution and a residual (RSTB)."""

  num_blocks: int
  num_heads: int
  window: int

  @nn.compact
  def __call__(self, inputs: Array) -> Array:
    x = inputs
    for i in range(self.num_blocks):
      shift = i % 2 * (self.window // 2)
      x = _Block(self.num_heads, self.window, shift, name=f'block{i}')(x)
    return inputs + conv(inputs.shape[-1], name='conv')(x)


class _Block(nn.Module):
  """Attention inside windows, then two layers for each pixel (Swin)."""

  num_heads: int
  window: int
  shift: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    *_, height, width, channels = x.shape
    y = jnp.roll(_norm('norm1')(x), (-self.shift, -self.shift), (-3, -2))
    y = _WindowAttention(self.num_heads, self.window, name='attn')(
      _to_windows(y, self.window),
      _regions(height, width, self.window, self.shift),
    )
    y = _from_windows(y, height, width)
    x = x + jnp.roll(y, (self.shift, self.shift), (-3, -2))
    y = nn.Dense(2 * channels, name='fc1')(_norm('norm2')(x))
    return x + nn.Dense(channels, name='fc2')(nn.gelu(y, approximate=False))


class _WindowAttention(nn.Module):
  """Attention among the pixels of each window, biased by where they lie."""

  num_heads: int
  window: int

  @nn.compact
  def __call__(self, x: Array, regions: Array) -> Array:
    """Attends within windows x [B, M, w w, C] and regions [M, w w]."""
    channels = x.shape[-1]
    table = self.param(
      'relative_position_bias_table',
      initializers.truncated_normal(0.02),
      ((2 * self.window - 1) ** 2, self.num_heads),
    )
    bias = jnp.moveaxis(table[_position_index(self.window)], -1, 0)
    qkv = nn.Dense(3 * channels, name='qkv')(x)
    qkv = qkv.reshape(*x.shape[:-1], 3, self.num_heads, -1)
    q, k, v = jnp.moveaxis(qkv, -3, 0)
    scores = jnp.einsum('...qhd,...khd->...hqk', q * q.shape[-1] ** -0.5, k)
    scores = scores + bias + _apart(regions)[:, None]
    weights = jax.nn.softmax(scores, axis=-1)
    y = jnp.einsum('...hqk,...khd->...qhd', weights, v)
    return nn.Dense(channels, name='proj')(y.reshape(x.shape))


def _norm(name: str) -> nn.LayerNorm:
  # not the difference of two large means, which loses digits
  return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=name)


def _to_windows(x: Array, window: int) -> Array:
  """[..., H, W, C] -> [..., M, w w, C], windows and pixels row by row."""
  *batch, height, width, channels = x.shape
  x = x.reshape(
    *batch, height // window, window, width // window, window, channels
  )
  return jnp.swapaxes(x, -4, -3).reshape(*batch, -1, window**2, channels)


def _from_windows(x: Array, height: int, width: int) -> Array:
  """Undoes `_to_windows`."""
  *batch, _, area, channels = x.shape
  window = math.isqrt(area)
  x = x.reshape(
    *batch, height // window, width // window, window, window, channels
  )
  return jnp.swapaxes(x, -4, -3).reshape(*batch, height, width, channels)


def _regions(height: int, width: int, window: int, shift: int) -> Array:
  """Numbers the parts of a rolled picture that truly adjoin: [M, w w]."""

  def parts(size):
    position = jnp.arange(size)
    return (position >= size - window) * 1 + (position >= size - shift) * 1

  regions = 3 * parts(height)[:, None] + parts(width)
  return _to_windows(regions[..., None], window)[..., 0]


def _apart(regions: Array) -> Array:
  """Keeps pixels of different regions from attending: [M, w w, w w]."""
  same = regions[:, :, None] == regions[:, None, :]
  return jnp.where(same, 0.0, APART)


def _position_index(window: int) -> np.ndarray:
  """The table's row for each pair of a window's pixels: [w w, w w]."""
  rows, columns = (a.ravel() for a in np.mgrid[:window, :window])
  down, right = (a[:, None] - a + window - 1 for a in (rows, columns))
  return (2 * window - 1) * down + right


def _published_mask(shape: tuple[int, ...]) -> np.ndarray:
  """The mask that a checkpoint holds for the square picture it was made for."""
  side, window = (math.isqrt(n) for n in shape[:2])
  size = side * window
  return np.asarray(_apart(_regions(size, size, window, window // 2)))


CONSTANTS = (
  (r'\.attn_mask$', _published_mask),
  (
    r'\.relative_position_index$',
    lambda shape: _position_index(math.isqrt(shape[0])),
  ),
)
