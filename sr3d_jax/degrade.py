"""Makes low resolution of high resolution, as super-resolution benchmarks do.

Photographs are shrunk by antialiased bicubic and rounded to 8 bits. Training
asks Pillow, by which the literature's training pairs are made; it also rounds
between its two passes, so `degrade` may differ from it by a level or two. How
else pictures become small is a name of `SHRINKERS`.
"""

import functools
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from sr3d_jax import image
from sr3d_jax.types import Array

BLUR = 0.5  # standard deviation of what 'jpeg' blurs by, coarse px
QUALITY = 75  # of its JPEG, of 100


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
  pictures: Iterable[np.ndarray], scale: float, *, shrinker: str = 'pillow'
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Validation pairs that are the same in every run.

  Args:
    pictures: [H, W, 3] float in [0, 1] each.
    scale: shrinking factor, any real number from 1.
    shrinker: a name of `SHRINKERS`; 'pillow' is what training sees.

  Returns:
    (lr, hr) of each picture in its order, float32 of 8 bits, sized as by
    `degrade`.
  """
  if shrinker not in SHRINKERS:
    raise ValueError(
      f'unknown shrinker {shrinker!r}: choose from {", ".join(SHRINKERS)}'
    )
  pairs = []
  for picture in pictures:
    levels = np.asarray(image.to_uint8(picture))
    (height, width), levels = _crop(levels, scale)
    pair = SHRINKERS[shrinker](levels, height, width), levels
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


def _at_once(levels: np.ndarray, height: int, width: int, method: str):
  """Shrinks in floats and rounds once, where Pillow rounds after each axis."""
  small = image.resize(image.to_float(levels), height, width, method=method)
  return np.asarray(image.to_uint8(small))


def _by_camera(levels: np.ndarray, height: int, width: int) -> np.ndarray:
  """Blurs, shrinks and compresses, as a photograph sent by phone."""
  sigma = BLUR * levels.shape[0] / height
  blurred = image.gaussian_blur(image.to_float(levels), sigma)
  small = _at_once(
    np.asarray(image.to_uint8(blurred)), height, width, 'bicubic'
  )
  file = io.BytesIO()
  Image.fromarray(small).save(file, format='JPEG', quality=QUALITY)
  return np.asarray(Image.open(file).convert('RGB'))


# (levels [H, W, 3] uint8, height, width) -> [height, width, 3] uint8. MATLAB's
# imresize also repeats the border, which ours cuts off.
SHRINKERS = {
  'pillow': shrink_levels,
  'matlab': functools.partial(_at_once, method='bicubic'),
  'area': functools.partial(_at_once, method='area'),
  'jpeg': _by_camera,
}


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
