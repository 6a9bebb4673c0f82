"""Asks a field network for whole pictures, tile by tile, in bounded memory.

A tile is encoded with a halo of its surroundings, as wide as its colours depend
on, so that tiles meet without a seam; fine pixels are asked for block by block.
All tiles have one shape, and all blocks: each function is compiled once.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from sr3d_jax.types import Array, FieldNetwork, Params, Queries

TILE = 384  # coarse px, without the halo, of which more tiles need more
# Fine px: of a block, what a layer makes fits the caches of a CPU; an
# accelerator wants more to do at once. A network that sees the whole picture
# draws it anew for every block.
BLOCKS = {'cpu': 96}
BLOCK = 512
WHOLE_BLOCK = 1024
HORIZON = 1e-6  # of the greatest depth: nearer, a footprint leaves float32


def grid(
  height: int,
  width: int,
  new_height: int,
  new_width: int,
  *,
  scale: float | None = None,
) -> Queries:
  """All pixels of a picture enlarged to new_height x new_width."""
  return Queries(
    rows=_centers(0, new_height, height / new_height)[None, :, None],
    columns=_centers(0, new_width, width / new_width)[None, None, :],
    footprint=_footprint(height / new_height, width / new_width),
    height=new_height,
    width=new_width,
    scale=scale,
  )


def warped(matrix: np.ndarray, new_height: int, new_width: int) -> Queries:
  """The pixels of a picture seen through a homography.

  A pixel that covers several coarse ones is sampled: GaussianSR widens its
  kernels by the footprint, but sums no further than its window, so what is made
  smaller than the coarse picture aliases. Outside of the coarse picture what is
  interpolated repeats the last pixel, the waves run on, and the splat takes the
  kernels that still reach, none beyond its window.

  Args:
    matrix: [3, 3], from (column, row, 1) of the new picture, px, to those of
      the coarse one; a rotation, a shear or another scale an axis included.
      Known while tracing: it is checked on the host.
    new_height: of the new picture.
    new_width: likewise.

  Returns:
    Queries [1, new_height, new_width], each with the footprint of its pixel.

  Raises:
    ValueError: some pixel looks at the horizon, or behind it.
  """
  swap = [1, 0, 2]
  matrix = np.asarray(matrix, np.float64)[swap][:, swap]  # of (row, column, 1)
  rows, columns = np.mgrid[:new_height, :new_width] + 0.5
  y, x, depth = (a * rows + b * columns + c for a, b, c in matrix)
  if not depth.min() > HORIZON * depth.max():
    raise ValueError(
      'a homography must see every pixel before its horizon, where the last of '
      f'(x, y, w) is positive, got w from {depth.min():.3g} to '
      f'{depth.max():.3g}: ask a smaller picture, or negate a matrix of which '
      'all w are negative'
    )
  y, x = y / depth, x / depth
  # d(y) = (d(y w) - y d(w)) / w, by row and by column; likewise d(x).
  down, across = (
    [(line[i] - place * matrix[2, i]) / depth for i in range(2)]
    for line, place in zip(matrix, (y, x))
  )
  footprint = [
    sum(p * q for p, q in zip(*pair))
    for pair in ((down, down), (down, across), (across, across))
  ]
  return Queries(
    rows=y[None].astype(np.float32),
    columns=x[None].astype(np.float32),
    footprint=np.stack(footprint, axis=-1)[None].astype(np.float32),
  )


class Part(NamedTuple):
  """Some of the pixels of a picture.

  Attributes:
    rows: of the picture.
    columns: likewise.
    colors: [h, w, 3], not clipped.
  """

  rows: slice
  columns: slice
  colors: np.ndarray


def enlarge(
  network: FieldNetwork,
  params: Params,
  image: Array,
  height: int,
  width: int,
  **options: Any,
) -> np.ndarray:
  """Enlarges one picture: the `parts` put together, [height, width, 3]."""
  result = np.empty((height, width, 3), np.float32)
  for part in parts(network, params, image, height, width, **options):
    result[part.rows, part.columns] = part.colors
  return result


def parts(
  network: FieldNetwork,
  params: Params,
  image: Array,
  height: int,
  width: int,
  *,
  scale: float | None = None,
  tile: int = TILE,
  block: int | None = None,
  on_part: Callable[[int, int], None] | None = None,
) -> Iterator[Part]:
  """Enlarges one picture, part by part; the two factors may differ.

  Args:
    network: where it has a halo, memory does not grow with the picture.
    params: of the network.
    image: [H, W, 3] in [0, 1].
    height: of the result, at least H.
    width: likewise.
    scale: that they were rounded from, for networks that ask.
    tile: greatest side of the coarse tiles, px.
    block: greatest side of the blocks of fine pixels that are computed at once;
      None: what suits the network and the device.
    on_part: is told how many parts are done, and of how many.

  Yields:
    Parts that cover the picture; where they overlap, they say the same.
  """
  encode, decode = _compiled(network)
  image = np.asarray(image, np.float32)
  whole = network.halo is None
  if block is None:
    block = BLOCKS.get(jax.default_backend(), BLOCK)
    block = WHOLE_BLOCK if whole else block
  axes = [
    _tiles(old, new, old if whole else tile, 0 if whole else network.halo)
    for old, new in zip(image.shape, (height, width))
  ]
  steps = image.shape[0] / height, image.shape[1] / width
  grid_of = {'height': height, 'width': width, 'scale': scale} if whole else {}
  total = math.prod(
    sum(len(_cut(*tile.fine, block)) for tile in axis) for axis in axes
  )
  done = 0
  for down, across in itertools.product(*axes):
    features = encode(params, image[None, down.window, across.window])
    for rows, columns in itertools.product(
      _cut(*down.fine, block), _cut(*across.fine, block)
    ):
      queries = Queries(
        rows=_centers(*rows, steps[0], down.window.start)[None, :, None],
        columns=_centers(*columns, steps[1], across.window.start)[None, None],
        footprint=_footprint(*steps),
        **grid_of,
      )
      colors = np.asarray(decode(params, features, queries))[0]
      yield Part(slice(*rows), slice(*columns), colors)
      done += 1
      if on_part is not None:
        on_part(done, total)


class _Tile(NamedTuple):
  """One axis of a tile: coarse pixels to encode, fine ones to find."""

  window: slice
  fine: tuple[int, int]


def _tiles(old: int, new: int, tile: int, halo: int) -> list[_Tile]:
  """Cuts an axis of `old` px, `new` when enlarged, into tiles.

  The windows are equally long; at the picture's ends they end with it, so that
  borders look as they would without tiles.
  """
  step = old / new
  fine = _cut(0, new, tile * new // old)
  first = [max(math.floor((a + 0.5) * step) - halo, 0) for a, _ in fine]
  last = [min(math.floor((b - 0.5) * step) + halo, old - 1) for _, b in fine]
  size = max(b - a + 1 for a, b in zip(first, last))
  starts = [min(a, old - size) for a in first]
  return [
    _Tile(slice(start, start + size), bounds)
    for start, bounds in zip(starts, fine)
  ]


def _cut(start: int, stop: int, longest: int) -> list[tuple[int, int]]:
  """Cuts start..stop into equally long parts, of which the last may overlap."""
  size = stop - start
  size = math.ceil(size / math.ceil(size / longest))
  starts = [*range(start, stop - size, size), stop - size]
  return [(a, a + size) for a in starts]


def _centers(start: int, stop: int, step: float, origin: int = 0) -> np.ndarray:
  """Where fine pixels start..stop have their centres, coarse px."""
  # In float64: far from the origin a float32 is too coarse.
  centers = (np.arange(start, stop) + 0.5) * step - origin
  return centers.astype(np.float32)


def _footprint(row_step: float, column_step: float) -> np.ndarray:
  """Of every pixel of a grid: [1, 1, 1, 3]."""
  footprint = [row_step**2, 0, column_step**2]
  return np.asarray(footprint, np.float32).reshape(1, 1, 1, 3)


@functools.lru_cache(maxsize=8)
def _compiled(network: FieldNetwork) -> tuple[Callable, Callable]:
  return jax.jit(network.encode), jax.jit(network.decode)
