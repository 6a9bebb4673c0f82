"""Tiled compositing in plain XLA: the backend that is always there.

Tiles are ordered by the length of their lists and advance together in blocks of
similar length, `CHUNK` splats at a time, until every pixel of the block is
saturated or every list is exhausted. The backward pass walks front to back
again with one scalar a pixel, so it meets the same stop decisions.

A saturated pixel keeps its transmittance with a minus sign: then no product
with it can exceed the minimum, and no mask is carried.

Arrays over pixels are [B, K, P]: B tiles of a block, K splats of a step and the
P pixels of a tile, flat. XLA turns this order into long vector loops; with rows
and columns apart the same arithmetic takes several times as long on a CPU.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from sr3d_kernels import tiles
from sr3d_kernels.rasterize import constants

BLOCK = 32  # tiles that advance together; small, since lengths are skewed
CHUNK = 8  # splats a step

NEEDS_CAPACITY = True

_LOG2_E = 1.4426950408889634

# Matrix units round to ten bits unless told not to.
_einsum = functools.partial(jnp.einsum, precision='highest')


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
  blocks = make_blocks(lists, width, height)
  table = make_table(means2d, conics, opacities, channels)

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
  planes = to_tiles(planes, width, height)

  def step(sums, block):
    args = (block, table, splats, planes, width, height, with_abs)
    return _pull_block(sums, *args), None

  num_channels = image.shape[-1]
  zeros = jnp.zeros((len(table), 8 + num_channels), table.dtype)
  sums, _ = jax.lax.scan(step, zeros, blocks)
  means2d, conics, opacities = sums[:, :2], sums[:, 2:5], sums[:, 5]
  return means2d, conics, opacities, sums[:, 8:], sums[:, 6:8]


def make_table(means2d, conics, opacities, channels):
  """[N, 6 + C]: one row a splat, so that one gather fetches all of it."""
  return jnp.concatenate(
    [means2d, conics, opacities[:, None], channels], axis=1
  )


def make_blocks(lists, width, height):
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


def to_tiles(image, width, height):
  """[H, W, C] -> [num_tiles, C, P]; pixels outside are zeros."""
  across, down = tiles.grid(width, height)
  size = tiles.SIZE
  padding = (0, down * size - height), (0, across * size - width), (0, 0)
  image = jnp.pad(image, padding).reshape(down, size, across, size, -1)
  image = image.transpose(0, 2, 4, 1, 3)
  return image.reshape(down * across, -1, size * size)


def _untile(drawn, tile, width, height):
  """[num_blocks, B, C, P] of the tiles `tile` -> [H, W, C]."""
  across, down = tiles.grid(width, height)
  size = tiles.SIZE
  drawn = drawn.reshape(-1, *drawn.shape[2:])
  image = jnp.zeros((across * down, *drawn.shape[1:]), drawn.dtype)
  image = image.at[tile.reshape(-1)].set(drawn, mode='drop')
  image = image.reshape(down, across, -1, size, size).transpose(0, 3, 1, 4, 2)
  return image.reshape(down * size, across * size, -1)[:height, :width]


def pixels_of(block, width, height, dtype):
  """Of the tile centres x, y [B]; of the pixels u, v [P] about them, px.

  Also the transmittance [B, P] to start from: -1 outside of the image.
  """
  across, _ = tiles.grid(width, height)
  size = tiles.SIZE
  offset = jnp.arange(size, dtype=dtype) - (size - 1) / 2
  u, v = jnp.tile(offset, size), jnp.repeat(offset, size)
  x = (block.tile % across * size + size / 2).astype(dtype)
  y = (block.tile // across * size + size / 2).astype(dtype)
  is_inside = (x[:, None] + u < width) & (y[:, None] + v < height)
  return x, y, u, v, jnp.where(is_inside, 1.0, -1.0).astype(dtype)


def take_rows(table, splats, block, step, x, y):
  """The next `CHUNK` splats of every tile; past the end, of opacity zero.

  Returns:
    [B, K] index, len(table) past the end, and [B, K, 6 + C] rows with means
    about the tile's centre.
  """
  slot = block.start[:, None] + step * CHUNK + jnp.arange(CHUNK)
  index = splats[jnp.minimum(slot, len(splats) - 1)]
  index = jnp.where(slot < block.end[:, None], index, len(table))
  rows = jnp.take(table, index, axis=0, mode='fill', fill_value=0)
  offset = jnp.stack([x, y], axis=-1)[:, None]
  return index, rows.at[..., :2].add(-offset)


def alphas_of(rows, u, v):
  """[B, K, P]."""
  x, y, xx, xy, yy, opacities = (rows[..., i, None] for i in range(6))
  dx, dy = x - u, y - v
  raw = opacities * jnp.exp(-0.5 * (xx * dx * dx + yy * dy * dy) - xy * dx * dy)
  alphas = jnp.minimum(raw, constants.ALPHA_MAX)
  return jnp.where(raw >= constants.ALPHA_MIN, alphas, 0)


def advance(transmittance, alpha):
  """One splat: its weight and the next transmittance, negative once dead."""
  after = transmittance * (1 - alpha)
  is_drawn = after > constants.TRANSMITTANCE_MIN
  weight = jnp.where(is_drawn, alpha * transmittance, 0)
  return weight, jnp.where(is_drawn, after, -jnp.abs(transmittance))


def is_busy(step, block, transmittance):
  """Whether a tile has both splats and light left."""
  has_splats = block.start + step * CHUNK < block.end
  return jnp.any(has_splats & (transmittance > 0).any(axis=1))


def _draw_block(block, table, splats, width, height):
  """[B, C + 1, P]: the channels, then the transmittance."""
  x, y, u, v, transmittance = pixels_of(block, width, height, table.dtype)

  def step(carry):
    i, transmittance, image = carry
    _, rows = take_rows(table, splats, block, i, x, y)
    alphas = alphas_of(rows, u, v)
    weights = []
    for alpha in jnp.moveaxis(alphas, 1, 0):
      weight, transmittance = advance(transmittance, alpha)
      weights.append(weight)
    weights = jnp.stack(weights, axis=1)
    image += _einsum('bkp,bkc->bcp', weights, rows[..., 6:])
    return i + 1, transmittance, image

  shape = (len(block.tile), table.shape[1] - 6, tiles.SIZE**2)
  start = (jnp.int32(0), transmittance, jnp.zeros(shape, table.dtype))
  _, transmittance, image = jax.lax.while_loop(
    lambda carry: is_busy(carry[0], block, carry[1]), step, start
  )
  return jnp.concatenate([image, jnp.abs(transmittance)[:, None]], axis=1)


def _pull_block(sums, block, table, splats, planes, width, height, with_abs):
  """Adds one block's cotangents to `sums` [N, 8 + C].

  Columns: means2d (2), conics (3), opacity, |means2d| (2), channels.

    S <- S - w u,  dL/dalpha = T u - S / (1 - alpha),  u = v_image . channels
  """
  x, y, u, v, transmittance = pixels_of(block, width, height, table.dtype)
  planes = jnp.take(planes, block.tile, axis=0, mode='fill', fill_value=0)
  v_image, rest = planes[:, :-1], planes[:, -1]
  v_pixels = v_image.transpose(0, 2, 1)

  def step(carry):
    i, transmittance, rest, sums = carry
    index, rows = take_rows(table, splats, block, i, x, y)
    alphas = alphas_of(rows, u, v)
    us = _einsum('bcp,bkc->bkp', v_image, rows[..., 6:])
    weights, slopes = [], []
    for alpha, value in zip(*(jnp.moveaxis(x, 1, 0) for x in (alphas, us))):
      before = transmittance
      weight, transmittance = advance(before, alpha)
      rest = rest - weight * value
      v_alpha = before * value - rest / (1 - alpha)
      is_smooth = (weight > 0) & (alpha < constants.ALPHA_MAX)
      weights.append(weight)
      slopes.append(jnp.where(is_smooth, -alpha * v_alpha, 0))
    weights, slopes = jnp.stack(weights, axis=1), jnp.stack(slopes, axis=1)
    v_channels = _einsum('bkp,bpc->bkc', weights, v_pixels)
    update = [_pull_geometry(rows, slopes, u, v)]
    update.append(_absolute(rows, slopes, u, v, with_abs))
    update = jnp.concatenate([*update, v_channels], axis=-1)
    sums = sums.at[index].add(update, mode='drop')
    return i + 1, transmittance, rest, sums

  carry = (jnp.int32(0), transmittance, rest, sums)
  return jax.lax.while_loop(
    lambda carry: is_busy(carry[0], block, carry[1]), step, carry
  )[-1]


def _pull_geometry(rows, slopes, u, v):
  """Cotangents of means2d, conics and opacities: [B, K, 6].

  They are moments of s = dL/dsigma, since raw = opacity exp(-sigma) with
  sigma = (xx dx^2 + yy dy^2) / 2 + xy dx dy. Moments about the splat come from
  those about the tile's centre, which are one product with a constant matrix.
  """
  basis = jnp.stack([u**0, u, v, u * u, u * v, v * v], axis=-1)
  n = _einsum('bkp,pm->bkm', slopes, basis)
  n0, nx, ny, nxx, nxy, nyy = jnp.moveaxis(n, -1, 0)
  x, y, xx, xy, yy, opacities = jnp.moveaxis(rows[..., :6], -1, 0)
  mx, my = x * n0 - nx, y * n0 - ny
  mxx = x * (mx - nx) + nxx
  mxy = x * my - y * nx + nxy
  myy = y * (my - ny) + nyy
  v_opacities = -n0 / jnp.where(opacities > 0, opacities, 1)
  v_means = xx * mx + xy * my, xy * mx + yy * my
  return jnp.stack([*v_means, mxx / 2, mxy, myy / 2, v_opacities], axis=-1)


def _absolute(rows, slopes, u, v, with_abs):
  """Sums over pixels of |dL/dmeans2d|: [B, K, 2], zeros unless asked for."""
  if not with_abs:
    return jnp.zeros((*rows.shape[:2], 2), rows.dtype)
  x, y, xx, xy, yy = (rows[..., i, None] for i in range(5))
  dx, dy = x - u, y - v
  v_means = slopes * (xx * dx + xy * dy), slopes * (xy * dx + yy * dy)
  return jnp.stack([jnp.abs(x).sum(-1) for x in v_means], axis=-1)
