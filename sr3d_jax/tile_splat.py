"""The splat of the released GaussianSR, its defects behind options.

Each pixel's kernel is drawn on a small raster, moved to the pixel's place in a
tile of 7 x 7 coarse pixels by linear interpolation, and summed there; tiles lie
edge to edge. As github.com/tljxyys/GaussianSR does at ef5a38d, but that the
raster's two axes are moved one after the other and no copy is made a channel.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import image, kernel_bank
from sr3d_jax.kernel_bank import TILE, Shapes
from sr3d_jax.types import Array

TAPS = 5
STEP = 2.5  # between taps, in the units of sigma
RADIUS = 3  # coarse px that the taps reach where units are 'lr'
EPSILON = 1e-5  # on the covariance's diagonal


def splat(
  values: Array,
  shapes: Shapes,
  height: int,
  width: int,
  *,
  scale: float,
  average: bool = True,
  centre: str = 'released',
  units: str = 'hr',
  blend: str = 'sum',
  clamp: bool = True,
) -> Array:
  """Splats coarse values to a fine picture, tile by tile.

  Args:
    values: [B, H, W, C].
    shapes: [B, H, W], one for each pixel, sigmas in `units`.
    height: of the fine picture.
    width: likewise.
    scale: that these sizes were rounded from; a tile is round(7 scale) wide.
    average: whether pixels at one place of a tile share their mean shape (D1).
    centre: 'released': off by up to 3 fine pixels, and more at large scales
      (D2); or 'half_pixel'.
    units: 'hr': sigma is 2.5 times what it is in fine pixels, at any scale, on
      5 x 5 taps (D3); 'lr': in coarse pixels.
    blend: 'sum' (D5) or 'norm', which divides by the sum of the weights.
    clamp: whether to clip the sum to [0, 1] (D7).

  Returns:
    [B, height, width, C].
  """
  values, shapes = (_to_tiles(x) for x in (values, shapes))
  if average:
    shapes = jax.tree.map(
      lambda x: jnp.broadcast_to(x.mean((0, 1, 2)), x.shape), shapes
    )
  side = round(TILE * scale)
  step = STEP if units == 'hr' else 1 / scale
  reach = TAPS // 2 if units == 'hr' else math.ceil(RADIUS * scale)
  if blend == 'norm':
    values = jnp.concatenate([values, jnp.ones_like(values[..., :1])], axis=-1)
  kernels = _kernels(shapes, step * np.arange(-reach, reach + 1))
  moved = _placement(side, reach, centre)
  tiles = jnp.einsum(
    'bijyxc,bijyxkl,ryk,sxl->birjsc',
    values, kernels, moved, moved, precision='highest',
  )  # fmt: skip
  batch, down, _, across, _, channels = tiles.shape
  fine = tiles.reshape(batch, down * side, across * side, channels)
  if blend == 'norm':
    fine = fine[..., :-1] / jnp.maximum(fine[..., -1:], kernel_bank.TINY)
  fine = jnp.clip(fine, 0, 1) if clamp else fine
  return _resize(fine, height, width)


def _to_tiles(tree):
  """Stretches [B, H, W, ...] to whole tiles [B, i, j, 7, 7, ...]."""

  def cut(x):
    x = x if x.ndim == 4 else x[..., None]
    down, across = (-(-size // TILE) for size in x.shape[1:3])
    x = _resize(x, down * TILE, across * TILE)
    x = x.reshape(len(x), down, TILE, across, TILE, -1)
    return jnp.swapaxes(x, 2, 3)

  if isinstance(tree, Shapes):
    return jax.tree.map(lambda x: cut(x)[..., 0], tree)
  return cut(tree)


def _resize(x, height, width):
  if x.shape[1:3] == (height, width):
    return x
  return image.resize(x, height, width, method='bicubic_torch', antialias=False)


def _kernels(shapes: Shapes, taps: np.ndarray) -> Array:
  """Opacity times the Gaussian at the taps, 1 at its peak: [..., T, T]."""
  rr, rc, cc = jnp.moveaxis(shapes.covariances(), -1, 0)
  rr, cc = rr + EPSILON, cc + EPSILON
  rr, rc, cc, opacity = (
    x[..., None, None] for x in (rr, rc, cc, shapes.opacity)
  )
  row, column = taps[:, None], taps[None, :]
  power = cc * row**2 - 2 * rc * row * column + rr * column**2
  return opacity * jnp.exp(-power / 2 / (rr * cc - rc * rc))


def _placement(side: int, reach: int, centre: str) -> np.ndarray:
  """Weights [side, 7, taps] that carry a tap to the pixels of a tile's side."""
  places = np.arange(TILE)
  if centre == 'released':
    peaks = released_peaks(places, side, reach)
  else:
    peaks = (places + 0.5) * side / TILE - 0.5
  taps = peaks[:, None] + np.arange(-reach, reach + 1)
  distance = np.abs(np.arange(side)[:, None, None] - taps)
  return np.maximum(1 - distance, 0).astype(np.float32)


def released_peaks(places, side, reach=TAPS // 2):
  """Where the released code puts the kernels of a tile, px of its raster.

  The raster is padded to the tile with the odd pixel after it, and its corner
  rather than its centre is moved to `places` / 7 of the tile.
  """
  padded = (side - 2 * reach - 1) // 2 + reach
  return padded - (1 - 2 * places / TILE) * (side - 1) / 2


def to_coarse(covariances: Array, footprint: Array) -> Array:
  """Covariances of released units, in coarse px^2, for closed-form kernels.

  Args:
    covariances: [B, H, W, M, 3].
    footprint: [B, ..., 3]; every picture has one scale.
  """
  covariances = covariances + EPSILON * np.asarray([1.0, 0.0, 1.0])
  return covariances * _square_step(footprint) / STEP**2


def released_shift(footprint: Array, height: int, width: int) -> Array:
  """How far the released kernels lie from their centres, coarse px.

  Args:
    footprint: [B, ..., 3]; every picture has one scale.
    height: of the coarse picture.
    width: likewise.

  Returns:
    [B, height, width, 2], rows and columns.
  """

  def shift(step, size):
    places = jnp.arange(size) % TILE
    side = jnp.round(TILE / step)
    peaks = released_peaks(places, side)
    return (peaks - (places + 0.5) * side / TILE + 0.5) * step

  steps = jnp.sqrt(_square_step(footprint).reshape(-1, 1, 3))
  rows, columns = shift(steps[..., 0], height), shift(steps[..., 2], width)
  both = jnp.broadcast_arrays(rows[:, :, None], columns[:, None, :])
  return jnp.stack(both, axis=-1)


def _square_step(footprint: Array) -> Array:
  """(row row, row column, column column) of a fine pixel: [B, 1, 1, 1, 3]."""
  footprint = footprint.reshape(len(footprint), -1, 3)[:, 0]
  rr, _, cc = jnp.moveaxis(footprint, -1, 0)
  step = jnp.stack([rr, jnp.sqrt(rr * cc), cc], axis=-1)
  return step[:, None, None, None]
