"""Scores that compare structure: MS-SSIM, GMSD and HaarPSI.

Images and targets [..., H, W, 3] are float in [0, 1]; one image gives a scalar,
a batch one value for each. Each score follows the code that its authors
published, borders included, whose pictures are levels of 0 to 255; equal images
score 1, 0 and 1. No border is cut and nothing is rounded.
"""

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import image
from sr3d_jax.numerics import safe_divide, safe_sqrt
from sr3d_jax.types import Array

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_SIDE = 11 * 2 ** (len(MS_SSIM_WEIGHTS) - 1)  # px: a window at the last
HAARPSI_SIDE = 16  # px: the widest wavelet, after halving
_TO_YIQ = np.array(
  [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
)


def ms_ssim(images: Array, targets: Array) -> Array:
  """Multi-scale structural similarity [...] (Wang et al. 2003, eq. 7).

  l_5^w5 prod_j (c_j s_j)^wj over five scales, each half of the one before, with
  the window and the constants of `metrics.ssim`; a mean contrast below 0 counts
  as 0. The mean over RGB, as there.

  Args:
    images: [..., H, W, 3], each side at least 176 px.
    targets: as `images`.
  """
  _check(images, targets)
  check_ms_ssim_size(*images.shape[-3:-1])
  total = 1.0
  for scale, weight in enumerate(MS_SSIM_WEIGHTS):
    if scale:
      images, targets = (_halve(x, mode='edge') for x in (images, targets))
    light, contrast = _ssim_parts(images, targets)
    is_last = scale + 1 == len(MS_SSIM_WEIGHTS)
    values = light * contrast if is_last else contrast
    mean = jnp.mean(values, axis=(-3, -2))
    total *= jnp.maximum(mean, 0.0) ** weight
  return jnp.mean(total, axis=-1)


def check_ms_ssim_size(height: int, width: int) -> None:
  """Raises where no window fits into the last scale of `ms_ssim`."""
  if min(height, width) < MS_SSIM_SIDE:
    raise ValueError(
      f'ms_ssim needs {MS_SSIM_SIDE} x {MS_SSIM_SIDE} pixels at least, for '
      f'five scales, got pictures of {height} x {width} (rows x columns): '
      'leave it out of the measures, or measure finer pictures'
    )


def gmsd(images: Array, targets: Array) -> Array:
  """Gradient magnitude similarity deviation [...]; less is better.

  The standard deviation over pixels of (2 a b + c) / (a^2 + b^2 + c), with a
  and b the lengths of Prewitt gradients of the halved lumas (Xue et al. 2014,
  eqs. 3 to 6), c = 170 of 255^2, about 0.0026.
  """
  _check(images, targets)
  pair = _to_yiq(jnp.stack([images, targets]))[..., :1]
  similarity = _similarity(*_gradient(_halve(pair, mode='constant')), 170.0)
  return jnp.std(similarity, axis=(-3, -2, -1))


def haarpsi(images: Array, targets: Array) -> Array:
  """Haar wavelet-based perceptual similarity [...], in [0, 1].

  Reisenhofer et al. 2018, eqs. 10 to 18, with C = 30 and alpha = 4.2: the
  wavelets of two fine scales are compared, and a third says where it matters;
  the colours I and Q of YIQ are compared likewise.

  Args:
    images: [..., H, W, 3], each side at least 16 px.
    targets: as `images`.
  """
  _check(images, targets)
  if min(images.shape[-3:-1]) < HAARPSI_SIDE:
    raise ValueError(
      f'haarpsi needs {HAARPSI_SIDE} x {HAARPSI_SIDE} pixels at least, got '
      f'images of {images.shape}'
    )
  pair = _halve(_to_yiq(jnp.stack([images, targets])), mode='constant')
  similarities, weights = [], []
  for is_transposed in (False, True):
    first, second, third = (
      jnp.abs(_haar(pair[..., :1], side, is_transposed)) for side in (2, 4, 8)
    )
    both = _similarity(*first, 30.0) + _similarity(*second, 30.0)
    similarities.append(both / 2)
    weights.append(jnp.maximum(*third))
  half = np.full(2, 0.5)
  chroma = _similarity(*jnp.abs(_window(pair[..., 1:], half, half)), 30.0)
  similarities.append(jnp.mean(chroma, axis=-1, keepdims=True))
  weights.append((weights[0] + weights[1]) / 2)
  similarity, weight = (
    jnp.concatenate(x, axis=-1) for x in (similarities, weights)
  )
  pixels = (-3, -2, -1)
  total = jnp.sum(weight, axis=pixels)
  mean = jnp.sum(jax.nn.sigmoid(4.2 * similarity) * weight, axis=pixels)
  # Where both are black nothing weighs, and they are equal.
  mean = jnp.where(total > 0, safe_divide(mean, total), jax.nn.sigmoid(4.2))
  return (jnp.log(mean / (1 - mean)) / 4.2) ** 2


def _similarity(a: Array, b: Array, constant: float) -> Array:
  return (2 * a * b + constant) / (a**2 + b**2 + constant)


def _to_yiq(images: Array) -> Array:
  """Levels of Y, I and Q, for RGB in [0, 1]."""
  matrix = jnp.asarray(255 * _TO_YIQ.T, jnp.float32)
  return jnp.matmul(images, matrix, precision='highest')


def _halve(images: Array, *, mode: str) -> Array:
  """Means of 2 x 2 pixels; an odd side is padded by `mode` first."""
  *batch, height, width, channels = images.shape
  widths = [(0, 0)] * len(batch) + [(0, height % 2), (0, width % 2), (0, 0)]
  x = jnp.pad(images, widths, mode)
  x = x.reshape(*batch, x.shape[-3] // 2, 2, x.shape[-2] // 2, 2, channels)
  return jnp.mean(x, axis=(-4, -2))


def _ssim_parts(images: Array, targets: Array) -> tuple[Array, Array]:
  """Luminance, and contrast times structure, where the window fits."""
  products = [images, targets, images**2, targets**2, images * targets]
  # Blurred as one, since each blur is compiled.
  smooth = image.gaussian_blur(jnp.concatenate(products, -1), 1.5, radius=5)
  smooth = smooth[..., 5:-5, 5:-5, :]
  a, b, aa, bb, ab = jnp.split(smooth, len(products), axis=-1)
  spread = aa - a**2 + bb - b**2
  light = (2 * a * b + 0.01**2) / (a**2 + b**2 + 0.01**2)
  return light, (2 * (ab - a * b) + 0.03**2) / (spread + 0.03**2)


def _gradient(levels: Array) -> Array:
  """Length of Prewitt's gradient; black beyond the border."""
  ones, ends = np.full(3, 1 / 3), np.array([1.0, 0.0, -1.0])
  rows, columns = _window(levels, ends, ones), _window(levels, ones, ends)
  return safe_sqrt(rows**2 + columns**2)


def _haar(levels: Array, side: int, is_transposed: bool) -> Array:
  """Coefficients of the square Haar wavelet that changes sign along rows."""
  flat = np.full(side, 1 / side)
  step = np.repeat([1.0, -1.0], side // 2)
  taps = (flat, step) if is_transposed else (step, flat)
  return _window(levels, *taps)


def _window(x: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
  """Correlates [..., H, W, C] with taps, black beyond the border.

  Barriers keep XLA from fusing the passes, which would repeat the first for
  every tap of the second.
  """
  for axis, taps in ((-3, rows), (-2, columns)):
    size, num = x.shape[axis], len(taps)
    widths = [(0, 0)] * x.ndim
    widths[axis] = ((num - 1) // 2, num // 2)
    padded = jax.lax.optimization_barrier(jnp.pad(x, widths))
    x = sum(
      float(tap) * jax.lax.slice_in_dim(padded, k, k + size, axis=axis)
      for k, tap in enumerate(taps)
    )
  return jax.lax.optimization_barrier(x)


def _check(images: Array, targets: Array) -> None:
  if images.shape != targets.shape or images.shape[-1:] != (3,):
    raise ValueError(
      'images and targets must both be [..., H, W, 3], got '
      f'{images.shape} and {targets.shape}: resize or crop one of them first'
    )
  for x in (images, targets):
    if not jnp.issubdtype(x.dtype, jnp.floating):
      raise ValueError(
        f'images must be float in [0, 1], got {x.dtype}: use image.to_float'
      )
