"""Pieces that image super-resolution networks share; images [B, H, W, C]."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr3d_jax import image
from sr3d_jax.types import Array, Network, Params


def conv(features: int, size: int = 3, **kwargs) -> nn.Conv:
  """A convolution that keeps the picture's size, zeros beyond the border."""
  pad = size // 2
  kwargs = {'padding': [(pad, pad)] * 2} | kwargs
  return nn.Conv(features, (size, size), **kwargs)


def pixel_shuffle(x: Array, scale: int) -> Array:
  """Trades channels for pixels: [..., H, W, C s s] -> [..., sH, sW, C].

  As PyTorch's: channel (c s + i) s + j becomes row i, column j of channel c.
  """
  *batch, height, width, channels = x.shape
  if channels % scale**2:
    raise ValueError(
      f'pixel_shuffle by {scale} wants a multiple of {scale**2} channels, got '
      f'{channels}'
    )
  x = x.reshape(*batch, height, width, channels // scale**2, scale, scale)
  # [..., H, W, C, i, j] -> [..., H, i, W, j, C]
  x = jnp.moveaxis(x, (-2, -1), (-4, -2))
  return x.reshape(*batch, scale * height, scale * width, -1)


def pixel_unshuffle(x: Array, scale: int) -> Array:
  """Trades pixels for channels: [..., sH, sW, C] -> [..., H, W, C s s].

  Undoes `pixel_shuffle`. Sides that s does not divide are reflected
  below and on the right until it does, as Real-ESRGAN does.
  """
  *batch, height, width, channels = x.shape
  pad = [(0, -size % scale) for size in (height, width)]
  x = jnp.pad(x, [(0, 0)] * len(batch) + pad + [(0, 0)], mode='reflect')
  rows, columns = (size // scale for size in x.shape[-3:-1])
  x = x.reshape(*batch, rows, scale, columns, scale, channels)
  # [..., H, i, W, j, C] -> [..., H, W, C, i, j]
  x = jnp.moveaxis(x, (-4, -2), (-2, -1))
  return x.reshape(*batch, rows, columns, channels * scale**2)


def shuffled_up(x: Array, scale: int, name: str) -> Array:
  """Enlarges features [B, H, W, C] by pixel shuffles of 2, or by one of 3.

  For use inside a compact module. The convolution before the i-th shuffle is
  called `name` with the number 2 i, its place in the published sequence.
  """
  steps = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
  if scale not in steps:
    raise ValueError(
      f'pixel shuffles enlarge by {", ".join(map(str, steps))}, got {scale}'
    )
  for i, step in enumerate(steps[scale]):
    x = conv(step**2 * x.shape[-1], name=f'{name}{2 * i}')(x)
    x = pixel_shuffle(x, step)
  return x


def repeated_up(x: Array, slope: float = 0.2) -> Array:
  """Turns features [B, H, W, C] into images [B, 4H, 4W, 3], by nearest pixels.

  For use inside a compact module; the four convolutions, with leaky ReLUs
  between them, have the names of Real-ESRGAN.
  """
  channels = x.shape[-1]
  for name in ('conv_up1', 'conv_up2'):
    x = jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)
    x = nn.leaky_relu(conv(channels, name=name)(x), slope)
  x = nn.leaky_relu(conv(channels, name='conv_hr')(x), slope)
  return conv(3, name='conv_last')(x)


def image_network(module: nn.Module) -> Network:
  """Lifts a linen module [B, H, W, 3] -> [B, sH, sW, 3] into a `Network`.

  Its loss is the mean absolute error over a batch {'lr': [B, H, W, 3],
  'hr': [B, sH, sW, 3]}.
  """

  def init(key):
    return module.init(key, jnp.zeros((1, 16, 16, 3)))['params']

  def apply(params, images):
    return module.apply({'params': params}, images)

  def loss(params, key, batch):
    del key
    error = jnp.mean(jnp.abs(apply(params, batch['lr']) - batch['hr']))
    return error, {'l1': error}

  return Network(init=init, apply=apply, loss=loss)


def upsampler(
  apply: Callable[[Params, Array], Array], scale: float
) -> Callable[[Params, Array], Array]:
  """Makes a network enlarge many views by any factor, with bounded memory.

  Views pass one by one. Where the network's own factor is another, its result
  is resized to the size asked for by antialiased bicubic.

  Args:
    apply: (params, images [1, H, W, 3]) -> [1, rH, rW, 3] for a fixed r, which
      may be any whole number from 1.
    scale: the factor asked for, at least 1.

  Returns:
    (params, images [V, H, W, 3]) -> [V, round(sH), round(sW), 3] in [0, 1].
  """
  check_scale(scale)

  @jax.jit
  def one(params, view):
    height, width = (round(scale * size) for size in view.shape[:2])
    enlarged = apply(params, view[None])[0]
    if enlarged.shape[:2] != (height, width):
      enlarged = image.resize(enlarged, height, width)
    return jnp.clip(enlarged, 0, 1)

  # Not `lax.map`: on a CPU, XLA runs convolutions in a loop many times slower.
  def upsample(params, images):
    return jnp.stack([one(params, view) for view in images])

  return upsample


def check_scale(scale: float) -> None:
  """Raises unless `scale` enlarges."""
  if scale >= 1:
    return
  guess = f'; did you mean {1 / scale:g}?' if scale > 0 else ''
  raise ValueError(
    f'scale must be at least 1, got {scale:g}: a prior enlarges{guess}'
  )
