"""Networks that tell filmed clips from enlarged ones.

`unet` judges each pixel of each frame (Real-ESRGAN, Wang et al. 2021), its
convolutions held at a spectral norm of 1 (Miyato et al. 2018); `patches` judges
cuts of space and time and wants a gradient penalty. Clips [B, T, H, W, 3] in
[0, 1] give logits, above 0 for what was filmed.

Spectral norms are found anew in each call by power iterations from one fixed
vector. Nothing but the parameters is carried from step to step, so that a
resumed run repeats itself; beside the convolutions it costs next to nothing.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from sr3d_jax import image
from sr3d_jax.models.blocks import conv
from sr3d_jax.types import Array, Network

SLOPE = 0.2  # of all leaky ReLUs
NUM_ITERATIONS = 16  # from there on a random kernel's norm is known to 3 %


def make(*, name: str, channels: int = 64, dtype: str = 'float32') -> Network:
  """Makes init and apply(params, clips) -> logits; losses are `video_terms`.

  Args:
    name: 'unet', with 4,376,897 parameters at 64 channels, for sides that 8
      divides: [B, T, H, W, 1]; or 'patches': [B, T, H / 8, W / 8, 1].
    channels: of the first convolution.
    dtype: of the convolutions; parameters and logits are float32.
  """
  if name not in KINDS:
    raise ValueError(
      f'no discriminator {name!r}: choose from {", ".join(KINDS)}'
    )
  module = KINDS[name](channels, jnp.dtype(dtype))

  def init(key):
    return module.init(key, jnp.zeros((1, 1, 16, 16, 3)))['params']

  def apply(params, clips):
    if any(side % 8 for side in clips.shape[2:4]):
      raise ValueError(
        f'a discriminator halves its clips three times, got {clips.shape}: '
        'let 8 divide their sides'
      )
    return module.apply({'params': params}, clips).astype(jnp.float32)

  return Network(init=init, apply=apply, loss=None)


def spectral_norm(kernel: Array) -> Array:
  """The largest singular value of [..., C_in, C_out] as a matrix, nearly.

  Its gradient is that of u W v, u and v being held.
  """
  matrix = kernel.reshape(-1, kernel.shape[-1])
  held = lax.stop_gradient(matrix)
  # a fixed vector that no symmetry of a kernel is at right angles to
  start = jax.random.normal(jax.random.key(0), matrix.shape[-1:])

  def turn(_, v):
    v = held.T @ (held @ v)
    return v / jnp.maximum(jnp.linalg.norm(v), 1e-12)

  v = lax.fori_loop(0, NUM_ITERATIONS, turn, start)
  u = held @ v
  u /= jnp.maximum(jnp.linalg.norm(u), 1e-12)
  return u @ matrix @ v


def _normalised(x: Array, kernel: Array, *args, **options) -> Array:
  norm = spectral_norm(kernel.astype(jnp.float32))
  kernel /= jnp.maximum(norm, 1e-12).astype(kernel.dtype)
  return lax.conv_general_dilated(x, kernel, *args, **options)


class _UNet(nn.Module):
  """Numbered as published."""

  channels: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, clips: Array) -> Array:
    x = clips.reshape(-1, *clips.shape[2:])
    num, skips = self.channels, []
    x = _leaky(conv(num, dtype=self.dtype, name='conv0')(x))
    for i in (1, 2, 3):
      skips.append(x)
      x = self._conv(i, 2**i * num, size=4, strides=2, padding=[(1, 1)] * 2)(x)
    for i, skip in zip((4, 5, 6), reversed(skips)):
      rows, columns = (2 * side for side in x.shape[1:3])
      x = image.resize(x, rows, columns, method='bilinear', antialias=False)
      x = self._conv(i, skip.shape[-1])(x.astype(self.dtype)) + skip
    x = self._conv(8, num)(self._conv(7, num)(x))
    x = conv(1, dtype=self.dtype, name='conv9')(x)
    return x.reshape(*clips.shape[:-1], 1)

  def _conv(self, i: int, features: int, **options) -> Callable:
    convolve = conv(
      features,
      **options,
      use_bias=False,
      dtype=self.dtype,
      conv_general_dilated=_normalised,
      name=f'conv{i}',
    )
    return lambda x: _leaky(convolve(x))


class _Patches(nn.Module):
  """Three frames and a growing neighbourhood behind each logit."""

  channels: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, clips: Array) -> Array:
    x = clips
    for i in range(3):
      x = nn.Conv(
        2**i * self.channels,
        (3, 4, 4),
        strides=(1, 2, 2),
        padding=[(1, 1)] * 3,
        dtype=self.dtype,
        name=f'conv{i}',
      )(x)
      x = _leaky(x)
    return nn.Conv(1, (3, 3, 3), dtype=self.dtype, name='conv3')(x)


KINDS = {'unet': _UNet, 'patches': _Patches}


def _leaky(x: Array) -> Array:
  return nn.leaky_relu(x, SLOPE)
