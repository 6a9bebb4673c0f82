"""Volume rendering along rays: a box, intervals, weights, and where to look.

Distances along a ray are fractions s in [0, 1] of its way through the box, so
that one set of intervals serves rays of any length. Rays are [..., 3], their
intervals [..., S], the intervals' edges [..., S + 1].
"""

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax.types import Array

PADDING = 0.01  # share of the samples that are spread evenly, so that none of
#                 the ray goes unseen where the proposal is wrong
STRAYS = 0.005  # of the points, at either end of each axis
ROOM = 0.05  # of a box, beyond its points
SMALLEST = 1e-9  # of a direction: what is parallel to a side never meets it


def through_box(
  origins: Array, directions: Array, low: Array, high: Array, near: float
) -> tuple[Array, Array]:
  """Where rays enter and leave a box, in multiples of their directions.

  Args:
    origins: [..., 3], scene units.
    directions: [..., 3], of any length.
    low: [3] corner of the box.
    high: [3] the opposite corner.
    near: nothing is seen nearer than that.

  Returns:
    [...] start and [...] stop, alike where a ray misses the box.
  """
  tiny = jnp.where(directions < 0, -SMALLEST, SMALLEST)
  safe = jnp.where(jnp.abs(directions) < SMALLEST, tiny, directions)
  one, other = (low - origins) / safe, (high - origins) / safe
  start = jnp.max(jnp.minimum(one, other), axis=-1)
  stop = jnp.min(jnp.maximum(one, other), axis=-1)
  start = jnp.maximum(start, near)
  return start, jnp.maximum(start, stop)


def box_around(points: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Two corners of a box that holds points [P, 3], but for strays.

  A twentieth is added at each side, since surfaces are seldom found whole.
  """
  if not len(points):
    raise ValueError('a box around no points: give the corners of one')
  low, high = np.quantile(np.asarray(points), (STRAYS, 1 - STRAYS), axis=0)
  room = ROOM * (high - low) + 1e-3 * np.max(high - low)
  return tuple((low - room).tolist()), tuple((high + room).tolist())


def weights(densities: Array, lengths: Array) -> Array:
  """What each interval adds to a ray's colour.

  w_i = T_i (1 - exp(-σ_i δ_i)), T_i = exp(-Σ_{j<i} σ_j δ_j) (Max 1995,
  "Optical models for direct volume rendering"; NeRF, equation 3).

  Args:
    densities: [..., S] at least 0.
    lengths: [..., S] of the intervals, in units of 1 / density.

  Returns:
    [..., S], at least 0, with a sum of at most 1.
  """
  depth = densities * lengths
  before = jnp.cumsum(depth, axis=-1) - depth
  return jnp.exp(-before) * -jnp.expm1(-depth)


def even_edges(num: int) -> Array:
  """[num + 1] edges of intervals of one length."""
  return jnp.linspace(0.0, 1.0, num + 1)


def resample(key: Array | None, coarse: Array, num: int) -> Array:
  """Edges of `num` intervals, close where the coarse weights are large.

  They are s(u), the inverse of the distribution function, which is a sum of
  ramps; u are even steps from 0 to 1, those between moved by chance.

  Args:
    key: of the chance; None: the steps stay even.
    coarse: [..., C] weights of even intervals.
    num: S.

  Returns:
    [..., S + 1] from 0 to 1, rising.
  """
  num_coarse = coarse.shape[-1]
  # Rays that meet nothing are searched evenly.
  share = coarse + PADDING / num_coarse
  share = share / jnp.sum(share, axis=-1, keepdims=True)
  before = jnp.cumsum(share, axis=-1) - share
  u = even_edges(num)
  if key is not None:
    moved = jax.random.uniform(key, (*coarse.shape[:-1], num - 1)) - 0.5
    inner = u[1:-1] + moved / num
    ends = jnp.broadcast_to(u[:1], inner[..., :1].shape)
    u = jnp.concatenate([ends, inner, ends + 1], axis=-1)
  ramps = (u[..., :, None] - before[..., None, :]) / share[..., None, :]
  return jnp.sum(jnp.clip(ramps, 0, 1), axis=-1) / num_coarse


def excess(edges: Array, fine: Array, coarse: Array) -> Array:
  """How far coarse weights fail to bound the fine ones from above.

  Mean over rays of Σ_i max(0, w_i - Σ_j w'_j)² / w_i, where j are the coarse
  intervals that touch i (mip-NeRF 360, Barron et al. 2022, equation 13).

  Args:
    edges: [..., S + 1] of the fine intervals.
    fine: [..., S] their weights; they are held fixed.
    coarse: [..., C] weights of even intervals, which learn.

  Returns:
    [] at least 0.
  """
  even = even_edges(coarse.shape[-1])
  edges, fine = jax.lax.stop_gradient((edges, fine))
  touches = (even[1:] > edges[..., :-1, None]) & (
    even[:-1] < edges[..., 1:, None]
  )
  bound = jnp.sum(jnp.where(touches, coarse[..., None, :], 0.0), axis=-1)
  gap = jnp.maximum(fine - bound, 0.0)
  return jnp.mean(jnp.sum(gap**2 / (fine + 1e-6), axis=-1))
