"""RLFN: Residual Local Feature Network (Kong et al. 2022), x4.

The NTIRE 2022 efficient super-resolution winner; its weights are published as
team04_rlfn.pth in ofsoundof/NTIRE2022_ESR, parameters named as there. They were
learnt on pixels in [0, 255], so the network scales its input and output.
"""

import flax.linen as nn
import jax

from sr3d_jax import image
from sr3d_jax.models.blocks import conv, image_network, pixel_shuffle
from sr3d_jax.types import Array, Network

NAMES = ((r'^upsampler\.', 'upsampler.0.'),)
SCALE = 4
MIN_SIZE = 15  # px; below it the attention's 7 x 7 pool has nothing to pool


def make(
  *,
  channels: int = 46,
  middle_channels: int = 48,
  attention_channels: int = 16,
  num_blocks: int = 4,
) -> Network:
  """Makes [B, H, W, 3] -> [B, 4H, 4W, 3]; as published by default."""
  return image_network(
    _RLFN(channels, middle_channels, attention_channels, num_blocks)
  )


class _RLFN(nn.Module):
  channels: int
  middle_channels: int
  attention_channels: int
  num_blocks: int

  @nn.compact
  def __call__(self, images: Array) -> Array:
    if min(images.shape[-3:-1]) < MIN_SIZE:
      raise ValueError(
        f'RLFN wants images of {MIN_SIZE} x {MIN_SIZE} px at least, got '
        f'{images.shape}'
      )
    shallow = conv(self.channels, name='fea_conv')(255 * images)
    x = shallow
    for i in range(1, self.num_blocks + 1):
      x = _Block(self.middle_channels, self.attention_channels, name=f'B{i}')(x)
    x = conv(self.channels, name='LR_conv')(x) + shallow
    x = conv(3 * SCALE**2, name='upsampler')(x)
    return pixel_shuffle(x, SCALE) / 255


class _Block(nn.Module):
  """Three convolutions around a skip, then attention (RLFB)."""

  middle_channels: int
  attention_channels: int

  @nn.compact
  def __call__(self, inputs: Array) -> Array:
    channels = inputs.shape[-1]
    x = inputs
    for i, features in enumerate(
      (self.middle_channels, self.middle_channels, channels), start=1
    ):
      x = nn.leaky_relu(conv(features, name=f'c{i}_r')(x), 0.05)
    x = conv(channels, 1, name='c5')(x + inputs)
    return x * _Attention(self.attention_channels, name='esa')(x)


class _Attention(nn.Module):
  """Enhanced spatial attention: a gate in [0, 1] for each value (ESA)."""

  channels: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    height, width = x.shape[-3:-1]
    thin = conv(self.channels, 1, name='conv1')(x)
    coarse = conv(self.channels, strides=2, padding='VALID', name='conv2')(thin)
    coarse = nn.max_pool(coarse, (7, 7), strides=(3, 3))
    coarse = conv(self.channels, name='conv3')(coarse)
    wide = image.resize(
      coarse, height, width, method='bilinear', antialias=False
    )
    thin = conv(self.channels, 1, name='conv_f')(thin)
    gate = conv(x.shape[-1], 1, name='conv4')(wide + thin)
    return jax.nn.sigmoid(gate)
