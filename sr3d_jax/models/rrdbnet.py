"""RRDBNet: residual blocks of dense blocks (Wang et al. 2018), x4, x2 or x1.

The network of ESRGAN and Real-ESRGAN. Weights are published as
RealESRGAN_x4plus.pth, RealESRGAN_x2plus.pth (both 23 blocks) and
RealESRGAN_x4plus_anime_6B.pth (6 blocks) with xinntao/Real-ESRGAN, each below
the section params_ema, parameters named as there.
"""

import flax.linen as nn

from sr3d_jax.models.blocks import (
  conv,
  image_network,
  pixel_unshuffle,
  repeated_up,
)
from sr3d_jax.models.dense_blocks import RRDB, SLOPE
from sr3d_jax.types import Array, Network

NAMES = ((r'^body(\d+)\.', r'body.\1.'),)


def make(
  *,
  scale: int = 4,
  channels: int = 64,
  num_blocks: int = 23,
  growth: int = 32,
) -> Network:
  """Makes [B, H, W, 3] -> [B, sH, sW, 3]; as published by default."""
  if scale not in (1, 2, 4):
    raise ValueError(f'RRDBNet enlarges by 4, 2 or 1, got {scale}')
  return image_network(_RRDBNet(scale, channels, num_blocks, growth))


class _RRDBNet(nn.Module):
  """Enlarges by 4; at a smaller scale, what has been folded into channels."""

  scale: int
  channels: int
  num_blocks: int
  growth: int

  @nn.compact
  def __call__(self, images: Array) -> Array:
    height, width = images.shape[-3:-1]
    x = pixel_unshuffle(images, 4 // self.scale)
    shallow = conv(self.channels, name='conv_first')(x)
    x = shallow
    for i in range(self.num_blocks):
      x = RRDB(self.growth, name=f'body{i}')(x)
    x = conv(self.channels, name='conv_body')(x) + shallow
    x = repeated_up(x, SLOPE)
    return x[..., : self.scale * height, : self.scale * width, :]
