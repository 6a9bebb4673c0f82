"""Losses between images [..., H, W, C], float32 in [0, 1]: small is good."""

import jax.numpy as jnp
from sr3d_kernels.ssim import ssim_map

from sr3d_jax.numerics import safe_divide
from sr3d_jax.types import Array


def l1(images: Array, targets: Array, weights: Array | None = None) -> Array:
  """Mean absolute difference; `weights` [..., H, W] say which pixels count."""
  _check(images, targets)
  return _mean(jnp.abs(images - targets), weights)


def l2(images: Array, targets: Array, weights: Array | None = None) -> Array:
  """Mean squared difference; `weights` as in `l1`."""
  _check(images, targets)
  return _mean(jnp.square(images - targets), weights)


def charbonnier(
  images: Array,
  targets: Array,
  weights: Array | None = None,
  *,
  epsilon: float = 1e-3,
) -> Array:
  """Mean of √(difference² + ε²): L1 with a round tip."""
  _check(images, targets)
  difference = images - targets
  return _mean(jnp.sqrt(difference * difference + epsilon**2), weights)


def dssim(images: Array, targets: Array, weights: Array | None = None) -> Array:
  """One minus the mean structural similarity; 0 where all weights are 0."""
  _check(images, targets)
  return _mean(1 - ssim_map(images, targets), weights)


def photometric(
  images: Array,
  targets: Array,
  *,
  weights: Array | None = None,
  dssim_weight: float = 0.2,
) -> Array:
  """The loss of 3DGS: (1 - λ) L1 + λ D-SSIM.

  Args:
    images: [..., H, W, C].
    targets: as `images`.
    weights: [..., H, W], at least 0, or None: all pixels count alike.
    dssim_weight: λ.

  Returns:
    [] mean over all pixels.
  """
  absolute = l1(images, targets, weights)
  structural = dssim(images, targets, weights)
  return (1 - dssim_weight) * absolute + dssim_weight * structural


def _mean(values: Array, weights: Array | None) -> Array:
  if weights is None:
    return jnp.mean(values)
  if weights.shape != values.shape[:-1]:
    raise ValueError(
      f'weights must be {values.shape[:-1]}, one for each pixel, got '
      f'{weights.shape}'
    )
  total = jnp.sum(weights) * values.shape[-1]
  return safe_divide(jnp.sum(values * weights[..., None]), total)


def _check(images: Array, targets: Array) -> None:
  if images.shape != targets.shape:
    raise ValueError(
      f'images and targets must have the same shape, got {images.shape} and '
      f'{targets.shape}: resize or crop one of them first'
    )
