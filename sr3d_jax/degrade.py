"""Makes low resolution of high resolution, as super-resolution benchmarks do.

Photographs are shrunk by antialiased bicubic and rounded to 8 bits. Training
asks Pillow, by which the literature's training pairs are made; it also rounds
between its two passes, so `degrade` may differ from it by a level or two.
"""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from sr3d_jax import image
from sr3d_jax.types import Array


def degrade(hr: Array, scale: float) -> tuple[Array, Array]:
  """Crops to what a whole number of coarse pixels covers; shrinks; rounds.

  Args:
    hr: [H, W, 3].
    scale: shrinking factor, any real number from 1.

  Returns:
    lr: [h, w, 3] of 8 bits, h = floor(H / scale) and likewise w.
    hr: [round(h * scale), round(w * scale), 3], cropped.
  """
  (height, width), hr = _crop(hr, scale)
  lr = image.resize(hr, height, width)
  return image.to_float(image.to_uint8(lr)), hr


def frozen_pairs(
  pictures: Iterable[np.ndarray], scale: float
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Validation pairs that are the same in every run, by Pillow's bicubic.

  Args:
    pictures: [H, W, 3] float in [0, 1] each.
    scale: shrinking factor, any real number from 1.

  Returns:
    (lr, hr) of each picture in its order, float32 of 8 bits, sized as by
    `degrade`.
  """
  pairs = []
  for picture in pictures:
    levels = np.asarray(image.to_uint8(picture))
    (height, width), levels = _crop(levels, scale)
    pair = shrink_levels(levels, height, width), levels
    pairs.append(tuple(side.astype(np.float32) / 255 for side in pair))
  return pairs


def shrink_levels(levels: np.ndarray, height: int, width: int) -> np.ndarray:
  """Shrinks 8 bits to 8 bits by Pillow's antialiased bicubic.

  Args:
    levels: [H, W, 3] uint8.
    height: of the result.
    width: of the result.

  Returns:
    [height, width, 3] uint8.
  """
  picture = Image.fromarray(levels)
  return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def _crop(hr: Array, scale: float) -> tuple[tuple[int, int], Array]:
  """The coarse height and width, and the fine picture that they cover."""
  if scale < 1:
    raise ValueError(
      f'scale must be at least 1, got {scale}: it is by how much low '
      'resolution is smaller'
    )
  # A hair more, or 66 / 1.1 would be 59.
  coarse = tuple(int(size / scale + 1e-6) for size in hr.shape[:2])
  if min(coarse) < 1:
    raise ValueError(
      f'a picture of {hr.shape[0]}x{hr.shape[1]} px has no pixel left at 1 / '
      f'{scale}: take a larger one or a smaller scale'
    )
  height, width = (round(size * scale) for size in coarse)
  return coarse, hr[:height, :width]
