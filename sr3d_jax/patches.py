"""Square patches of pictures, and where their pixels lie among coarser ones.

Chance comes from a NumPy generator: this is the host's work.
"""

import numpy as np

from sr3d_jax.types import Queries


def random_corner(
  rng: np.random.Generator, shape: tuple[int, ...], side: int
) -> tuple[int, int]:
  """Top and left of a square of `side` px that lies within [H, W, ...]."""
  top, left = (int(rng.integers(size - side + 1)) for size in shape[:2])
  return top, left


def random_turn(rng: np.random.Generator) -> np.ndarray:
  """[3] of 0 or 1: whether to flip rows, to flip columns, and to transpose."""
  return rng.integers(2, size=3)


def cut(
  picture: np.ndarray, corner: tuple[int, int], side: int, turn: np.ndarray
) -> np.ndarray:
  """A square [side, side, C] of [H, W, C], in one of eight orientations."""
  top, left = corner
  return orient(picture[top : top + side, left : left + side], turn)


def orient(square: np.ndarray, turn: np.ndarray) -> np.ndarray:
  """Flips and transposes [n, n, C] as `random_turn` says."""
  flip_rows, flip_columns, transpose = turn
  square = square[::-1] if flip_rows else square
  square = square[:, ::-1] if flip_columns else square
  return square.swapaxes(0, 1) if transpose else square


def queries(pixels: np.ndarray, sides: np.ndarray, patch: int) -> Queries:
  """Asks coarse patches for pixels of the fine patches they were made of.

  Args:
    pixels: [B, Q] indices row * side + column of fine pixels.
    sides: [B] sides of the fine patches, px.
    patch: side of all coarse patches, px.

  Returns:
    Rows and columns [B, Q], footprint [B, 1, 3].
  """
  step = patch / sides[:, None]
  rows, columns = (
    (index + 0.5) * step for index in np.divmod(pixels, sides[:, None])
  )
  footprint = step[..., None] ** 2 * np.array([1.0, 0.0, 1.0])
  return Queries(
    rows=rows.astype(np.float32),
    columns=columns.astype(np.float32),
    footprint=footprint.astype(np.float32),
  )
