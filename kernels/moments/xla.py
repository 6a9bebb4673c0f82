"""Tiled moments in plain XLA: two walks, near to far.

The first draws the picture; the second knows from it what is left behind each
splat: R_i = image - sum_{j <= i} w_j c_j = T_{i+1} b_i, so that
T (c - b) = T c - R / (1 - alpha). Tiles, blocks and stops are those of
`rasterize.xla`.
"""

import functools

import jax
import jax.numpy as jnp
from sr3d_kernels import tiles
from sr3d_kernels.moments.powers import POWERS
from sr3d_kernels.rasterize import constants, xla

NEEDS_CAPACITY = True

# Matrix units round to ten bits unless told not to.
_einsum = functools.partial(jnp.einsum, precision='highest')


def unsupported(**_) -> None:
  """This backend serves every input."""


def forward(
  means2d, conics, opacities, colors, depths, background, residual, weights,
  *, width, height, capacity,
):  # fmt: skip
  """Sums [N, 32] over the pixels, and overflow []; see `moments`."""
  size = {'width': width, 'height': height}
  splats = (means2d, conics, opacities, colors, depths)
  drawn, residuals = xla.forward(*splats, **size, capacity=capacity)
  image, transmittance, overflow = drawn
  image = image + transmittance[..., None] * background
  table, order, blocks = residuals[:3]
  is_signed = residual is not None
  planes = [image, weights[..., None]] + ([residual] if is_signed else [])
  planes = xla.to_tiles(jnp.concatenate(planes, axis=-1), width, height)

  def step(sums, block):
    return _add_block(sums, block, table, order, planes, size, is_signed), None

  zeros = jnp.zeros((len(table), 32), table.dtype)
  return jax.lax.scan(step, zeros, blocks)[0], overflow


def _add_block(sums, block, table, splats, planes, size, is_signed):
  """Adds what the tiles of one block hold of every splat."""
  x, y, u, v, light = xla.pixels_of(block, **size, dtype=table.dtype)
  planes = jnp.take(planes, block.tile, axis=0, mode='fill', fill_value=0)
  channels = table.shape[1] - 6
  rest, weights = planes[:, :channels], planes[:, channels]
  residual = planes[:, channels + 1 :]

  def one(light, rest, alpha, color):
    """[B, P] alpha and [B, C] color: what `forward` sums, but for powers."""
    before = light
    weight, light = xla.advance(before, alpha)
    rest = rest - weight[:, None] * color[..., None]
    slope = before[:, None] * color[..., None] - rest / (1 - alpha)[:, None]
    is_smooth = (weight > 0) & (alpha < constants.ALPHA_MAX)
    smooth = jnp.where(is_smooth, alpha, 0)
    parts = [weights * jnp.sum(slope**2, axis=1) * smooth**2]
    if is_signed:
      parts.append(jnp.sum(slope * residual, axis=1) * smooth)
    return light, rest, parts, weight

  def step(carry):
    i, light, rest, sums = carry
    index, rows = xla.take_rows(table, splats, block, i, x, y)
    alphas = xla.alphas_of(rows, u, v)
    parts, drawn = [], []
    for k in range(xla.CHUNK):
      light, rest, part, weight = one(light, rest, alphas[:, k], rows[:, k, 6:])
      parts.append(jnp.stack(part))
      drawn.append(weight)
    found = _powers(jnp.stack(parts, axis=2), rows, u, v)
    drawn = jnp.stack(drawn, axis=1)
    update = [found[0], found[1] if is_signed else jnp.zeros_like(found[0])]
    for values in (drawn**2, drawn):
      update.append(_einsum('bkp,bp->bk', values, weights)[..., None])
    update = jnp.concatenate(update, axis=-1)
    return i + 1, light, rest, sums.at[index].add(update, mode='drop')

  return jax.lax.while_loop(
    lambda carry: xla.is_busy(carry[0], block, carry[1]),
    step,
    (jnp.int32(0), light, rest, sums),
  )[-1]


def _powers(values, rows, u, v):
  """Moments about each splat's own mean: [Q, B, K, P] -> [Q, B, K, 15].

  Not about the tile's centre: a small splat's fourth moment would be all
  rounding. Columns first, then rows: that is five products a pixel, not 15.
  """
  side = tiles.SIZE
  dx = u[:side] - rows[..., 0, None]
  dy = v[::side] - rows[..., 1, None]
  values = values.reshape(*values.shape[:-1], side, side)
  along = []
  for k in range(5):
    along.append(jnp.sum(values, axis=-1))
    values = values * dx[..., None, :] if k < 4 else values
  found = [jnp.sum(along[k] * dy**l, axis=-1) for k, l in POWERS]
  return jnp.stack(found, axis=-1)
