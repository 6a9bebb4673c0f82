"""Squares of photographs, each beside its coarse twin enlarged to its size.

What a network that refines an enlargement learns from: whatever the scale, both
squares have one size. The stream is a function of the step, as in
`image_pairs`.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

from sr3d_jax import image, patches, worsen
from sr3d_jax.degrade import shrink_levels
from sr3d_jax.io import photographs

# Coarse pixels around a square, so that it looks as within a whole picture: the
# taps of the enlargement reach two, and those of the shrinkage two more.
MARGIN = 4
UPRIGHT = np.zeros(3, int)

# (rng, levels [H, W, 3] uint8, height, width) -> [height, width, 3] uint8
DEGRADATIONS = {
  'clean': lambda _, *shrunk: shrink_levels(*shrunk),
  'light': worsen.light,
  'real': worsen.real,
}


def make(
  *,
  roots: tuple[str, ...],
  side: int = 96,
  scales: tuple[float, ...] = (2.0, 4.0, 4.0, 8.0),
  batch_size: int = 8,
  degradation: str = 'clean',
  max_side: int = 2048,
  seed: int = 0,
) -> Callable[[int], dict[str, np.ndarray]]:
  """Reads photographs and makes a stream of pairs of squares.

  Of n = ceil(side / s) coarse pixels and a margin, round(s n) fine ones are
  cut, degraded to n of 8 bits and enlarged again by the bicubic of diffusion
  priors (`bicubic_torch`, not antialiased); a square within the margin is kept,
  flipped and transposed at random. A photograph counts by its area.

  Args:
    roots: folders and datasets, as `photographs.read` takes them. All
      photographs are kept in memory as 8 bits.
    side: of the squares, px.
    scales: shrinking factors, real and at least 1; each sample takes one, and
      a factor given twice is taken twice as often.
    batch_size: pairs in a batch.
    degradation: 'clean', Pillow's antialiased bicubic, or 'light' or 'real' of
      `worsen`.
    max_side: larger photographs are shrunk to this side, px.
    seed: of all that is chosen.

  Returns:
    step -> {'hr': [B, side, side, 3], 'coarse': the same} float32 in [0, 1].
  """
  _check(side, scales, degradation)
  photos = photographs.read_levels(roots, max_side)
  _check_sizes(photos, max(_geometry(side, s)[1] for s in scales))
  areas = np.array([photo.shape[0] * photo.shape[1] for photo in photos], float)
  shortest = np.array([min(photo.shape[:2]) for photo in photos])
  degrade = DEGRADATIONS[degradation]

  def sample(rng):
    num_coarse, num_fine, edge = _geometry(side, rng.choice(scales))
    chances = np.where(shortest >= num_fine, areas, 0)
    photo = photos[rng.choice(len(photos), p=chances / chances.sum())]
    corner = patches.random_corner(rng, photo.shape, num_fine)
    fine = patches.cut(photo, corner, num_fine, UPRIGHT)
    lr = degrade(rng, fine, num_coarse, num_coarse)
    inner = (num_fine - 2 * edge,) * 2
    corner = [edge + x for x in patches.random_corner(rng, inner, side)]
    hr = patches.cut(fine, corner, side, UPRIGHT).astype(np.float32) / 255
    coarse = _enlarge(lr, num_fine, corner, side)
    turn = patches.random_turn(rng)
    return [patches.orient(square, turn) for square in (hr, coarse)]

  def batch(step):
    rng = np.random.default_rng((seed, step))
    hr, coarse = zip(*(sample(rng) for _ in range(batch_size)))
    return {'hr': np.stack(hr), 'coarse': np.stack(coarse)}

  return batch


def _geometry(side: int, scale: float) -> tuple[int, int, int]:
  """Coarse pixels along a cut, its fine ones, and those of them to cut off.

  The ratio of the first two is what a whole picture of as many would have.
  """
  num_coarse = math.ceil(side / scale) + 2 * MARGIN
  return num_coarse, round(scale * num_coarse), math.floor(scale * MARGIN)


def _enlarge(
  lr: np.ndarray, size: int, corner: list[int], side: int
) -> np.ndarray:
  """A square [side, side, 3] of [n, n, 3] uint8 enlarged to [size, size, 3]."""
  weights = _weights(len(lr), size)
  rows, columns = (weights[start : start + side] for start in corner)
  tall = rows @ (lr.reshape(len(lr), -1).astype(np.float32) / 255)
  coarse = columns @ tall.reshape(side, len(lr), 3)
  return np.clip(coarse, 0, 1)


@functools.cache
def _weights(old: int, new: int) -> np.ndarray:
  return image.resize_weights(old, new, 'bicubic_torch', antialias=False)


def _check(side: int, scales: tuple[float, ...], degradation: str) -> None:
  """Raises for what no photograph could serve."""
  if side < 1:
    raise ValueError(f'side must be positive, got {side}: it is in pixels')
  if not scales or min(scales) < 1:
    raise ValueError(
      f'scales must be at least 1, got {tuple(scales)}: low resolution is '
      'smaller by them'
    )
  if degradation not in DEGRADATIONS:
    raise ValueError(
      f'unknown degradation {degradation!r}: choose from '
      f'{", ".join(DEGRADATIONS)}'
    )


def _check_sizes(photos: list[np.ndarray], size: int) -> None:
  """Raises where no photograph has room for the largest cut."""
  if max(min(photo.shape[:2]) for photo in photos) < size:
    raise ValueError(
      f'no photograph is {size} px wide and high, as the largest scale wants '
      'with its margin: give other folders, a smaller side or smaller scales'
    )
