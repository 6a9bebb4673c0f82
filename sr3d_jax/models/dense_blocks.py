"""Residual blocks of dense blocks (Wang et al. 2018, "ESRGAN")."""

import flax.linen as nn
import jax.numpy as jnp

from sr3d_jax.models.blocks import conv
from sr3d_jax.types import Array

SLOPE = 0.2  # of every leaky ReLU
DAMPING = 0.2  # of every residual


class RRDB(nn.Module):
  """Three dense blocks inside a residual; [B, H, W, C] to the same.

  Attributes:
    growth: channels that each convolution adds.
    dtype: of the products.
  """

  growth: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, inputs: Array) -> Array:
    x = inputs
    for i in (1, 2, 3):
      x = _DenseBlock(self.growth, self.dtype, name=f'rdb{i}')(x)
    return inputs + DAMPING * x


class _DenseBlock(nn.Module):
  """Each convolution sees what went in and all that came out before it."""

  growth: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, inputs: Array) -> Array:
    x = inputs
    for i in (1, 2, 3, 4):
      y = conv(self.growth, dtype=self.dtype, name=f'conv{i}')(x)
      x = jnp.concatenate([x, nn.leaky_relu(y, SLOPE)], axis=-1)
    last = conv(inputs.shape[-1], dtype=self.dtype, name='conv5')
    return inputs + DAMPING * last(x)
