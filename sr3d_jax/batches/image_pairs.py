"""Random patches of photographs, each with its shrunken twin, for image SR.

The stream is a function of the step: batch i depends on the seed and i alone,
so a resumed run sees what an uninterrupted one would have seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sr3d_jax import image, patches
from sr3d_jax.degrade import degrade, shrink_levels
from sr3d_jax.io import photographs
from sr3d_jax.types import Array

UPRIGHT = np.zeros(3, int)


def make(
  *,
  roots: tuple[str, ...],
  scale: int | None = None,
  scales: tuple[float, ...] | None = None,
  scale_range: tuple[float, float] | None = None,
  patch: int = 32,
  num_queries: int | None = None,
  batch_size: int = 8,
  max_side: int = 2048,
  seed: int = 0,
) -> Callable[[int], dict[str, Any]]:
  """Reads photographs and makes a stream of pairs of patches.

  One of `scale`, `scales` and `scale_range` says what is learnt. A photograph
  counts by its area. Patches are flipped and transposed at random.

  With `scale`, low resolution is the whole photograph shrunk by antialiased
  bicubic and rounded to 8 bits. With the others, a patch is cut at high
  resolution, round(s * patch) wide, and shrunk by Pillow; the batch asks for
  the colours of some of its pixels.

  Args:
    roots: folders, absolute or below the data folder, and datasets of
      tensorflow-datasets such as `tfds:div2k/bicubic_x4`; see
      `io.datasets.parse`. All photographs are kept in memory as 8 bits.
    scale: the one shrinking factor.
    scales: shrinking factors, of which each batch takes one.
    scale_range: the least and the greatest shrinking factor; each sample's is
      drawn uniformly.
    patch: side of the low-resolution patch, px.
    num_queries: of a sample, without replacement; patch^2 by default.
    batch_size: pairs in a batch.
    max_side: larger photographs are shrunk to this side, px: shrinking cleans
      what a camera and JPEG blurred.
    seed: of the choice of patches.

  Returns:
    step -> {'lr': [B, p, p, 3], 'hr': [B, sp, sp, 3]} float32 with `scale`;
    otherwise {'lr', 'rgb': [B, Q, 3], 'queries': `Queries` of rows and columns
    [B, Q] and footprint [B, 1, 3]}, whose height and width are those of the
    high-resolution patch with `scales` and None with `scale_range`.
  """
  given = [value for value in (scale, scales, scale_range) if value is not None]
  if len(given) != 1:
    raise ValueError(
      f'got {len(given)} of scale, scales and scale_range: give one, such as '
      'scale=4, scales=(2, 3, 4) or scale_range=(1, 4)'
    )
  if scale is not None:
    _check_whole(scale)
    photos = photographs.read(roots, max_side)
    pairs = photos.map(lambda photo: _pair(photo, scale))
    batch = _fixed(
      list(pairs.to_iter_dataset(photographs.READING)), scale, patch, batch_size
    )
  else:
    num_queries = patch**2 if num_queries is None else num_queries
    _check_scales(given[0], patch, num_queries)
    draw = _draw(scales, scale_range, batch_size)
    found = photographs.read_levels(roots, max_side)
    _check_sizes(found, round(max(given[0]) * patch))
    batch = _arbitrary(found, draw, patch, num_queries, scales is not None)
  return lambda step: batch(np.random.default_rng((seed, step)))


def _pair(hr: Array, scale: int) -> tuple[np.ndarray, np.ndarray]:
  """The photograph's twin and itself as uint8 [h, w, 3], [sh, sw, 3]."""
  lr, hr = degrade(hr, scale)
  return np.asarray(image.to_uint8(lr)), np.asarray(image.to_uint8(hr))


def _fixed(pairs, scale: int, patch: int, batch_size: int) -> Callable:
  """rng -> a batch of patches that are both cut, of pairs of photographs."""
  _check_sizes([hr for _, hr in pairs], patch * scale)
  pairs = [pair for pair in pairs if min(pair[0].shape[:2]) >= patch]
  areas = np.array([lr.shape[0] * lr.shape[1] for lr, _ in pairs], float)
  chances = areas / areas.sum()

  def sample(rng, lr, hr):
    corner = patches.random_corner(rng, lr.shape, patch)
    turn = patches.random_turn(rng)
    fine = tuple(scale * start for start in corner)
    return (
      patches.cut(lr, corner, patch, turn),
      patches.cut(hr, fine, patch * scale, turn),
    )

  def batch(rng: np.random.Generator) -> dict[str, np.ndarray]:
    chosen = rng.choice(len(pairs), batch_size, p=chances)
    lr, hr = zip(*(sample(rng, *pairs[i]) for i in chosen))
    return {'lr': _stack(lr), 'hr': _stack(hr)}

  return batch


def _draw(scales, scale_range, batch_size: int) -> Callable:
  """rng -> [B] scales: one of `scales` for all, or each from the range."""
  if scales is not None:
    return lambda rng: np.full(batch_size, rng.choice(scales))
  if len(scale_range) != 2 or scale_range[0] > scale_range[1]:
    raise ValueError(
      f'scale_range must be the least and the greatest, got {scale_range}: '
      'for some scales and none between, give scales'
    )
  return lambda rng: rng.uniform(*scale_range, batch_size)


def _arbitrary(
  photos: list[np.ndarray],
  draw: Callable,
  patch: int,
  num_queries: int,
  is_one_size: bool,
) -> Callable:
  """rng -> a batch of shrunken patches and of colours to find in them."""
  areas = np.array([photo.shape[0] * photo.shape[1] for photo in photos], float)
  shortest = np.array([min(photo.shape[:2]) for photo in photos])

  def sample(rng, side):
    chances = np.where(shortest >= side, areas, 0)
    photo = photos[rng.choice(len(photos), p=chances / chances.sum())]
    corner = patches.random_corner(rng, photo.shape, side)
    hr = patches.cut(photo, corner, side, UPRIGHT)
    lr = shrink_levels(hr, patch, patch)  # as a whole picture is: upright
    turn = patches.random_turn(rng)
    lr, hr = (patches.orient(square, turn) for square in (lr, hr))
    pixels = rng.choice(side * side, num_queries, replace=False)
    return lr, hr[np.divmod(pixels, side)], pixels

  def batch(rng: np.random.Generator) -> dict[str, Any]:
    sides = [round(s * patch) for s in draw(rng)]
    lr, rgb, pixels = zip(*(sample(rng, side) for side in sides))
    queries = patches.queries(np.stack(pixels), np.array(sides), patch)
    if is_one_size:
      queries = replace(queries, height=sides[0], width=sides[0])
    return {'lr': _stack(lr), 'rgb': _stack(rgb), 'queries': queries}

  return batch


def _stack(levels: Sequence[np.ndarray]) -> np.ndarray:
  """Floats in [0, 1] of equal arrays of 8 bits, behind a leading B."""
  return np.stack(levels).astype(np.float32) / 255


def _check_whole(scale: float) -> None:
  """Raises for a scale at which the patches of a pair cannot both be cut."""
  if scale < 1 or scale != round(scale):
    raise ValueError(
      f'scale must be whole and at least 1, got {scale}: for any other ask '
      f'for colours, as scales=({scale},) does'
    )


def _check_scales(
  scales: tuple[float, ...], patch: int, num_queries: int
) -> None:
  """Raises where a scale shrinks nothing, or has too few pixels to ask for."""
  if not scales or min(scales) < 1:
    raise ValueError(
      f'scales must be at least 1, got {tuple(scales)}: low resolution is '
      'smaller by them'
    )
  fewest = round(min(scales) * patch) ** 2
  if not 1 <= num_queries <= fewest:
    raise ValueError(
      f'num_queries must be 1 to {fewest}, the pixels of a patch of {patch} px '
      f'at scale {min(scales)}, got {num_queries}'
    )


def _check_sizes(photos: list[np.ndarray], side: int) -> None:
  """Raises where no photograph has room for the largest patch."""
  if max(min(photo.shape[:2]) for photo in photos) < side:
    raise ValueError(
      f'no photograph is {side} px wide and high: give other folders, a '
      'smaller patch or smaller scales'
    )
