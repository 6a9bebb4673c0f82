"""Films of a still whose motion is known.

A motion is a homography for each frame, from (column, row, 1) of the frame, px,
to those of the still; the first is none.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import sampling
from sr3d_jax.types import Array

MOTIONS = ('pan', 'zoom', 'turn')


def motion(
  word: str, *, num_frames: int, speed: float, height: int, width: int
) -> np.ndarray:
  """Moves a camera over a still.

  Args:
    word: one of `MOTIONS`: aslant, towards the centre, or about it.
    num_frames: T.
    speed: px of the still that a border's middle moves from frame to frame.
    height: of the still.
    width: likewise.

  Returns:
    [T, 3, 3].
  """
  if word not in MOTIONS:
    raise ValueError(f'unknown motion {word!r}: choose from {MOTIONS}')
  steps = speed * np.arange(num_frames)
  share = 2 * steps / max(height, width)
  there = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1.0]])
  matrices = np.tile(np.eye(3), (num_frames, 1, 1))
  if word == 'pan':
    matrices[:, 0, 2], matrices[:, 1, 2] = 0.8 * steps, 0.6 * steps
    return matrices
  if word == 'zoom':
    matrices[:, 0, 0] = matrices[:, 1, 1] = 1 - share
  else:
    matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(share)
    matrices[:, 1, 0], matrices[:, 0, 1] = np.sin(share), -np.sin(share)
  return there @ matrices @ np.linalg.inv(there)


@functools.partial(jax.jit, static_argnames=('height', 'width'))
def look(pictures: Array, matrices: Array, height: int, width: int) -> Array:
  """Samples pictures by bicubic where homographies say.

  Args:
    pictures: [T, H, W, C].
    matrices: [T, 3, 3], from px of the new pictures to px of these.
    height: of the new pictures.
    width: likewise.

  Returns:
    [T, height, width, C].
  """
  rows, columns = jnp.mgrid[:height, :width] + 0.5

  def one(picture, matrix):
    x, y, w = (a * columns + b * rows + c for a, b, c in matrix)
    return sampling.bicubic(picture, y / w, x / w)

  return jax.vmap(one)(pictures, matrices)


def align(frames: Array, matrices: np.ndarray) -> Array:
  """Brings frames [T, H, W, C] of a motion back onto the still."""
  back = jnp.asarray(np.linalg.inv(matrices), jnp.float32)
  return look(frames, back, *frames.shape[1:3])
