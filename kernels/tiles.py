"""Which splat meets which tile, and each tile's list from near to far.

A slot is one (splat, tile) pair. Slots are reserved for the tiles that a
splat's bounding box touches; those that its ellipse then misses sort to the
end. Splat i covers the pixel centres p with (p - mean_i)ᵀ conic_i (p - mean_i)
<= level_i, and no list misses a splat that covers one of its tile's pixels.

Shapes are static: `capacity` slots, of which those beyond the count are empty.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

SIZE = 16  # px, both ways

# Slack of the tile tests, px and px^2 in the metric of the conic: a false
# positive costs little, a false negative is a wrong image.
_PADDING = 1e-3

# Bound on the relative rounding error of a difference of two products.
_ROUNDING = 4e-7


class Lists(NamedTuple):
  """Splats of each tile, near to far.

  Attributes:
    splats: [capacity] int32 splat indices, tile after tile.
    starts: [T] int32 where each tile's list begins; tiles in row-major order.
    ends: [T] int32 one past its end.
    overflow: [] bool: `capacity` was too small and the lists are wrong.
    slots: [capacity] int32 place of each among all pairs in the order of
      splats; None where `depths` were given.
    counts: [N] int32 how many places of those belong to each splat.
  """

  splats: jax.Array
  starts: jax.Array
  ends: jax.Array
  overflow: jax.Array
  slots: jax.Array | None
  counts: jax.Array


def grid(width: int, height: int) -> tuple[int, int]:
  """Number of tiles across and down."""
  return -(-width // SIZE), -(-height // SIZE)


def count(means2d, conics, levels, *, width: int, height: int) -> jax.Array:
  """Number of slots needed, saturating: [] int32."""
  lower, upper = _boxes(means2d, conics, levels, width, height)
  return _total(jnp.prod(upper - lower, axis=1))


def make_lists(
  means2d, conics, levels, depths, *, width: int, height: int, capacity: int
) -> Lists:
  """Lists the splats of every tile, near to far, ties by index.

  Args:
    means2d: [N, 2] px.
    conics: [N, 3] px^-2, positive definite.
    levels: [N] of the forms; splats with none above 0 meet nothing.
    depths: [N] positive, or None where splats come near to far.
    width: px.
    height: px.
    capacity: slots reserved.

  Returns:
    The lists.
  """
  across, down = grid(width, height)
  lower, upper = _boxes(means2d, conics, levels, width, height)
  extent = upper - lower
  counts = jnp.prod(extent, axis=1)
  splats, local, is_used = expand(counts, capacity)
  columns = jnp.maximum(extent[:, 0], 1)[splats]
  x = lower[splats, 0] + local % columns
  y = lower[splats, 1] + local // columns
  is_met = is_used & _meets(
    means2d[splats], conics[splats], levels[splats], x, y
  )
  tile = jnp.where(is_met, y * across + x, across * down)
  slots = None
  if depths is None:
    # Slots come in the order of splats, and a stable sort keeps it.
    slots = jnp.arange(capacity, dtype=jnp.int32)
    tile, slots = jax.lax.sort((tile, slots), num_keys=1, is_stable=True)
    splats = splats[slots]
  else:
    tile, splats = _sort(
      tile, depths[splats], splats, across * down, len(depths)
    )
  bounds = jnp.searchsorted(
    tile, jnp.arange(across * down + 1, dtype=tile.dtype)
  )
  bounds = bounds.astype(jnp.int32)
  overflow = _total(counts) > capacity
  return Lists(splats, bounds[:-1], bounds[1:], overflow, slots, counts)


def _boxes(means2d, conics, levels, width, height):
  """Tiles touched by each bounding box: [N, 2] first and one past the last."""
  xx, xy, yy = jnp.moveaxis(conics, -1, 0)
  # Not above the true determinant. A needle's is all rounding error, so its box
  # is the image, and only the tile test knows where it lies.
  det = (xx * yy * (1 - _ROUNDING) - xy * xy)[:, None]
  variance = jnp.stack([yy, xx], axis=1) / jnp.where(det > 0, det, 1)
  variance = jnp.where(det > 0, variance, jnp.inf)
  padded = jnp.maximum(levels, 0)[:, None] + _PADDING
  extent = jnp.sqrt(padded * variance) + _PADDING
  size = jnp.asarray([width, height], means2d.dtype)
  first = jnp.clip(jnp.ceil(means2d - extent - 0.5), 0, size)
  last = jnp.clip(jnp.floor(means2d + extent - 0.5), -1, size - 1)
  is_drawn = (first <= last).all(axis=1) & (levels > 0)
  lower = first.astype(jnp.int32) // SIZE
  upper = last.astype(jnp.int32) // SIZE + 1
  return lower, jnp.where(is_drawn[:, None], upper, lower)


def _total(counts):
  """Sum of non-negative int32s, saturating instead of wrapping."""
  largest = jnp.iinfo(jnp.int32).max
  is_huge = jnp.sum(counts.astype(jnp.float32)) > 0.999 * largest
  total = jnp.sum(counts, dtype=jnp.int32)
  return jnp.where(is_huge, jnp.int32(largest), total)


def expand(counts, capacity):
  """Repeats index i `counts[i]` times, without ragged shapes.

  Returns:
    [capacity] index, position among its repeats, and whether in use.
  """
  ends = jnp.cumsum(counts, dtype=jnp.int32)
  starts = ends - counts
  marks = jnp.zeros(capacity, jnp.int32).at[starts].add(1, mode='drop')
  index = jnp.cumsum(marks, dtype=jnp.int32) - 1
  slot = jnp.arange(capacity, dtype=jnp.int32)
  return index, slot - starts[index], slot < ends[-1]


def _meets(means2d, conics, levels, x, y):
  """Whether the ellipse reaches a pixel centre's hull in tile (x, y).

  The least value of the form over a rectangle is on an edge that faces the
  centre: one candidate on the nearest column, one on the nearest row.
  """
  xx, xy, yy = jnp.moveaxis(conics, -1, 0)
  tile = jnp.stack([x, y], axis=-1).astype(means2d.dtype) * SIZE
  low, high = tile + 0.5 - means2d, tile + SIZE - 0.5 - means2d
  (low_x, low_y), (high_x, high_y) = low.T, high.T
  near_x, near_y = jnp.clip(0, low_x, high_x), jnp.clip(0, low_y, high_y)

  def form(dx, dy):
    squares = xx * dx * dx + yy * dy * dy
    return squares * (1 - _ROUNDING) + 2 * xy * dx * dy

  on_column = form(near_x, jnp.clip(-xy / yy * near_x, low_y, high_y))
  on_row = form(jnp.clip(-xy / xx * near_y, low_x, high_x), near_y)
  return jnp.minimum(on_column, on_row) <= levels + _PADDING


def _sort(tile, depths, splats, num_tiles, num_splats):
  """Sorts slots by (tile, depth, splat).

  XLA on a CPU sorts one array several times as fast as a tuple, so the three
  are packed into one 64-bit key wherever they fit: positive floats order like
  their bits.
  """
  index_bits = max(num_splats - 1, 1).bit_length()
  if depths.dtype != jnp.float32 or num_tiles.bit_length() + index_bits > 33:
    tile, _, splats = jax.lax.sort((tile, depths, splats), num_keys=3)
    return tile, splats
  with jax.enable_x64(True):
    bits = jax.lax.bitcast_convert_type(depths, jnp.int32)
    key = (tile.astype(jnp.uint64) << 31) | bits.astype(jnp.uint64)
    key = jax.lax.sort((key << index_bits) | splats.astype(jnp.uint64))
    splats = (key & ((1 << index_bits) - 1)).astype(jnp.int32)
    tile = (key >> (31 + index_bits)).astype(jnp.int32)
  return tile, splats
