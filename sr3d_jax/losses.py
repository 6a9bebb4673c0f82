"""Losses between images [..., H, W, C], float32 in [0, 1]: small is good."""

import jax
import jax.numpy as jnp

from sr3d_jax.image import filter_separable, gaussian_taps
from sr3d_jax.numerics import safe_divide
from sr3d_jax.types import Array

# The window and the stabilisers of Wang et al. 2004, as in 3DGS.
SSIM_RADIUS, SSIM_SIGMA = 5, 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


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


def ssim_map(images: Array, targets: Array) -> Array:
  """Structural similarity at each pixel, by the convention of 3DGS.

  (2 μxμy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)) over an 11 x 11
  Gaussian window of sigma 1.5; beyond the border there are zeros (Wang et al.
  2004, "Image Quality Assessment").

  Args:
    images: [..., H, W, C].
    targets: as `images`.

  Returns:
    [..., H, W, C], at most 1.
  """
  _check(images, targets)
  x, y = _window(images), _window(targets)
  squares = _window(images * images + targets * targets)
  product = _window(images * targets)
  means = x * x + y * y
  luminance = (2 * x * y + SSIM_C1) / (means + SSIM_C1)
  structure = (2 * (product - x * y) + SSIM_C2) / (squares - means + SSIM_C2)
  return luminance * structure


def dssim(images: Array, targets: Array, weights: Array | None = None) -> Array:
  """One minus the mean structural similarity; 0 where all weights are 0."""
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


@jax.custom_vjp
def _window(images: Array) -> Array:
  """Averages over the SSIM window.

  With symmetric taps and zeros outside this is its own transpose. Saying so
  makes the gradient a blur too, several times faster than transposed slices.
  """
  taps = gaussian_taps(SSIM_SIGMA, SSIM_RADIUS)
  return filter_separable(images, taps, pad='constant')


_window.defvjp(
  lambda images: (_window(images), None),
  lambda _, cotangent: (_window(cotangent),),
)


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
