"""EDSR: residual blocks without norms (Lim et al. 2017), x2, x3 or x4.

Weights are published as edsr_baseline_x4-6b446fab.pt (64 channels, 16 blocks)
and edsr_x4-4f62e9ef.pt (256 channels, 32 blocks, residuals times 0.1), and so
for the other scales, with sanghyun-son/EDSR-PyTorch, parameters named as there.
They were learnt on pixels in [0, 255] less the mean colour of DIV2K.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from sr3d_jax.models import encoders
from sr3d_jax.models.blocks import conv, image_network, shuffled_up
from sr3d_jax.types import Array, Network

NAMES = (
  (r'^encoder\.', ''),
  (r'^up(\d)\.', r'tail.0.\1.'),
  (r'^last\.', 'tail.1.'),
  *encoders.EDSR_NAMES,
)
MEAN = 255 * np.array([0.4488, 0.4371, 0.4040])  # of DIV2K
CONSTANTS = (
  (r'^(sub|add)_mean\.weight$', lambda shape: np.eye(3).reshape(3, 3, 1, 1)),
  (r'^sub_mean\.bias$', lambda shape: -MEAN),
  (r'^add_mean\.bias$', lambda shape: MEAN),
)


def make(
  *,
  scale: int = 4,
  channels: int = 64,
  num_blocks: int = 16,
  residual_scale: float = 1.0,
) -> Network:
  """Makes [B, H, W, 3] -> [B, sH, sW, 3]; EDSR-baseline by default."""
  return image_network(_EDSR(scale, channels, num_blocks, residual_scale))


class _EDSR(nn.Module):
  scale: int
  channels: int
  num_blocks: int
  residual_scale: float

  @nn.compact
  def __call__(self, images: Array) -> Array:
    mean = jnp.asarray(MEAN, images.dtype)
    encoder = encoders.EDSR(
      self.channels, self.num_blocks, self.residual_scale, name='encoder'
    )
    x = shuffled_up(encoder(255 * images - mean), self.scale, 'up')
    return (conv(3, name='last')(x) + mean) / 255
