"""Moments of what a splat does to a picture: all that its Hessian is made of.

At one pixel the colour is affine in each alpha: dI/dalpha_i = T_i (c_i - b_i),
with T_i the light that reaches splat i, c_i its colour and b_i what lies behind
it, composited over the background. A splat's alpha is an exponential of a
quadratic form, so the second derivatives of any sum of squares over the pixels
are linear in the sums of dx^k dy^l, k + l <= 4, under two weights; see
`sr3d_jax.hessian`. A backend is a module with

  unsupported(*, dtype, channels) -> a reason, or None
  NEEDS_CAPACITY: whether slots must be reserved for it
  forward(means2d, conics, opacities, colors, depths, background, residual,
          weights, *, width, height, capacity) -> [N, 32] sums, overflow

where residual may be None. The sums are those of `Moments` in its order. It
sees only valid splats: the others arrive as constants of opacity zero.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from sr3d_kernels import backends, native
from sr3d_kernels.moments import cpu, reference, xla
from sr3d_kernels.moments.powers import INDEX, POWERS
from sr3d_kernels.rasterize import (
  count_slots,
  is_valid,
  next_capacity,
  replace_invalid,
)

BACKENDS = {'cpu': cpu, 'xla': xla, 'reference': reference}

__all__ = ['BACKENDS', 'INDEX', 'POWERS', 'Moments', 'choose', 'moments']

Array = jax.Array


class Moments(NamedTuple):
  """Sums over the pixels of one view; d = pixel - mean, px, in `POWERS`' order.

  Attributes:
    squared: [N, 15] sum of weight T^2 |c - b|^2 alpha^2 dx^k dy^l.
    signed: [N, 15] sum of T (c - b) . residual alpha dx^k dy^l.
    color: [N] sum of weight alpha^2 T^2, clamped alphas too.
    blend: [N] sum of weight alpha T, clamped alphas too.
    overflow: [] bool; where true there were more pairs than `capacity`, and
      every sum is NaN.
  """

  squared: Array
  signed: Array
  color: Array
  blend: Array
  overflow: Array


def choose(
  backend: str | None, *, dtype: jnp.dtype = jnp.float32, channels: int = 3
) -> str:
  """Name of the backend that serves."""
  return backends.choose(BACKENDS, backend, dtype=dtype, channels=channels)


def moments(
  means2d: Array,
  conics: Array,
  opacities: Array,
  colors: Array,
  depths: Array,
  *,
  width: int,
  height: int,
  background: Array,
  residual: Array | None = None,
  weights: Array | None = None,
  capacity: int | None = None,
  backend: str | None = None,
) -> Moments:
  """Sums each splat's moments over one view, drawn as `rasterize` draws.

  Where alpha is clamped or left out it has no derivative, and adds nothing to
  `squared` and `signed`. Splats that are none get zeros.

  Args:
    means2d: [N, 2] centres (x, y), px.
    conics: [N, 3] inverse covariance (xx, xy, yy), px^-2.
    opacities: [N] in [0, 1].
    colors: [N, C].
    depths: [N] z, scene units.
    width: columns, px.
    height: rows, px.
    background: [C], behind everything.
    residual: [H, W, C] derivative of the loss by the image: weight times image
      minus target for half a weighted sum of squares; None: `signed` is zero.
    weights: [H, W] of the pixels, in all sums but `signed`; None: ones.
    capacity: number of (splat, tile) pairs to reserve, static; None counts
      them, outside `jit` only.
    backend: a name of `BACKENDS`; None takes the first that serves.

  Returns:
    The sums.
  """
  splats = (means2d, conics, opacities, colors, depths)
  _check(splats, background, residual, weights, width, height)
  dtype = jnp.result_type(*splats)
  splats = tuple(jnp.asarray(x, dtype) for x in splats)
  if not len(means2d):
    none = jnp.zeros((0, 15), dtype), jnp.zeros((0, 15), dtype)
    empty = jnp.zeros(0, dtype)
    return Moments(*none, empty, empty, jnp.array(False))
  name = choose(backend, dtype=dtype, channels=colors.shape[1])
  if backend is None and name == 'xla':
    native.warn_if_missing()
  means2d, conics, opacities, colors, depths = splats
  valid = is_valid(means2d, conics, opacities, depths, colors)
  means2d, conics, opacities, depths, colors = replace_invalid(
    valid, means2d, conics, opacities, depths, colors
  )
  size = {'width': width, 'height': height}
  if BACKENDS[name].NEEDS_CAPACITY and capacity is None:
    slots = count_slots(means2d, conics, opacities, depths, **size)
    capacity = next_capacity(int(slots))
  if weights is None:
    weights = jnp.ones((height, width), dtype)
  if residual is not None:
    residual = jnp.asarray(residual, dtype)
  sums, overflow = BACKENDS[name].forward(
    means2d, conics, opacities, colors, depths,
    jnp.asarray(background, dtype), residual, jnp.asarray(weights, dtype),
    **size, capacity=capacity or 0,
  )  # fmt: skip
  sums = jnp.where(overflow, jnp.nan, jnp.where(valid[:, None], sums, 0))
  squared, signed = sums[:, :15], sums[:, 15:30]
  return Moments(squared, signed, sums[:, 30], sums[:, 31], overflow)


def _check(splats, background, residual, weights, width, height):
  """Raises where shapes do not fit together."""
  n, c = len(splats[0]), splats[3].shape[-1]
  names = ('means2d', 'conics', 'opacities', 'colors', 'depths', 'background')
  wanted = ((n, 2), (n, 3), (n,), (n, c), (n,), (c,))
  given = [x.shape for x in splats] + [jnp.shape(background)]
  if residual is not None:
    names, wanted = (*names, 'residual'), (*wanted, (height, width, c))
    given.append(residual.shape)
  if weights is not None:
    names, wanted = (*names, 'weights'), (*wanted, (height, width))
    given.append(weights.shape)
  for name, shape, expected in zip(names, given, wanted):
    if shape != expected:
      raise ValueError(f'{name} must have shape {expected}, got {shape}')
