"""Scores between images [..., H, W, C], float32 in [0, 1].

One image gives a scalar; a batch gives one value for each image.
"""

import dm_pix
import jax.numpy as jnp

from sr3d_jax import image
from sr3d_jax.types import Array


def psnr(images: Array, targets: Array) -> Array:
  """Peak signal-to-noise ratio [...], dB; infinite for equal images."""
  _check(images, targets)
  return dm_pix.psnr(images, targets)


def ssim(images: Array, targets: Array) -> Array:
  """Mean structural similarity [...], as papers report it.

  11 x 11 Gaussian window of sigma 1.5 at the pixels where it fits (no padding,
  unlike `losses.ssim_map`), K = (0.01, 0.03), mean over RGB.
  """
  _check(images, targets)
  if min(images.shape[-3:-1]) < 11:
    raise ValueError(
      f'ssim needs 11 x 11 pixels at least, got images of {images.shape}'
    )
  return dm_pix.ssim(images, targets)


def psnr_y(images: Array, targets: Array, *, shave: int) -> Array:
  """PSNR of the luma [...], dB, by the convention of super-resolution papers.

  Args:
    images: [..., H, W, 3]; rounded to 8 bits first.
    targets: as `images`.
    shave: pixels to ignore at each border, customarily the scale.

  Returns:
    [...], dB.
  """
  _check(images, targets)
  height, width = images.shape[-3:-1]
  if not 0 <= 2 * shave < min(height, width):
    raise ValueError(
      f'shave must leave some of {height} x {width} pixels, got {shave}'
    )
  inner = slice(shave, height - shave), slice(shave, width - shave)
  lumas = [
    image.rgb_to_y(image.to_float(image.to_uint8(x)))[..., *inner, :]
    for x in (images, targets)
  ]
  return dm_pix.psnr(*lumas)


def lr_consistency_psnr(renders: Array, lr: Array) -> Array:
  """PSNR [...], dB, of fine renders, shrunk, against the photos they explain.

  Args:
    renders: [..., sH, sW, 3].
    lr: [..., H, W, 3].
  """
  height, width = lr.shape[-3:-1]
  if renders.shape[-3] < height or renders.shape[-2] < width:
    raise ValueError(
      f'renders must be finer than the photos, got {renders.shape} for '
      f'{lr.shape}: are the arguments swapped?'
    )
  return psnr(image.resize(renders, height, width), lr)


def error_map(images: Array, targets: Array) -> Array:
  """Absolute difference [..., H, W], mean over channels."""
  _check(images, targets)
  return jnp.mean(jnp.abs(images - targets), axis=-1)


def _check(images: Array, targets: Array) -> None:
  if images.shape != targets.shape:
    raise ValueError(
      f'images and targets must have the same shape, got {images.shape} and '
      f'{targets.shape}: resize or crop one of them first'
    )
  for x in (images, targets):
    if not jnp.issubdtype(x.dtype, jnp.floating):
      raise ValueError(
        f'images must be float in [0, 1], got {x.dtype}: use image.to_float'
      )
