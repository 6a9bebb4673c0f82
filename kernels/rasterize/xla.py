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
    args = (block, table, splats, v_block, width, height, with_abs)
    return _pull_block(sums, *args), None

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
  """The next `CHUNK` splats of every tile; past the end, of opacity zero.

  Returns:
    [B, K] index, len(table) past the end, and [B, K, 6 + C] rows.
  """
  slot = block.start[:, None] + step * CHUNK + jnp.arange(CHUNK)
  index = splats[jnp.minimum(slot, len(splats) - 1)]
  index = jnp.where(slot < block.end[:, None], index, len(table))
  rows = jnp.take(table, index, axis=0, mode='fill', fill_value=0)
  # Without the barrier every loop over the pixels repeats the gather.
  return jax.lax.optimization_barrier((index, rows))


def _alphas(rows, x, y):
  """[B, K, S, S] alphas."""
  mean_x, mean_y, xx, xy, yy, opacities = (
    rows[..., i, None, None] for i in range(6)
  )
  dx, dy = mean_x - x[:, None], mean_y - y[:, None]
  raw = opacities * jnp.exp(-0.5 * (xx * dx * dx + yy * dy * dy) - xy * dx * dy)
  alphas = jnp.minimum(raw, constants.ALPHA_MAX)
  return jnp.where(raw >= constants.ALPHA_MIN, alphas, 0)


def _advance(transmittance, alphas):
  """One step: before and weights [B, K, S, S], and the next transmittance.

  The running product only falls, so a pixel is drawn while it exceeds the
  minimum, and what is left is its last value that does.
  """
  after = [transmittance]
  for k in range(CHUNK):
    after.append(after[-1] * (1 - alphas[:, k]))
  before, after = (jnp.stack(x, axis=1) for x in (after[:-1], after[1:]))
  before, after = jax.lax.optimization_barrier((before, after))
  is_drawn = after > constants.TRANSMITTANCE_MIN
  weights = jnp.where(is_drawn, alphas * before, 0)
  start = jnp.abs(transmittance)
  left = jnp.where(is_drawn, after, start[:, None]).min(axis=1)
  return before, weights, jnp.where(is_drawn[:, -1], left, -left)


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
    alphas = jax.lax.optimization_barrier(_alphas(rows, x, y))
    _, weights, transmittance = _advance(transmittance, alphas)
    image += jnp.einsum('bkyx,bkc->bcyx', weights, rows[..., 6:])
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


def _pull_block(sums, block, table, splats, v_block, width, height, with_abs):
  """Adds one block's cotangents to `sums` [N, 8 + C].

  Columns: means2d (2), conics (3), opacity, |means2d| (2), channels.
  """
  x, y, is_inside = _pixels(block, width, height, table.dtype)
  v_image, rest = v_block[:, :-1], v_block[:, -1]
  until = jnp.tril(jnp.ones((CHUNK, CHUNK), table.dtype))

  def step(carry):
    i, transmittance, rest, sums = carry
    index, rows = _take_rows(table, splats, block, i)
    alphas = jax.lax.optimization_barrier(_alphas(rows, x, y))
    before, weights, transmittance = _advance(transmittance, alphas)
    us = jnp.einsum('bcyx,bkc->bkyx', v_image, rows[..., 6:])
    shares = jnp.einsum('kj,bjyx->bkyx', until, weights * us)
    rests = rest[:, None] - shares
    v_alphas = before * us - rests / (1 - alphas)
    is_smooth = (weights > 0) & (alphas < constants.ALPHA_MAX)
    slopes = jnp.where(is_smooth, -alphas * v_alphas, 0)
    slopes = jax.lax.optimization_barrier(slopes)
    v_geometry = _moments(rows, slopes, x, y, with_abs)
    v_channels = jnp.einsum('bkyx,bcyx->bkc', weights, v_image)
    update = jnp.concatenate([v_geometry, v_channels], axis=-1)
    sums = sums.at[index].add(update, mode='drop')
    return i + 1, transmittance, rests[:, -1], sums

  start = jnp.where(is_inside, 1.0, -1.0).astype(table.dtype)
  carry = (jnp.int32(0), start, rest, sums)
  return jax.lax.while_loop(
    lambda carry: _is_busy(carry[0], block, carry[1]), step, carry
  )[-1]


def _moments(rows, slopes, x, y, with_abs):
  """Pixel sums of s = dL/dsigma, turned into gradients: [B, K, 8].

  means2d, conics, opacity and |means2d|, since sigma = (xx dx^2 + yy dy^2) / 2
  + xy dx dy and raw = opacity exp(-sigma). The moments about the splat come
  from those about the tile's centre, which are one product with a constant.
  """
  size = tiles.SIZE
  u = jnp.arange(size, dtype=slopes.dtype) - (size - 1) / 2
  v, u = jnp.meshgrid(u, u, indexing='ij')
  basis = jnp.stack([u**0, u, v, u * u, u * v, v * v], axis=-1)
  n = jnp.einsum('bkp,pm->bkm', slopes.reshape(*slopes.shape[:2], -1),
                 basis.reshape(size * size, 6))
  n0, nx, ny, nxx, nxy, nyy = jnp.moveaxis(n, -1, 0)
  mean_x, mean_y, xx, xy, yy, opacities = jnp.moveaxis(rows[..., :6], -1, 0)
  cx = mean_x - x[:, :, 0] - (size - 1) / 2
  cy = mean_y - y[:, 0, :] - (size - 1) / 2
  m10, m01 = cx * n0 - nx, cy * n0 - ny
  m20 = cx * (cx * n0 - 2 * nx) + nxx
  m11 = cx * (cy * n0 - ny) - cy * nx + nxy
  m02 = cy * (cy * n0 - 2 * ny) + nyy
  v_x, v_y = xx * m10 + xy * m01, xy * m10 + yy * m01
  v_opacities = -n0 / jnp.where(opacities > 0, opacities, 1)
  absolute = (jnp.zeros_like(n0),) * 2
  if with_abs:
    dx = mean_x[..., None, None] - x[:, None]
    dy = mean_y[..., None, None] - y[:, None]
    xx4, xy4, yy4 = (t[..., None, None] for t in (xx, xy, yy))
    absolute = (
      jnp.abs(slopes * (xx4 * dx + xy4 * dy)).sum((-2, -1)),
      jnp.abs(slopes * (xy4 * dx + yy4 * dy)).sum((-2, -1)),
    )
  return jnp.stack(
    [v_x, v_y, m20 / 2, m11, m02 / 2, v_opacities, *absolute], axis=-1
  )
