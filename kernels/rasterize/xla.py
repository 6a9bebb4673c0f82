"""Tiled compositing in plain XLA: the backend that is always there.

Tiles are ordered by the length of their lists and advance together in blocks of
similar length, `CHUNK` splats at a time, until every pixel of the block is
saturated or every list is exhausted. The backward pass walks front to back
again with one scalar a pixel, so it meets the same stop decisions.

A saturated pixel keeps its transmittance with a minus sign: then no product
with it can exceed the minimum, and no mask is carried.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sr3d_kernels import tiles
from sr3d_kernels.rasterize import constants

BLOCK = 16  # tiles that advance together; small, since lengths are skewed
CHUNK = 8  # splats a step

_LOG2_E = 1.4426950408889634


class _Block(NamedTuple):
  """Tiles that advance together; `map` adds a leading axis of blocks.

  Attributes:
    tile: [B] row-major tile index; num_tiles where the block is padded.
    start: [B] where the tile's list begins.
    end: [B] one past its end.
  """

  tile: jax.Array
  start: jax.Array
  end: jax.Array


class _Rows(NamedTuple):
  """Splats of one step, [B, K] each but for [B, K, C] channels."""

  x: jax.Array
  y: jax.Array
  xx: jax.Array
  xy: jax.Array
  yy: jax.Array
  opacities: jax.Array
  channels: jax.Array


def unsupported(**_) -> None:
  """This backend serves every input."""


def levels(opacities):
  """Level of each splat's quadratic form at which raw = `ALPHA_MIN`."""
  return 2 * jnp.log(opacities / constants.ALPHA_MIN)


def forward(
  means2d, conics, opacities, channels, depths, *, width, height, capacity
):
  """Composites valid splats; see `rasterize` for shapes.

  Returns:
    ([H, W, C] accumulated channels, [H, W] transmittance, overflow), residuals.
  """
  lists = tiles.make_lists(
    means2d, conics, levels(opacities), depths,
    width=width, height=height, capacity=capacity,
  )  # fmt: skip
  blocks = _make_blocks(lists, width, height)
  table = _make_table(means2d, conics, opacities, channels)

  def draw(block):
    return _draw_block(block, table, lists.splats, width, height)

  drawn = jax.lax.map(draw, blocks)
  image = _untile(drawn, blocks.tile, width, height)
  image, transmittance = image[..., :-1], image[..., -1]
  outputs = (image, transmittance, lists.overflow)
  return outputs, (table, lists.splats, blocks, image, transmittance)


def backward(residuals, cotangents, *, width, height, with_abs):
  """Walks the lists again, near to far.

  Returns:
    Cotangents of means2d, conics, opacities and channels, and the [N, 2] sum
    over pixels of |dL/dmeans2d| (zeros unless `with_abs`).
  """
  table, splats, blocks, image, transmittance = residuals
  v_image, v_transmittance = cotangents
  # S = sum_i w_i u_i + T dL/dT: what the splats still to come will contribute.
  rest = (image * v_image).sum(-1) + transmittance * v_transmittance
  planes = jnp.concatenate([v_image, rest[..., None]], axis=-1)
  planes = _tile(planes, width, height)

  def step(sums, block):
    v_block = _padded_take(planes, block.tile)
    return _pull_block(sums, block, table, splats, v_block, width, height), None

  num_channels = image.shape[-1]
  zeros = jnp.zeros((len(table), 8 + num_channels), table.dtype)
  sums, _ = jax.lax.scan(step, zeros, blocks)
  means2d, conics, opacities = sums[:, :2], sums[:, 2:5], sums[:, 5]
  return means2d, conics, opacities, sums[:, 8:], sums[:, 6:8]


def _make_table(means2d, conics, opacities, channels):
  """[N, 6 + C]: one row a splat, so that one gather fetches all of it."""
  return jnp.concatenate(
    [means2d, conics, opacities[:, None], channels], axis=1
  )


def _make_blocks(lists, width, height):
  """Groups tiles of similar length: `_Block` with [num_blocks, B] fields."""
  across, down = tiles.grid(width, height)
  num_tiles = across * down
  order = jnp.argsort(lists.starts - lists.ends)
  padding = -num_tiles % BLOCK
  tile = jnp.pad(order, (0, padding), constant_values=num_tiles)
  start, end = (
    jnp.pad(x[order], (0, padding)) for x in (lists.starts, lists.ends)
  )
  return _Block(*(x.reshape(-1, BLOCK) for x in (tile, start, end)))


def _tile(image, width, height):
  """[H, W, C] -> [num_tiles, C, S, S]; pixels outside are zeros."""
  across, down = tiles.grid(width, height)
  size = tiles.SIZE
  padding = (0, down * size - height), (0, across * size - width), (0, 0)
  image = jnp.pad(image, padding).reshape(down, size, across, size, -1)
  return image.transpose(0, 2, 4, 1, 3).reshape(down * across, -1, size, size)


def _untile(drawn, tile, width, height):
  """[num_blocks, B, C, S, S] of the tiles `tile` -> [H, W, C]."""
  across, down = tiles.grid(width, height)
  size = tiles.SIZE
  drawn = drawn.reshape(-1, *drawn.shape[2:])
  image = jnp.zeros((across * down, *drawn.shape[1:]), drawn.dtype)
  image = image.at[tile.reshape(-1)].set(drawn, mode='drop')
  image = image.reshape(down, across, -1, size, size).transpose(0, 3, 1, 4, 2)
  return image.reshape(down * size, across * size, -1)[:height, :width]


def _padded_take(planes, tile):
  return jnp.take(planes, tile, axis=0, mode='fill', fill_value=0)


def _pixels(block, width, height, dtype):
  """Centres x [B, 1, S], y [B, S, 1], and which are inside [B, S, S]."""
  across, _ = tiles.grid(width, height)
  size = tiles.SIZE
  offset = jnp.arange(size, dtype=dtype) + 0.5
  x = (block.tile % across * size)[:, None, None] + offset
  y = (block.tile // across * size)[:, None, None] + offset[:, None]
  return x, y, (x < width) & (y < height)


def _take_rows(table, splats, block, step):
  """The next `CHUNK` splats of every tile; past the end, of opacity zero."""
  slot = block.start[:, None] + step * CHUNK + jnp.arange(CHUNK)
  index = splats[jnp.minimum(slot, len(splats) - 1)]
  index = jnp.where(slot < block.end[:, None], index, len(table))
  rows = jnp.take(table, index, axis=0, mode='fill', fill_value=0)
  geometry = jnp.moveaxis(rows[..., :6], -1, 0)
  return index, _Rows(*geometry, rows[..., 6:])


def _alphas(rows, x, y):
  """[B, K, S, S] raw values, alphas, dx [B, K, 1, S] and dy [B, K, S, 1]."""
  x, y, *geometry = (
    (rows.x[..., None, None] - x[:, None]),
    (rows.y[..., None, None] - y[:, None]),
    *(v[..., None, None] for v in rows[2:6]),
  )
  xx, xy, yy, opacities = geometry
  raw = opacities * jnp.exp(-0.5 * (xx * x * x + yy * y * y) - xy * x * y)
  alphas = jnp.minimum(raw, constants.ALPHA_MAX)
  return raw, jnp.where(raw >= constants.ALPHA_MIN, alphas, 0), x, y


def _advance(transmittance, alpha):
  """One splat: its weight and the next transmittance, negative once dead."""
  after = transmittance * (1 - alpha)
  is_drawn = after > constants.TRANSMITTANCE_MIN
  weight = jnp.where(is_drawn, alpha * transmittance, 0)
  return weight, jnp.where(is_drawn, after, -jnp.abs(transmittance))


def _is_busy(step, block, transmittance):
  """Whether a tile has both splats and light left."""
  has_splats = block.start + step * CHUNK < block.end
  return jnp.any(has_splats & (transmittance > 0).any(axis=(1, 2)))


def _draw_block(block, table, splats, width, height):
  """[B, C + 1, S, S]: the channels, then the transmittance."""
  x, y, is_inside = _pixels(block, width, height, table.dtype)

  def step(carry):
    i, transmittance, image = carry
    _, rows = _take_rows(table, splats, block, i)
    _, alphas, _, _ = _alphas(rows, x, y)
    weights = []
    for k in range(CHUNK):
      weight, transmittance = _advance(transmittance, alphas[:, k])
      weights.append(weight)
    weights = jnp.stack(weights, axis=1)
    image += jnp.einsum('bkyx,bkc->bcyx', weights, rows.channels)
    return i + 1, transmittance, image

  shape = (len(block.tile), table.shape[1] - 6, tiles.SIZE, tiles.SIZE)
  start = (
    jnp.int32(0),
    jnp.where(is_inside, 1.0, -1.0).astype(table.dtype),
    jnp.zeros(shape, table.dtype),
  )
  _, transmittance, image = jax.lax.while_loop(
    lambda carry: _is_busy(carry[0], block, carry[1]), step, start
  )
  return jnp.concatenate([image, jnp.abs(transmittance)[:, None]], axis=1)


def _pull_block(sums, block, table, splats, v_block, width, height):
  """Adds one block's cotangents to `sums` [N, 8 + C].

  Columns: means2d (2), conics (3), opacity, |means2d| (2), channels.
  """
  x, y, is_inside = _pixels(block, width, height, table.dtype)
  v_image, rest = v_block[:, :-1], v_block[:, -1]

  def step(carry):
    i, transmittance, rest, sums = carry
    index, rows = _take_rows(table, splats, block, i)
    raw, alphas, dx, dy = _alphas(rows, x, y)
    us = jnp.einsum('bcyx,bkc->bkyx', v_image, rows.channels)
    weights, slopes = [], []
    for k in range(CHUNK):
      before = transmittance
      weight, transmittance = _advance(before, alphas[:, k])
      rest = rest - weight * us[:, k]
      v_alpha = before * us[:, k] - rest / (1 - alphas[:, k])
      is_smooth = (weight > 0) & (raw[:, k] <= constants.ALPHA_MAX)
      weights.append(weight)
      slopes.append(jnp.where(is_smooth, -alphas[:, k] * v_alpha, 0))
    weights, slopes = jnp.stack(weights, 1), jnp.stack(slopes, 1)
    geometry = _moments(rows, slopes, dx, dy)
    v_channels = jnp.einsum('bkyx,bcyx->bkc', weights, v_image)
    update = jnp.concatenate([jnp.stack(geometry, -1), v_channels], axis=-1)
    sums = sums.at[index].add(update, mode='drop')
    return i + 1, transmittance, rest, sums

  start = jnp.where(is_inside, 1.0, -1.0).astype(table.dtype)
  carry = (jnp.int32(0), start, rest, sums)
  return jax.lax.while_loop(
    lambda carry: _is_busy(carry[0], block, carry[1]), step, carry
  )[-1]


def _moments(rows, slopes, dx, dy):
  """Pixel sums of s = dL/dsigma, turned into gradients: eight of [B, K].

  means2d, conics, opacity and |means2d|, since sigma = (xx dx^2 + yy dy^2) / 2 +
  xy dx dy and raw = opacity exp(-sigma).
  """

  def total(x):
    return x.sum(axis=(-2, -1))

  m10, m01 = total(slopes * dx), total(slopes * dy)
  m20, m11, m02 = (
    total(slopes * dx * dx), total(slopes * dx * dy), total(slopes * dy * dy)
  )  # fmt: skip
  xx, xy, yy = (v[..., None, None] for v in (rows.xx, rows.xy, rows.yy))
  opacities = jnp.where(rows.opacities > 0, rows.opacities, 1)
  return (
    rows.xx * m10 + rows.xy * m01,
    rows.xy * m10 + rows.yy * m01,
    m20 / 2,
    m11,
    m02 / 2,
    -total(slopes) / opacities,
    total(jnp.abs(slopes * (xx * dx + xy * dy))),
    total(jnp.abs(slopes * (xy * dx + yy * dy))),
  )
