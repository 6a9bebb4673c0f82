"""The local ensemble: what a query takes from the pixels around it.

LIIF and its followers predict a colour from each of the four pixels around a
query and weigh it by the area between the query and the pixel opposite (Chen et
al. 2021). That is bilinear interpolation of the four predictions.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp

from sr3d_jax.models import heads
from sr3d_jax.numerics import safe_sqrt
from sr3d_jax.types import Array, Queries


class Corner(NamedTuple):
  """One of the pixels around each query.

  Attributes:
    rows: [B, h, 1] or [B, Q] indices.
    columns: [B, 1, w] or [B, Q] indices.
    offsets: [B, ..., 2] from its centre to the query (row, column), px.
    weights: [B, ..., 1]; those of a query's corners sum to 1.
  """

  rows: Array
  columns: Array
  offsets: Array
  weights: Array


def corners(
  queries: Queries, height: int, width: int, *, only_nearest: bool = False
) -> Iterator[Corner]:
  """Finds the four pixels around each query: (-, -), (-, +), (+, -), (+, +).

  Beyond the border the last pixel stands for those that are not there.

  Args:
    queries: at any positions.
    height: of the features.
    width: of the features.
    only_nearest: whether to take just the pixel that a query lies in.
  """
  for (i, y, v), (j, x, w) in itertools.product(
    _neighbours(queries.rows, height, only_nearest),
    _neighbours(queries.columns, width, only_nearest),
  ):
    offsets = jnp.stack(jnp.broadcast_arrays(y, x), axis=-1)
    yield Corner(i, j, offsets, (v * w)[..., None])


def _neighbours(
  x: Array, size: int, only_nearest: bool
) -> list[tuple[Array, Array, Array]]:
  """Index, offset and weight of the pixels along one axis."""
  x = x - 0.5  # to where pixel k has its centre at k
  if only_nearest:
    taps = [(jnp.floor(x + 0.5), jnp.ones_like(x))]
  else:
    # At a centre the second weighs nothing, so that rounding which takes the
    # position to the other side changes next to nothing.
    first = jnp.floor(x)
    taps = [(first, first + 1 - x), (first + 1, x - first)]
  found = []
  for tap, weight in taps:
    index = jnp.clip(tap, 0, size - 1)
    found.append((index.astype(int), x - index, weight))
  return found


def look_up(features: Array, corner: Corner) -> Array:
  """Looks [B, H, W, C] up at a corner's pixels: [B, ..., C]."""
  return heads.over_pictures(
    lambda picture, i, j: picture[i, j], features, corner
  )


def cells(queries: Queries) -> Array:
  """Extents of the queries (row, column), in half pixels: [B, ..., 2].

  2 / s at scale s: the published networks span a picture by 2 and measure in
  its pixels, so that half a pixel is their unit.
  """
  return 2 * safe_sqrt(queries.footprint[..., ::2])
