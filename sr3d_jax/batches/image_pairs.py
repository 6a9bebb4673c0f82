"""Random patches of photographs, each with its shrunken twin, for image SR.

The stream is a function of the step: batch i depends on the seed and i alone,
so a resumed run sees what an uninterrupted one would have seen.
"""

from collections.abc import Callable

import numpy as np

from sr3d_jax import image
from sr3d_jax.io import images as image_files
from sr3d_jax.io import paths
from sr3d_jax.types import Array


def make(
  *,
  roots: tuple[str, ...],
  scale: int = 4,
  patch: int = 32,
  batch_size: int = 8,
  max_side: int = 2048,
  seed: int = 0,
) -> Callable[[int], dict[str, np.ndarray]]:
  """Reads folders of photographs and makes a stream of patch pairs.

  Low resolution is the whole photograph shrunk by antialiased bicubic and
  rounded to 8 bits. A photograph counts by its area. Patches are flipped and
  transposed at random.

  Args:
    roots: folders, absolute or below the data folder.
    scale: shrinking factor.
    patch: side of the low-resolution patch, px.
    batch_size: pairs in a batch.
    max_side: larger photographs are shrunk to this side, px: shrinking cleans
      what a camera and JPEG blurred.
    seed: of the choice of patches.

  Returns:
    step -> {'lr': [B, p, p, 3], 'hr': [B, sp, sp, 3]} float32.
  """
  folders = [paths.data_path(root) for root in roots]
  files = [f for folder in folders for f in image_files.list_images(folder)]
  pairs = [_pair(image_files.load(f), scale, max_side) for f in files]
  pairs = [p for p in pairs if min(p[0].shape[:2]) >= patch]
  if not pairs:
    raise ValueError(
      f'no photograph in {roots} is {patch * scale} px wide and high: '
      'give other folders or a smaller patch'
    )
  areas = np.array([lr.shape[0] * lr.shape[1] for lr, _ in pairs], float)
  chances = areas / areas.sum()

  def batch(step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng((seed, step))
    chosen = rng.choice(len(pairs), batch_size, p=chances)
    cuts = [_cut(rng, *pairs[i], scale, patch) for i in chosen]
    lr, hr = (np.stack(side).astype(np.float32) / 255 for side in zip(*cuts))
    return {'lr': lr, 'hr': hr}

  return batch


def degrade(hr: Array, scale: int) -> tuple[Array, Array]:
  """Crops to a multiple of `scale`, shrinks and rounds to 8 bits.

  Args:
    hr: [H, W, 3].
    scale: shrinking factor.

  Returns:
    lr: [H // scale, W // scale, 3].
    hr: cropped.
  """
  height, width = (size // scale * scale for size in hr.shape[:2])
  hr = hr[:height, :width]
  lr = image.to_float(image.to_uint8(image.shrink(hr, scale)))
  return lr, hr


def _pair(hr: Array, scale: int, max_side: int):
  """The photograph and its twin as uint8 [h, w, 3], [sh, sw, 3]."""
  hr = hr[..., :3]
  ratio = max(hr.shape[:2]) / max_side
  hr = image.shrink(hr, ratio) if ratio > 1 else hr
  lr, hr = degrade(hr, scale)
  return np.asarray(image.to_uint8(lr)), np.asarray(image.to_uint8(hr))


def _cut(rng, lr, hr, scale: int, patch: int):
  """The same patch of both, in one of the eight orientations of a square."""
  top, left = (int(rng.integers(n - patch + 1)) for n in lr.shape[:2])
  cuts = []
  flip_rows, flip_columns, transpose = rng.integers(2, size=3)
  for picture, s in ((lr, 1), (hr, scale)):
    rows = slice(top * s, (top + patch) * s)
    columns = slice(left * s, (left + patch) * s)
    cut = picture[rows, columns]
    cut = cut[::-1] if flip_rows else cut
    cut = cut[:, ::-1] if flip_columns else cut
    cuts.append(cut.swapaxes(0, 1) if transpose else cut)
  return cuts
