"""A small residual network that corrects bicubic enlargement, x4.

An EDSR (Lim et al. 2017) made small: residual blocks at the low resolution, one
pixel shuffle, and bicubic enlargement underneath, so that a network that has
learnt nothing is bicubic. 125 k parameters.
"""

import flax.linen as nn

from sr3d_jax import image
from sr3d_jax.models.blocks import conv, image_network, pixel_shuffle
from sr3d_jax.types import Array, Network

SCALE = 4
SLOPE = 0.1  # of every leaky ReLU


def make(*, channels: int = 32, num_blocks: int = 6) -> Network:
  """Makes [B, H, W, 3] -> [B, 4H, 4W, 3]."""
  return image_network(_Compact(channels, num_blocks))


class _Compact(nn.Module):
  channels: int
  num_blocks: int

  @nn.compact
  def __call__(self, images: Array) -> Array:
    shallow = conv(self.channels, name='first')(images - 0.5)
    x = shallow
    for i in range(self.num_blocks):
      x = _Block(name=f'block{i}')(x)
    x = nn.leaky_relu(x + shallow, SLOPE)
    last = conv(3 * SCALE**2, kernel_init=nn.initializers.zeros, name='last')
    return image.enlarge(images, SCALE) + pixel_shuffle(last(x), SCALE)


class _Block(nn.Module):
  """x + conv(relu(conv(x)))."""

  @nn.compact
  def __call__(self, x: Array) -> Array:
    channels = x.shape[-1]
    y = nn.leaky_relu(conv(channels, name='conv1')(x), SLOPE)
    return x + conv(channels, name='conv2')(y)
