"""IMDN: Information Multi-Distillation Network (Hui et al. 2019), x4.

Weights are published as IMDN_x4.pth in Zheng222/IMDN, parameters named as
there. Its published figures: 32.21 / 28.58 / 27.56 dB on Set5, Set14, BSD100.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr3d_jax.models.blocks import conv, image_network, pixel_shuffle
from sr3d_jax.numerics import safe_sqrt
from sr3d_jax.types import Array, Network

NAMES = (
  (r'^', 'module.'),
  (r'\.(c|upsampler)\.(weight|bias)', r'.\1.0.\2'),
  (r'\.squeeze\.', '.conv_du.0.'),
  (r'\.excite\.', '.conv_du.2.'),
)
SCALE = 4


def make(*, channels: int = 64, num_blocks: int = 6) -> Network:
  """Makes [B, H, W, 3] -> [B, 4H, 4W, 3]; as published by default."""
  return image_network(_IMDN(channels, num_blocks))


class _IMDN(nn.Module):
  channels: int
  num_blocks: int

  @nn.compact
  def __call__(self, images: Array) -> Array:
    shallow = conv(self.channels, name='fea_conv')(images)
    outputs = [shallow]
    for i in range(1, self.num_blocks + 1):
      outputs.append(_Block(name=f'IMDB{i}')(outputs[-1]))
    x = jnp.concatenate(outputs[1:], axis=-1)
    x = nn.leaky_relu(conv(self.channels, 1, name='c')(x), 0.05)
    x = conv(self.channels, name='LR_conv')(x) + shallow
    return pixel_shuffle(conv(3 * SCALE**2, name='upsampler')(x), SCALE)


class _Block(nn.Module):
  """Sets a quarter of the channels aside three times, refines the rest."""

  @nn.compact
  def __call__(self, inputs: Array) -> Array:
    channels = inputs.shape[-1]
    kept = channels // 4
    x, distilled = inputs, []
    for name in ('c1', 'c2', 'c3'):
      x = nn.leaky_relu(conv(channels, name=name)(x), 0.05)
      distilled.append(x[..., :kept])
      x = x[..., kept:]
    distilled.append(conv(kept, name='c4')(x))
    x = _ContrastAttention(name='cca')(jnp.concatenate(distilled, axis=-1))
    return conv(channels, 1, name='c5')(x) + inputs


class _ContrastAttention(nn.Module):
  """Gates channels by their mean plus standard deviation over the image."""

  reduction: int = 16

  @nn.compact
  def __call__(self, x: Array) -> Array:
    mean = jnp.mean(x, axis=(-3, -2), keepdims=True)
    variance = jnp.mean((x - mean) ** 2, axis=(-3, -2), keepdims=True)
    gate = safe_sqrt(variance) + mean
    channels = x.shape[-1]
    gate = nn.relu(conv(channels // self.reduction, 1, name='squeeze')(gate))
    return x * jax.nn.sigmoid(conv(channels, 1, name='excite')(gate))
