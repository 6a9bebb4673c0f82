"""Lends a restored picture the colours of the coarse one it was made of.

A generative decoder shifts colours; the enlarged low-resolution picture has
them right. Pictures are [..., H, W, C] of any range, and nothing is clipped.
"""

import jax
import jax.numpy as jnp

from sr3d_jax import image
from sr3d_jax.types import Array

LEVELS = 5
LEAST_SPREAD = 1e-3  # what is flatter has no contrast to scale
EPSILON = 1e-5  # added to variances, so that flat pictures stay finite


def wavelet(content: Array, style: Array, *, levels: int = LEVELS) -> Array:
  """Keeps the detail of one picture and takes the low band of another.

  The undecimated wavelet transfer of StableSR (Wang et al. 2023): content -
  low(content) + low(style), and the low band is linear.

  Args:
    content: [..., H, W, C], whose detail stays.
    style: [..., H, W, C], whose colours are taken.
    levels: of the low band.

  Returns:
    [..., H, W, C].
  """
  _check_sizes(content, style)
  return content + low_band(style - content, levels=levels)


def low_band(images: Array, *, levels: int = LEVELS) -> Array:
  """Blurs with [1 2 1] / 4 along both axes at spacings 1, 2, 4, ...

  Pixels beyond the border repeat it.

  Args:
    images: [..., H, W, C].
    levels: how many blurs follow each other.

  Returns:
    [..., H, W, C]; the rest is the high band.
  """
  for level in range(levels):
    images = _blur(_blur(images, 2**level, -3), 2**level, -2)
  return images


def _blur(images: Array, spacing: int, axis: int) -> Array:
  widths = [(0, 0)] * images.ndim
  widths[axis] = (spacing, spacing)
  # Fused, each blur would repeat the one before it for each of its taps.
  padded = jax.lax.optimization_barrier(jnp.pad(images, widths, 'edge'))
  size = images.shape[axis]
  before = jax.lax.slice_in_dim(padded, 0, size, axis=axis)
  after = jax.lax.slice_in_dim(padded, -size, None, axis=axis)
  return 0.25 * (before + after) + 0.5 * images


def adain(content: Array, style: Array) -> Array:
  """Gives each channel of one picture the mean and spread of another's.

  Adaptive instance normalisation (Huang & Belongie 2017, equation 8), with
  unbiased variances.

  Args:
    content: [..., H, W, C], whose structure stays.
    style: [..., H', W', C], whose statistics are taken.

  Returns:
    [..., H, W, C].
  """
  mean, spread = _statistics(content)
  style_mean, style_spread = _statistics(style)
  return (content - mean) / spread * style_spread + style_mean


def shrunk_statistics(fine: Array, coarse: Array) -> Array:
  """Lets the fine picture, once shrunk, have the coarse one's statistics.

  As `adain`, but detail has a spread of its own, which stays.

  Args:
    fine: [..., sH, sW, C], whose structure stays.
    coarse: [..., H, W, C], whose means and spreads are taken.

  Returns:
    [..., sH, sW, C].
  """
  small = image.resize(fine, *coarse.shape[-3:-1], method='area')
  axes = (-3, -2)
  mean, goal = (jnp.mean(x, axes, keepdims=True) for x in (small, coarse))
  spread, wanted = (jnp.std(x, axes, keepdims=True) for x in (small, coarse))
  gain = wanted / jnp.maximum(spread, LEAST_SPREAD)
  return (fine - mean) * jnp.where(spread > LEAST_SPREAD, gain, 1.0) + goal


def shrunk_low_band(fine: Array, coarse: Array, *, levels: int = 2) -> Array:
  """Adds the low band of what the fine picture, once shrunk, lacks.

  Args:
    fine: [..., sH, sW, C], whose detail stays.
    coarse: [..., H, W, C], whose colours are taken.
    levels: of the low band, in coarse pixels.

  Returns:
    [..., sH, sW, C].
  """
  small = image.resize(fine, *coarse.shape[-3:-1], method='area')
  lacks = low_band(coarse - small, levels=levels)
  return fine + image.resize(lacks, *fine.shape[-3:-1], method='bilinear')


def _statistics(images: Array) -> tuple[Array, Array]:
  axes = (-3, -2)
  variance = jnp.var(images, axis=axes, keepdims=True, ddof=1)
  mean = jnp.mean(images, axis=axes, keepdims=True)
  return mean, jnp.sqrt(variance + EPSILON)


def _check_sizes(content: Array, style: Array):
  if content.shape[-3:] != style.shape[-3:]:
    raise ValueError(
      f'colours come from a picture of the same size, got {content.shape} and '
      f'{style.shape}: enlarge the coarse one first'
    )
