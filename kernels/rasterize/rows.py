"""What the Pallas backends share: splats laid out as rows, in buckets of tiles.

A kernel cannot gather by a vector of indices on every device, so splats are
gathered once, in XLA: each tile's list becomes whole buckets of `BUCKET` rows,
near to far and contiguous, which kernels copy as blocks. Unused rows are too
faint to draw, so no kernel asks where a list ends. The backward pass writes one
row of sums for each row it reads, without atomics, and XLA adds them up, those
of a splat always in the same order.

Both sorts have 32-bit integer keys and are stable: splats by the bits of their
depth, then slots by tile. XLA has radix sorts for such keys on a GPU.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels import tiles
from sr3d_kernels.rasterize import constants, xla

BUCKET = 64  # rows that a kernel copies, and that the backward pass walks
GROUP = 16  # rows of sums that are added up at a time
LANES = 16  # float32s of 64 bytes: widths of rows are multiples of it
PIXELS = tiles.SIZE**2

# Columns of a row: x, y, the form's xx, xy and yy, opacity, and the channels.
CHANNELS = 6

# Columns of a row of sums: the moments 1, x, y, xx, xy and yy of dL/dsigma
# about the splat, sums of |dL/dx| and |dL/dy|, and dL/dchannels.
ABSOLUTE, SUMS = 6, 8

_LOG2_E = 1.4426950408889634
_FAINT = -1e4  # log2 of an opacity that nothing makes visible
_LEAST_POWER = float(np.log2(constants.ALPHA_MIN))


class Rows(NamedTuple):
  """Splats of every tile, in B = capacity // BUCKET + num_tiles buckets.

  Attributes:
    table: [B, BUCKET, W] with W the next multiple of `LANES` that holds
      `CHANNELS` + C. The form is -sigma / dx^2 and so on in units of log 2, and
      opacity is its log2, so that raw = exp2(form + opacity).
    splats: [B, BUCKET] int32 indices; N in unused rows.
    slots: [B, BUCKET] int32 place of each row where those of one splat are
      neighbours; below `num_slots`, which stands in unused rows.
    starts: [N] int32 first of the places of each splat.
    counts: [N] int32 number of them; some may hold no row.
    first: [num_tiles + 1] int32 first bucket of each tile, then their number.
    tile: [B] int32 row-major tile of each bucket; num_tiles in unused ones.
    overflow: [] bool: `capacity` was too small and the rows are wrong.
  """

  table: jax.Array
  splats: jax.Array
  slots: jax.Array
  starts: jax.Array
  counts: jax.Array
  first: jax.Array
  tile: jax.Array
  overflow: jax.Array

  @property
  def num_tiles(self) -> int:
    return len(self.first) - 1

  @property
  def num_slots(self) -> int:
    return (len(self.tile) - self.num_tiles + 1) * BUCKET


def make(
  means2d, conics, opacities, channels, depths, *, width, height, capacity
) -> Rows:
  """Lists the splats of every tile and gathers their rows."""
  bits = jax.lax.bitcast_convert_type(depths, jnp.int32)
  order = jnp.argsort(bits, stable=True).astype(jnp.int32)
  near_to_far = (x[order] for x in (means2d, conics, xla.levels(opacities)))
  lists = tiles.make_lists(
    *near_to_far, None, width=width, height=height, capacity=capacity
  )
  num_tiles = len(lists.starts)
  counts = -(-(lists.ends - lists.starts) // BUCKET)
  first = jnp.concatenate(
    [jnp.zeros(1, jnp.int32), jnp.cumsum(counts, dtype=jnp.int32)]
  )
  bucket = jnp.arange(capacity // BUCKET + num_tiles, dtype=jnp.int32)
  tile = jnp.searchsorted(first, bucket, side='right').astype(jnp.int32) - 1
  # Tile num_tiles stands for none: its list is empty.
  starts, ends = (jnp.pad(x, (0, 1)) for x in (lists.starts, lists.ends))
  start = starts[tile] + (bucket - first[tile]) * BUCKET
  slot = start[:, None] + jnp.arange(BUCKET, dtype=jnp.int32)
  is_used = slot < ends[tile][:, None]
  slot = jnp.minimum(slot, capacity - 1)
  splats = jnp.where(is_used, order[lists.splats[slot]], len(depths))
  table = _make_table(means2d, conics, opacities, channels)[splats]
  unused = (capacity // BUCKET + 1) * BUCKET  # what `num_slots` will be
  slots = jnp.where(is_used, lists.slots[slot], unused)
  counts = lists.counts
  starts = jnp.cumsum(counts, dtype=jnp.int32) - counts
  starts, counts = (
    jnp.zeros_like(x).at[order].set(x) for x in (starts, counts)
  )
  overflow = lists.overflow
  return Rows(table, splats, slots, starts, counts, first, tile, overflow)


def add_up(sums, laid, is_drawn, conics, opacities, num_channels):
  """Cotangents of splats from one row of sums for each row of the table.

  With raw = opacity exp(-sigma), sigma = (xx dx^2 + yy dy^2) / 2 + xy dx dy,
  all but the channels' are moments of dL/dsigma times what is constant in a
  splat, so moments are added first.

  A scatter would add them in whatever order its atomics meet. Here rows are put
  where those of a splat are neighbours, each at a place of its own, and summed
  `GROUP` at a time, which leaves one row a splat after log(num_tiles) /
  log(GROUP) rounds. The first moves the sums once more than a scatter does, and
  each of the others, of which a screen of 1920 x 1080 needs three, a row a
  splat: with 5M slots and 3M splats some 2 GB in all.

  Args:
    sums: [B, BUCKET, >= SUMS + C]; what is in columns and in buckets that are
      not drawn does not matter.
    laid: the rows that were summed.
    is_drawn: [B] bool, whether a kernel wrote the bucket.
    conics: [N, 3].
    opacities: [N].
    num_channels: C.

  Returns:
    Cotangents of means2d, conics, opacities and channels, and [N, 2] sums of
    |dL/dmeans2d|.
  """
  sums = sums[..., : SUMS + num_channels]
  slots = jnp.where(is_drawn[:, None], laid.slots, laid.num_slots)
  values = jnp.zeros((laid.num_slots, sums.shape[-1]), sums.dtype)
  values = values.at[slots].set(sums, mode='drop')
  total = _sum_runs(values, laid.starts, laid.counts, laid.num_tiles)
  n, x, y, xx, xy, yy = jnp.moveaxis(total[:, :ABSOLUTE], -1, 0)
  a, b, c = jnp.moveaxis(conics, -1, 0)
  v_means2d = jnp.stack([a * x + b * y, b * x + c * y], axis=-1)
  v_conics = jnp.stack([xx / 2, xy, yy / 2], axis=-1)
  v_opacities = -n / jnp.where(opacities > 0, opacities, 1)
  v_absolute = total[:, ABSOLUTE:SUMS]
  return v_means2d, v_conics, v_opacities, total[:, SUMS:], v_absolute


def _sum_runs(values, starts, counts, longest):
  """[N, S] sums of runs of rows, each in an order of its own.

  Args:
    values: [M, S].
    starts: [N] first row of each run.
    counts: [N] rows of each run; runs do not overlap.
    longest: bound on counts, static.
  """
  while longest > 1:
    groups = -(-counts // GROUP)
    size = len(values) // GROUP + len(counts)
    run, local, _ = tiles.expand(groups, size)
    row = GROUP * local[:, None] + jnp.arange(GROUP, dtype=jnp.int32)
    index = jnp.minimum(starts[run][:, None] + row, len(values) - 1)
    is_part = (row < counts[run][:, None])[..., None]
    values = jnp.where(is_part, values[index], 0).sum(axis=1)
    starts, counts = jnp.cumsum(groups, dtype=jnp.int32) - groups, groups
    longest = -(-longest // GROUP)
  values = values[jnp.minimum(starts, len(values) - 1)]
  return jnp.where((counts > 0)[:, None], values, 0)


def width_of(num_columns: int) -> int:
  """The next multiple of `LANES`."""
  return -(-num_columns // LANES) * LANES


def split(image):
  """[H, W, C] -> [num_tiles, C, PIXELS]; pixels outside are zeros."""
  height, width, _ = image.shape
  across, down = tiles.grid(width, height)
  size = tiles.SIZE
  padding = (0, down * size - height), (0, across * size - width), (0, 0)
  image = jnp.pad(image, padding).reshape(down, size, across, size, -1)
  return image.transpose(0, 2, 4, 1, 3).reshape(down * across, -1, PIXELS)


def join(planes, width, height):
  """[num_tiles, C, PIXELS] -> [H, W, C]."""
  across, down = tiles.grid(width, height)
  size = tiles.SIZE
  image = planes.reshape(down, across, -1, size, size).transpose(0, 3, 1, 4, 2)
  return image.reshape(down * size, across * size, -1)[:height, :width]


def centers():
  """[2, PIXELS] x and y of a tile's pixel centres about its corner, px."""
  offset = jnp.arange(tiles.SIZE, dtype=jnp.float32) + 0.5
  return jnp.stack(
    [jnp.tile(offset, tiles.SIZE), jnp.repeat(offset, tiles.SIZE)]
  )


def shade(row, x, y):
  """One splat at pixel centres x, y: alpha, and its offset dx, dy from them.

  Args:
    row: the first `CHANNELS` columns, scalars.
    x: array, px.
    y: array, px.
  """
  mean_x, mean_y, xx, xy, yy, opacity = row
  dx, dy = mean_x - x, mean_y - y
  power = (xx * dx + xy * dy) * dx + yy * dy * dy + opacity
  alpha = jnp.minimum(jnp.exp2(power), constants.ALPHA_MAX)
  return jnp.where(power >= _LEAST_POWER, alpha, 0.0), dx, dy


def advance(light, alpha):
  """One splat: its weight and the light it leaves, negative once dead."""
  after = light * (1 - alpha)
  is_drawn = after > constants.TRANSMITTANCE_MIN
  weight = jnp.where(is_drawn, alpha * light, 0.0)
  return weight, jnp.where(is_drawn, after, -jnp.abs(light))


def pull(light, rest, alpha, value):
  """One splat backwards: its weight, dL/dsigma, and the next light and rest.

    S <- S - w u,  dL/dalpha = T u - S / (1 - alpha),  u = v_image . channels

  Args:
    light: T before the splat.
    rest: S, what the splats still to come contribute.
    alpha: of the splat.
    value: u.
  """
  weight, after = advance(light, alpha)
  rest = rest - weight * value
  v_alpha = light * value - rest / (1 - alpha)
  is_smooth = (weight > 0) & (alpha < constants.ALPHA_MAX)
  return weight, jnp.where(is_smooth, -alpha * v_alpha, 0.0), after, rest


def moments(slope, row, dx, dy, with_abs):
  """First columns of sums, pixel by pixel: 8, or 6 unless `with_abs`."""
  mx, my = slope * dx, slope * dy
  columns = [slope, mx, my, mx * dx, mx * dy, my * dy]
  if with_abs:
    _, _, xx, xy, yy, _ = row
    columns.append(jnp.abs(slope * (2 * xx * dx + xy * dy)) / _LOG2_E)
    columns.append(jnp.abs(slope * (xy * dx + 2 * yy * dy)) / _LOG2_E)
  return columns


def _make_table(means2d, conics, opacities, channels):
  """[N + 1, W]; the last row is that of no splat."""
  opacities = jnp.log2(jnp.maximum(opacities, constants.ALPHA_MIN / 2))
  form = conics * jnp.asarray([-0.5, -1, -0.5], conics.dtype) * _LOG2_E
  table = [means2d, form, opacities[:, None], channels]
  table = jnp.concatenate(table, axis=1)
  padding = width_of(table.shape[1]) - table.shape[1]
  table = jnp.pad(table, [(0, 1), (0, padding)])
  return table.at[-1, CHANNELS - 1].set(_FAINT)


def corners(width, height):
  """[num_tiles, 4] left and top of each tile, and what of it is image, px."""
  across, down = tiles.grid(width, height)
  tile = np.arange(across * down)
  left, top = tile % across * tiles.SIZE, tile // across * tiles.SIZE
  corners = np.stack([left, top, width - left, height - top], axis=-1)
  return jnp.asarray(corners, jnp.float32)
