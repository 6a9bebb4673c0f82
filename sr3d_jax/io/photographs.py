"""Photographs to train on, of folders and of datasets, one after another."""

from collections.abc import Sequence

import grain
import numpy as np

from sr3d_jax import image
from sr3d_jax.io import datasets, images, paths
from sr3d_jax.types import Array

# A photograph of 12 megapixels is 144 MB as float32, so few wait at a time.
READING = grain.ReadOptions(num_threads=2, prefetch_buffer_size=2)


def read(roots: Sequence[str], max_side: int) -> grain.MapDataset:
  """The photographs of all roots in their order, not read yet.

  Args:
    roots: folders, absolute or below the data folder, and datasets of
      tensorflow-datasets such as `tfds:div2k/bicubic_x4`; see
      `io.datasets.parse`.
    max_side: larger photographs are shrunk to this side, px: shrinking cleans
      what a camera and JPEG blurred.

  Returns:
    A dataset of [H, W, 3] float32 in [0, 1].
  """
  if isinstance(roots, str) or not roots:
    raise ValueError(
      f'roots must be a tuple of folders and datasets, tfds:NAME, got {roots!r}'
    )
  photos = grain.MapDataset.concatenate([_read_one(root) for root in roots])
  return photos.map(lambda photo: _limit(photo, max_side))


def read_levels(roots: Sequence[str], max_side: int) -> list[np.ndarray]:
  """All photographs of `read` as uint8 [H, W, 3], which memory can hold."""
  photos = read(roots, max_side)
  levels = photos.map(lambda photo: np.asarray(image.to_uint8(photo)))
  return list(levels.to_iter_dataset(READING))


def _read_one(root: str) -> grain.MapDataset:
  if root.startswith(datasets.PREFIX):
    name, split, folder = datasets.parse(root)
    return datasets.read(name, split, folder and paths.data_path(folder))
  files = images.list_images(paths.data_path(root))
  dataset = grain.MapDataset.source(files)
  return dataset.map(lambda file: images.load(file)[..., :3])


def _limit(hr: Array, max_side: int) -> Array:
  """The photograph, shrunk where a side is longer than `max_side`."""
  ratio = max(hr.shape[:2]) / max_side
  return image.shrink(hr, ratio) if ratio > 1 else hr
