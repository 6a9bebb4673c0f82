"""Order-free weighted sums of 2D Gaussians that sit on a lattice of pixels.

What a picture's pixels hold, spread over their surroundings and read off at any
position: the splat of 2D image super-resolution. No depth, no order, and every
weight in closed form at the true position. A backend is a module with

  forward(values, covariances, opacities, offsets, positions, footprint, radius)
    -> sums [..., C], totals [...]
  unsupported(*, dtype) -> a reason, or None

Gradients are those of the backend's own arithmetic.
"""

from typing import NamedTuple

import jax
from sr3d_kernels import backends
from sr3d_kernels.accumulate import reference, xla

BACKENDS = {'xla': xla, 'reference': reference}

Array = jax.Array


class Sums(NamedTuple):
  """What `accumulate` gives.

  Attributes:
    values: [..., C] sum over the Gaussians of weight times value.
    weights: [...] sum of the weights.
  """

  values: Array
  weights: Array


def accumulate(
  values: Array,
  covariances: Array,
  opacities: Array,
  rows: Array,
  columns: Array,
  footprint: Array,
  *,
  radius: int,
  offsets: Array | None = None,
  backend: str | None = None,
) -> Sums:
  """Sums one Gaussian a pixel at every position.

  At position u the Gaussian of pixel n, with centre c, covariance S and opacity
  a, has the weight

    a sqrt(|S| / |S'|) exp(-(u - c)' S'^-1 (u - c) / 2),  S' = S + F,

  its mean over a Gaussian pixel of covariance F. Only the (2 radius + 1)^2
  pixels around the one that u lies in count: with radius at least 3 standard
  deviations the rest is below 5e-4 of the whole.

  Args:
    values: [H, W, C] of each pixel.
    covariances: [H, W, 3] row row, row column, column column, px^2; positive
      definite.
    opacities: [H, W].
    rows: positions, px, the first pixel's centre being 1/2; broadcasts against
      columns: [h, 1] and [1, w], or [Q] both.
    columns: likewise.
    footprint: [..., 3] covariance F of the pixel asked for, px^2; its leading
      axes broadcast against the positions.
    radius: of the window, px.
    offsets: [H, W, 2] of the centres from the pixels' own, px, at most 1/2 in
      size, row and column; None: none.
    backend: a name of `BACKENDS`; None takes the first that serves.

  Returns:
    Sums over the window; pixels outside the picture count nothing.
  """
  _check(values, covariances, opacities, footprint, radius, offsets)
  name = backends.choose(BACKENDS, backend, dtype=values.dtype)
  sums = BACKENDS[name].forward(
    values, covariances, opacities, offsets, (rows, columns), footprint, radius
  )
  return Sums(*sums)


def _check(values, covariances, opacities, footprint, radius, offsets):
  """Raises where shapes do not fit each other."""
  height, width = values.shape[:2]
  wanted = {
    'covariances': (covariances, (height, width, 3)),
    'opacities': (opacities, (height, width)),
  }
  if offsets is not None:
    wanted['offsets'] = (offsets, (height, width, 2))
  for name, (array, shape) in wanted.items():
    if array.shape != shape:
      raise ValueError(
        f'{name} of values {values.shape} must be {shape}, got {array.shape}'
      )
  if footprint.shape[-1:] != (3,):
    raise ValueError(f'footprint must be [..., 3], got {footprint.shape}')
  if radius < 1:
    raise ValueError(f'radius must be at least 1 px, got {radius}')
