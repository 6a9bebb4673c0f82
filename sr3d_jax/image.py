"""Resizing, blur and colour of images [..., H, W, C], float32 in [0, 1].

The pixel in column i has its centre at i + 1/2 and every resize keeps the
picture's borders, so a `Camera` at the new size sees the same picture.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax.types import Array


def resize(
  images: Array,
  height: int,
  width: int,
  *,
  method: str = 'bicubic',
  antialias: bool = True,
) -> Array:
  """Resamples images by two small dense matrices, one for each axis.

  - 'area': the mean over each new pixel's footprint, fractions included.
  - 'bilinear', 'bicubic' (Keys a = -1/2): as Pillow and `jax.image.resize`;
    taps beyond the border are dropped and the rest renormalised.
  - 'bicubic_torch' (a = -3/4): with `antialias=False`, as PyTorch and OpenCV;
    taps beyond the border repeat the border pixel.

  Bicubic kernels overshoot; nothing is clipped.

  Args:
    images: [..., H, W, C].
    height: of the result.
    width: of the result.
    method: one of the above.
    antialias: whether shrinking widens the kernel; 'area' always does.

  Returns:
    [..., height, width, C].
  """
  if height < 1 or width < 1:
    raise ValueError(f'height and width must be positive, got {height}x{width}')
  old_height, old_width = images.shape[-3:-1]
  rows = resize_weights(old_height, height, method, antialias)
  columns = resize_weights(old_width, width, method, antialias)
  images = jnp.einsum('oh,...hwc->...owc', rows, images, precision='highest')
  return jnp.einsum('pw,...owc->...opc', columns, images, precision='highest')


def shrink(images: Array, scale: float) -> Array:
  """Shrinks by antialiased bicubic to round(H / scale) x round(W / scale)."""
  if scale < 1:
    raise ValueError(f'scale must be at least 1, got {scale}: use enlarge')
  height, width = images.shape[-3:-1]
  return resize(images, round(height / scale), round(width / scale))


def enlarge(images: Array, scale: float, *, method: str = 'bicubic') -> Array:
  """Enlarges to round(H * scale) x round(W * scale); may leave [0, 1]."""
  if scale < 1:
    raise ValueError(f'scale must be at least 1, got {scale}: use shrink')
  height, width = images.shape[-3:-1]
  return resize(
    images, round(height * scale), round(width * scale), method=method
  )


def pad_ragged(
  images: Array, multiple: int = 32, *, grow_both: bool = False
) -> Array:
  """Reflects right and bottom until both sides are multiples of a number.

  Args:
    images: [..., H, W, C].
    multiple: px, at least 1.
    grow_both: as published in 3DSR: where one side is no multiple, both grow to
      the multiple above, a side that is one already too.

  Returns:
    [..., H', W', C]; the picture is its top left corner.
  """
  old = images.shape[-3:-1]
  new = ragged_size(old, multiple, grow_both=grow_both)
  widths = [(0, 0)] * (images.ndim - 3) + [(0, b - a) for a, b in zip(old, new)]
  return jnp.pad(images, [*widths, (0, 0)], 'reflect')


def ragged_size(
  size: tuple[int, int], multiple: int = 32, *, grow_both: bool = False
) -> tuple[int, int]:
  """Finds the height and width that `pad_ragged` gives a picture of a size."""
  if multiple < 1:
    raise ValueError(f'multiple must be at least 1 px, got {multiple}')
  if grow_both and any(side % multiple for side in size):
    height, width = (multiple * (side // multiple + 1) for side in size)
  else:
    height, width = (side + -side % multiple for side in size)
  return height, width


def gaussian_taps(sigma: float | Array, radius: int) -> Array:
  """Samples a Gaussian at -radius..radius, summing to 1: [2 radius + 1]."""
  offsets = jnp.arange(-radius, radius + 1, dtype=jnp.float32)
  taps = jnp.exp(-0.5 * (offsets / sigma) ** 2)
  return taps / jnp.sum(taps)


def filter_separable(images: Array, taps: Array, *, pad: str) -> Array:
  """Correlates images with the same taps along rows and columns.

  A sum of shifted slices: on a CPU many times faster than a convolution with
  one input channel. Columns and channels are one axis, since vectors want long
  rows, and barriers keep XLA from fusing the passes, which would repeat the
  first for every tap of the second.

  Args:
    images: [..., H, W, C].
    taps: [2 radius + 1].
    pad: mode of `jnp.pad`: 'constant' (zeros), 'edge', 'reflect'.

  Returns:
    [..., H, W, C].
  """
  *_, height, width, channels = images.shape
  radius = len(taps) // 2
  widths = [(0, 0)] * (images.ndim - 3)
  padded = jnp.pad(images, [*widths, (0, 0), (radius, radius), (0, 0)], pad)
  flat = padded.reshape(*images.shape[:-2], -1)
  flat = _correlate(flat, taps, channels, width * channels, images.ndim - 2)
  padded = jnp.pad(flat, [*widths, (radius, radius), (0, 0)], pad)
  flat = _correlate(padded, taps, 1, height, images.ndim - 3)
  return flat.reshape(images.shape)


def _correlate(padded, taps, stride, size, axis):
  """Sums slices of length `size`, `stride` apart along an axis."""
  padded = jax.lax.optimization_barrier(padded)
  slices = (
    jax.lax.slice_in_dim(padded, k * stride, k * stride + size, axis=axis)
    for k in range(len(taps))
  )
  total = sum(tap * part for tap, part in zip(taps, slices))
  return jax.lax.optimization_barrier(total)


def gaussian_blur(
  images: Array,
  sigma: float | Array,
  *,
  radius: int | None = None,
  pad: str = 'edge',
) -> Array:
  """Blurs with a Gaussian of standard deviation `sigma`, px.

  Args:
    images: [..., H, W, C].
    sigma: may be traced where `radius` is given.
    radius: taps on each side; None: four sigma.
    pad: 'edge' or 'reflect'; see `filter_separable`.

  Returns:
    [..., H, W, C].
  """
  radius = math.ceil(4 * sigma) if radius is None else radius
  return filter_separable(images, gaussian_taps(sigma, radius), pad=pad)


# ITU-R BT.601, studio swing, for RGB and YCbCr both in [0, 1].
_TO_YCBCR = (
  np.array(
    [
      [65.481, 128.553, 24.966],
      [-37.797, -74.203, 112.0],
      [112.0, -93.786, -18.214],
    ]
  )
  / 255
)
_YCBCR_OFFSET = np.array([16.0, 128.0, 128.0]) / 255


def rgb_to_ycbcr(images: Array) -> Array:
  """Converts RGB to BT.601 YCbCr [..., 3] with Y in [16, 235] / 255."""
  matrix = jnp.asarray(_TO_YCBCR.T, jnp.float32)
  offset = jnp.asarray(_YCBCR_OFFSET, jnp.float32)
  return jnp.matmul(images, matrix, precision='highest') + offset


def ycbcr_to_rgb(images: Array) -> Array:
  """Inverts `rgb_to_ycbcr`."""
  matrix = jnp.asarray(np.linalg.inv(_TO_YCBCR).T, jnp.float32)
  offset = jnp.asarray(_YCBCR_OFFSET, jnp.float32)
  return jnp.matmul(images - offset, matrix, precision='highest')


def rgb_to_y(images: Array) -> Array:
  """Gives the luma [..., 1]: (65.481 R + 128.553 G + 24.966 B + 16) / 255."""
  weights = jnp.asarray(_TO_YCBCR[0], jnp.float32)
  return jnp.sum(images * weights, axis=-1, keepdims=True) + 16 / 255


def to_uint8(images: Array) -> Array:
  """Clips to [0, 1] and rounds to the nearest of 256 levels."""
  return jnp.round(jnp.clip(images, 0, 1) * 255).astype(jnp.uint8)


def to_float(images: Array) -> Array:
  """Maps uint8 levels to float32 in [0, 1]."""
  if images.dtype != jnp.uint8:
    raise ValueError(f'to_float wants uint8, got {images.dtype}')
  return jnp.asarray(images, jnp.float32) / 255


def _keys_cubic(a: float):
  def kernel(x):
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))

  return kernel


_KERNELS = {
  'bilinear': lambda x: np.maximum(1 - np.abs(x), 0.0),
  'bicubic': _keys_cubic(-0.5),
  'bicubic_torch': _keys_cubic(-0.75),
}


def resize_weights(
  old: int, new: int, method: str, antialias: bool
) -> np.ndarray:
  """Makes [new, old] weights of `resize`'s methods; each row sums to 1."""
  ratio = old / new
  if method == 'area':
    left = np.arange(new)[:, None] * ratio
    start = np.maximum(left, np.arange(old))
    stop = np.minimum(left + ratio, np.arange(old) + 1)
    weights = np.maximum(stop - start, 0.0)
  elif method in _KERNELS:
    stretch = max(ratio, 1.0) if antialias else 1.0
    beyond = math.ceil(2 * stretch)
    taps = np.arange(-beyond, old + beyond)
    centers = (np.arange(new)[:, None] + 0.5) * ratio
    weights = _KERNELS[method]((taps + 0.5 - centers) / stretch)
    if method == 'bicubic_torch':
      weights[:, beyond] += weights[:, :beyond].sum(axis=1)
      weights[:, -beyond - 1] += weights[:, -beyond:].sum(axis=1)
    weights = weights[:, beyond:-beyond]
  else:
    names = ', '.join(['area', *_KERNELS])
    raise ValueError(f'no resize method {method!r}: choose from {names}')
  weights = weights / weights.sum(axis=1, keepdims=True)
  return weights.astype(np.float32)
