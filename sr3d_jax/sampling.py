"""Looks pictures up between their pixels.

Positions are in pixels, the first pixel having its centre at (1/2, 1/2); rows
and columns broadcast against each other. Beyond the border the last pixel goes
on. One picture [H, W, C]; `vmap` for many.
"""

from collections.abc import Callable

import jax.numpy as jnp

from sr3d_jax.types import Array


def nearest(picture: Array, rows: Array, columns: Array) -> Array:
  """The pixel that each position lies in: [..., C]."""
  height, width = picture.shape[:2]
  row = jnp.clip(jnp.floor(rows).astype(int), 0, height - 1)
  column = jnp.clip(jnp.floor(columns).astype(int), 0, width - 1)
  return picture[row, column]


def bilinear(picture: Array, rows: Array, columns: Array) -> Array:
  """Linear interpolation: [..., C]."""
  return _interpolate(picture, rows, columns, (0, 1), lambda x: 1 - jnp.abs(x))


def bicubic(
  picture: Array, rows: Array, columns: Array, *, a: float = -0.5
) -> Array:
  """Keys's cubic convolution (1981): [..., C].

  Args:
    picture: [H, W, C].
    rows: of the positions, px.
    columns: likewise.
    a: -1/2 reproduces parabolas; PyTorch and OpenCV take -3/4.
  """

  def kernel(x):
    x = jnp.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return jnp.where(x < 1, near, far)

  return _interpolate(picture, rows, columns, (-1, 0, 1, 2), kernel)


def _interpolate(
  picture: Array,
  rows: Array,
  columns: Array,
  taps: tuple[int, ...],
  kernel: Callable[[Array], Array],
) -> Array:
  """Sums pixels around each position; a grid is summed axis by axis."""
  row_taps = _taps(rows, picture.shape[0], taps, kernel)
  column_taps = _taps(columns, picture.shape[1], taps, kernel)
  if rows.ndim == 2 and rows.shape[1] == 1 and columns.shape[0] == 1:
    picture = sum(w[:, :, None] * picture[i[:, 0]] for i, w in row_taps)
    return sum(w[:, :, None] * picture[:, i[0]] for i, w in column_taps)
  return sum(
    (v * w)[..., None] * picture[i, j]
    for i, v in row_taps
    for j, w in column_taps
  )


def _taps(x, size, taps, kernel):
  """Indices and weights of the pixels around each position."""
  first = jnp.floor(x - 0.5)
  fraction = x - 0.5 - first
  return [
    (
      jnp.clip(first.astype(int) + tap, 0, size - 1),
      kernel(fraction - tap).astype(jnp.float32),
    )
    for tap in taps
  ]
