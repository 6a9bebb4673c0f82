"""Random patches of photographs, each with its shrunken twin, for image SR.

The stream is a function of the step: batch i depends on the seed and i alone,
so a resumed run sees what an uninterrupted one would have seen.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from sr3d_jax import image
from sr3d_jax.degrade import degrade, shrink_levels
from sr3d_jax.io import images as image_files
from sr3d_jax.io import paths
from sr3d_jax.types import Array, Queries


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
    roots: folders, absolute or below the data folder.
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
  folders = [paths.data_path(root) for root in roots]
  files = [f for folder in folders for f in image_files.list_images(folder)]
  photos = (_limit(image_files.load(f)[..., :3], max_side) for f in files)
  if scale is not None:
    batch = _fixed([_pair(p, scale) for p in photos], scale, patch, batch_size)
  else:
    batch = _arbitrary(
      [np.asarray(image.to_uint8(p)) for p in photos],
      scales,
      scale_range,
      patch,
      patch**2 if num_queries is None else num_queries,
      batch_size,
    )
  return lambda step: batch(np.random.default_rng((seed, step)))


def _limit(hr: Array, max_side: int) -> Array:
  """The photograph, shrunk where a side is longer than `max_side`."""
  ratio = max(hr.shape[:2]) / max_side
  return image.shrink(hr, ratio) if ratio > 1 else hr


def _pair(hr: Array, scale: int) -> tuple[np.ndarray, np.ndarray]:
  """The photograph's twin and itself as uint8 [h, w, 3], [sh, sw, 3]."""
  lr, hr = degrade(hr, scale)
  return np.asarray(image.to_uint8(lr)), np.asarray(image.to_uint8(hr))


def _fixed(pairs, scale: int, patch: int, batch_size: int) -> Callable:
  """rng -> a batch of patches that are both cut, of pairs of photographs."""
  pairs = [p for p in pairs if min(p[0].shape[:2]) >= patch]
  if not pairs:
    raise _too_small(patch * scale)
  areas = np.array([lr.shape[0] * lr.shape[1] for lr, _ in pairs], float)
  chances = areas / areas.sum()

  def batch(rng: np.random.Generator) -> dict[str, np.ndarray]:
    chosen = rng.choice(len(pairs), batch_size, p=chances)
    cuts = [_cut_both(rng, *pairs[i], scale, patch) for i in chosen]
    lr, hr = (np.stack(side).astype(np.float32) / 255 for side in zip(*cuts))
    return {'lr': lr, 'hr': hr}

  return batch


def _cut_both(rng, lr, hr, scale: int, patch: int):
  """The same patch of both, in one of the eight orientations of a square."""
  top, left = (int(rng.integers(n - patch + 1)) for n in lr.shape[:2])
  cuts = []
  turn = rng.integers(2, size=3)
  for picture, s in ((lr, 1), (hr, scale)):
    rows = slice(top * s, (top + patch) * s)
    columns = slice(left * s, (left + patch) * s)
    cuts.append(_orient(picture[rows, columns], *turn))
  return cuts


def _arbitrary(
  photos: list[np.ndarray],
  scales: tuple[float, ...] | None,
  scale_range: tuple[float, float] | None,
  patch: int,
  num_queries: int,
  batch_size: int,
) -> Callable:
  """rng -> a batch of shrunken patches and of colours to find in them."""
  _check_scales(scales or scale_range, patch, num_queries)
  shapes = np.array([photo.shape[:2] for photo in photos])
  areas, shortest = shapes.prod(axis=1).astype(float), shapes.min(axis=1)
  largest = round(max(scales or scale_range) * patch)
  if shortest.max() < largest:
    raise _too_small(largest)

  def batch(rng: np.random.Generator) -> dict[str, Any]:
    if scales:
      factors = np.full(batch_size, rng.choice(scales))
    else:
      factors = rng.uniform(*scale_range, batch_size)
    sides = [round(s * patch) for s in factors]
    samples = []
    for side in sides:
      chances = np.where(shortest >= side, areas, 0)
      i = rng.choice(len(photos), p=chances / chances.sum())
      hr, lr = _cut_and_shrink(rng, photos[i], side, patch)
      pixels = rng.choice(side * side, num_queries, replace=False)
      samples.append((lr, hr.reshape(-1, 3)[pixels], pixels))
    lr, rgb, pixels = map(np.stack, zip(*samples))
    return {
      'lr': lr.astype(np.float32) / 255,
      'rgb': rgb.astype(np.float32) / 255,
      'queries': _queries(pixels, np.array(sides), patch, bool(scales)),
    }

  return batch


def _cut_and_shrink(rng, photo: np.ndarray, side: int, patch: int):
  """A square of a photograph and its twin, uint8, in one of 8 orientations."""
  top, left = (int(rng.integers(n - side + 1)) for n in photo.shape[:2])
  hr = photo[top : top + side, left : left + side]
  lr = shrink_levels(hr, patch, patch)
  turn = rng.integers(2, size=3)
  return _orient(hr, *turn), _orient(lr, *turn)


def _queries(
  pixels: np.ndarray, sides: np.ndarray, patch: int, is_one_size: bool
) -> Queries:
  """Where pixels lie among those of low resolution.

  Args:
    pixels: [B, Q] row * side + column of high resolution.
    sides: [B] of the high-resolution squares, px.
    patch: side of the low-resolution ones, px.
    is_one_size: whether all sides are the same.
  """
  sides = sides[:, None]
  step = patch / sides
  rows, columns = ((x + 0.5) * step for x in np.divmod(pixels, sides))
  footprint = step[..., None] ** 2 * np.array([1.0, 0.0, 1.0])
  size = int(sides[0, 0]) if is_one_size else None
  return Queries(
    rows=rows.astype(np.float32),
    columns=columns.astype(np.float32),
    footprint=footprint.astype(np.float32),
    height=size,
    width=size,
  )


def _orient(square: np.ndarray, flip_rows, flip_columns, transpose):
  """One of the eight orientations of [n, n, 3]."""
  square = square[::-1] if flip_rows else square
  square = square[:, ::-1] if flip_columns else square
  return square.swapaxes(0, 1) if transpose else square


def _check_scales(scales, patch: int, num_queries: int) -> None:
  """Raises where a scale shrinks nothing, or has too few pixels to ask for."""
  if min(scales) < 1:
    raise ValueError(
      f'scales must be at least 1, got {tuple(scales)}: low resolution is '
      'smaller'
    )
  fewest = round(min(scales) * patch) ** 2
  if num_queries > fewest:
    raise ValueError(
      f'num_queries is {num_queries}, but a patch of {patch} px at scale '
      f'{min(scales)} has only {fewest} pixels: ask for fewer'
    )


def _too_small(side: int) -> ValueError:
  """For photographs none of which a patch can be cut from."""
  return ValueError(
    f'no photograph is {side} px wide and high: give other folders, a smaller '
    'patch or a smaller scale'
  )
