"""Cuts large latents or pictures into overlapping tiles and blends them again.

A network made for small squares sees each tile alone; where tiles overlap,
their answers are averaged under windows that fade towards the borders. One pair
of profiles, rows and columns, says what a window is: it is their outer product.
"""

import jax.numpy as jnp
import numpy as np

from sr3d_jax.types import Array

VARIANCE = 0.01  # of the Gaussian, in squared sides of a tile (StableSR's)
Profiles = tuple[np.ndarray, np.ndarray]


def starts(size: int, tile: int, overlap: int) -> np.ndarray:
  """Where tiles begin along one axis: [n] int, the last one flush.

  Args:
    size: of the axis.
    tile: length of one tile.
    overlap: of neighbours, at least.

  Returns:
    0, tile - overlap, ..., size - tile.
  """
  if not 0 <= overlap < tile:
    raise ValueError(
      f'overlap must lie in 0..{tile - 1}, below the tile of {tile}, got '
      f'{overlap}'
    )
  if size < tile:
    raise ValueError(
      f'{size} px are too few for a tile of {tile}: enlarge or pad them, or '
      'take smaller tiles'
    )
  stride = tile - overlap
  num_tiles = -(-(size - tile) // stride) + 1
  return np.minimum(np.arange(num_tiles) * stride, size - tile)


def offsets(
  size: tuple[int, int], tile: int | tuple[int, int], overlap: int
) -> np.ndarray:
  """Top left corners of all tiles, column by column.

  Args:
    size: (height, width) to cover.
    tile: side, or (height, width), of a tile.
    overlap: of neighbours, at least.

  Returns:
    [n, 2] int: row, column.
  """
  axes = zip(size, _pair(tile))
  return _grid(*(starts(side, length, overlap) for side, length in axes))


def pixel_tiles(
  size: tuple[int, int], patch: int = 1280, overlap: int = 280
) -> tuple[np.ndarray, tuple[int, int]]:
  """Tiles for pictures too large for an autoencoder; defaults are 3DSR's.

  Args:
    size: (height, width) of the picture; either may be below `patch`.
    patch: largest side of a tile, px.
    overlap: of neighbours, px, at least.

  Returns:
    The offsets [n, 2] of all tiles, and the (height, width) of each.
  """
  height, width = size
  rows = starts(max(height, patch), patch, overlap)
  columns = starts(max(width, patch), patch, overlap)
  return _grid(rows, columns), (min(height, patch), min(width, patch))


def _grid(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
  return np.stack(np.meshgrid(rows, columns), axis=-1).reshape(-1, 2)


def window(
  tile: int | tuple[int, int], *, is_symmetric: bool = True
) -> Profiles:
  """Gaussian weights of a tile, as profiles of its rows and of its columns.

  exp(-(u - m)^2 / (2 v n^2)) for u in 0..n-1, with v = 0.01. The middle m is
  (n - 1) / 2; published code takes n / 2 for the rows, half a pixel further.

  Args:
    tile: side, or (height, width), of a tile.
    is_symmetric: False: as published.

  Returns:
    [height] and [width] float64, at most 1.
  """
  height, width = _pair(tile)
  middle = (height - 1) / 2 if is_symmetric else height / 2
  return _gaussian(height, middle), _gaussian(width, (width - 1) / 2)


def _gaussian(size: int, middle: float) -> np.ndarray:
  distances = (np.arange(size) - middle) / size
  return np.exp(-(distances**2) / (2 * VARIANCE))


def _pair(tile: int | tuple[int, int]) -> tuple[int, int]:
  return (tile, tile) if isinstance(tile, int) else tile


def cut(
  images: Array, corners: np.ndarray, tile: int | tuple[int, int]
) -> Array:
  """Cuts pictures into one flat batch of tiles.

  Args:
    images: [B, H, W, C].
    corners: [n, 2], see `offsets`.
    tile: side, or (height, width), of a tile.

  Returns:
    [B * n, height, width, C]; the tiles of one picture are neighbours.
  """
  height, width = _pair(tile)
  bottom, right = corners.max(axis=0) + np.array([height, width])
  if bottom > images.shape[-3] or right > images.shape[-2]:
    raise ValueError(
      f'tiles reach row {bottom} and column {right} of pictures of shape '
      f'{images.shape}: were the offsets made for another size?'
    )
  tiles = [
    images[:, row : row + height, column : column + width]
    for row, column in corners
  ]
  return jnp.stack(tiles, axis=1).reshape(-1, *tiles[0].shape[1:])


def blend(
  tiles: Array, corners: np.ndarray, size: tuple[int, int], weights: Profiles
) -> Array:
  """Averages tiles where they overlap; undoes `cut`.

  sum(w tile) / sum(w). Tiles smaller than the window are weighted by its top
  left part, as published.

  Args:
    tiles: [B * n, height, width, C], ordered as by `cut`.
    corners: [n, 2], see `offsets`.
    size: (H, W) of the result.
    weights: see `window`.

  Returns:
    [B, H, W, C], in float32.
  """
  num_tiles = len(corners)
  if tiles.shape[0] % num_tiles:
    raise ValueError(
      f'{tiles.shape[0]} tiles are no multiple of the {num_tiles} that cover a '
      'picture: was the padding of the batch left on?'
    )
  height, width, channels = tiles.shape[1:]
  rows, columns = weights[0][:height], weights[1][:width]
  mask = jnp.asarray(np.outer(rows, columns)[..., None], jnp.float32)
  tiles = tiles.reshape(-1, num_tiles, height, width, channels) * mask
  total = jnp.zeros((len(tiles), *size, channels), jnp.float32)
  for i, (row, column) in enumerate(corners):
    part = (
      slice(None),
      slice(row, row + height),
      slice(column, column + width),
    )
    total = total.at[part].add(tiles[:, i])
  return total / _sum_of_weights(corners, size, rows, columns)


def _sum_of_weights(corners, size, rows, columns):
  """[H, W, 1]: an outer product too, since the corners are a grid."""
  sums = []
  for axis, profile in enumerate((rows, columns)):
    total = np.zeros(size[axis])
    for start in np.unique(corners[:, axis]):
      total[start : start + len(profile)] += profile
    sums.append(jnp.asarray(total, jnp.float32))
  return (sums[0][:, None] * sums[1])[..., None]
