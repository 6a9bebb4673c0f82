"""PAN: Pixel Attention Network (Zhao et al. 2020), x4.

Weights are published as PANx4_DF2K.pth in zhaohengyuan1/PAN, parameters named
as there.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr3d_jax import image
from sr3d_jax.models.blocks import conv, image_network
from sr3d_jax.types import Array, Network

NAMES = (
  (r'^SCPA_trunk_(\d+)\.', r'SCPA_trunk.\1.'),
  (r'\.k1\.', '.k1.0.'),
)
SCALE = 4
SLOPE = 0.2  # of every leaky ReLU


def make(
  *, channels: int = 40, fine_channels: int = 24, num_blocks: int = 16
) -> Network:
  """Makes [B, H, W, 3] -> [B, 4H, 4W, 3]; as published by default."""
  return image_network(_PAN(channels, fine_channels, num_blocks))


class _PAN(nn.Module):
  channels: int
  fine_channels: int
  num_blocks: int

  @nn.compact
  def __call__(self, images: Array) -> Array:
    height, width = images.shape[-3:-1]
    shallow = conv(self.channels, name='conv_first')(images)
    x = shallow
    for i in range(self.num_blocks):
      x = _Block(name=f'SCPA_trunk_{i}')(x)
    x = conv(self.channels, name='trunk_conv')(x) + shallow
    for i in (1, 2):
      x = jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)
      x = conv(self.fine_channels, name=f'upconv{i}')(x)
      x = nn.leaky_relu(_PixelAttention(name=f'att{i}')(x), SLOPE)
      x = conv(self.fine_channels, name=f'HRconv{i}')(x)
      x = nn.leaky_relu(x, SLOPE)
    base = image.resize(
      images, SCALE * height, SCALE * width, method='bilinear'
    )
    return conv(3, name='conv_last')(x) + base


class _Block(nn.Module):
  """A plain half and a pixel-attention half of the channels (SC-PA)."""

  @nn.compact
  def __call__(self, inputs: Array) -> Array:
    channels = inputs.shape[-1]
    half = channels // 2
    plain, gated = (
      nn.leaky_relu(conv(half, 1, use_bias=False, name=name)(inputs), SLOPE)
      for name in ('conv1_a', 'conv1_b')
    )
    plain = conv(half, use_bias=False, name='k1')(plain)
    gated = _AttentionConv(name='PAConv')(gated)
    x = nn.leaky_relu(jnp.concatenate([plain, gated], axis=-1), SLOPE)
    return conv(channels, 1, use_bias=False, name='conv3')(x) + inputs


class _AttentionConv(nn.Module):
  """A convolution gated by a 1 x 1 one, then another (PAConv)."""

  @nn.compact
  def __call__(self, x: Array) -> Array:
    channels = x.shape[-1]
    gate = jax.nn.sigmoid(conv(channels, 1, name='k2')(x))
    x = conv(channels, use_bias=False, name='k3')(x) * gate
    return conv(channels, use_bias=False, name='k4')(x)


class _PixelAttention(nn.Module):
  """Gates each value of each pixel (PA)."""

  @nn.compact
  def __call__(self, x: Array) -> Array:
    return x * jax.nn.sigmoid(conv(x.shape[-1], 1, name='conv')(x))
