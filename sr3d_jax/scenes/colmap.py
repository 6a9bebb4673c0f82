"""Captures reconstructed by COLMAP, such as Mip-NeRF 360's and MVImgNet's."""

import pathlib
import warnings
from collections.abc import Iterator

from sr3d_jax import capture
from sr3d_jax.io import colmap, paths
from sr3d_jax.io import images as image_files
from sr3d_jax.types import Scene

MODELS = ('sparse/0', 'sparse', 'colmap/sparse/0')


def make(
  *,
  root: str,
  images: str = 'images',
  mask_root: str | None = None,
  size: tuple[int, int] | None = None,
  downscale: float | None = None,
  masks: str = 'composite',
  triangulate: bool = True,
  num_views: tuple[int, int] | None = None,
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
  """Loads the registered photos; every eighth by name is a test view.

  Every camera model of COLMAP's is read and undistorted. Of several models,
  `sparse/0` counts. Photos that the model names but the folder lacks are
  skipped with a count.

  Args:
    root: the folder that holds the photos and `sparse/0`.
    images: the folder of photos, such as 'images_4'; intrinsics follow.
    mask_root: a folder of masks, NAME.png for the photo NAME (COLMAP's and
      MVImgNet's habit: '001.jpg.png'), white where the photo counts.
    size: (width, height) of the views; None keeps the photos' size.
    downscale: in place of `size`, the factor to shrink by.
    masks: 'composite' or 'ignore', see `capture.make_views`.
    triangulate: whether to take the model's points, or to look for some where
      it has none; without, they can still be found in coarser views.
    num_views: how many training and test views a published protocol has; None:
      as many as there are.
    background: lies behind transparent and masked pixels.

  Returns:
    The scene.
  """
  folder = paths.data_path(root)
  photos, points, colors = colmap.read_model(_find_model(folder))
  files = _existing(folder / images, photos)
  mask_folder = None if mask_root is None else paths.data_path(mask_root)
  return capture.assemble(
    folder.name,
    _frames(files, mask_folder),
    points=(points, colors) if triangulate and len(points) else None,
    triangulate=triangulate,
    num_views=num_views,
    size=size,
    downscale=downscale,
    masks=masks,
    background=background,
  )


def _find_model(folder: pathlib.Path) -> pathlib.Path:
  """The first of the usual places that holds a model."""
  for name in MODELS:
    if any((folder / name).glob('cameras.*')):
      return folder / name
  if (folder / 'sparse').is_dir():
    raise FileNotFoundError(
      f'{folder / "sparse"} holds no COLMAP model, as where the reconstruction '
      f'failed (looked in {", ".join(MODELS)}): leave this capture out, or '
      "place its photos anew with scene.name 'photos'"
    )
  raise FileNotFoundError(
    f'{folder} holds no COLMAP model: looked in {", ".join(MODELS)}'
  )


def _existing(
  folder: pathlib.Path, photos: list[colmap.Photo]
) -> list[tuple[pathlib.Path, colmap.Photo]]:
  """(file, photo) pairs; a smaller copy may be a PNG. Warns what is missing."""
  found = []
  for photo in photos:
    file = folder / photo.name
    file = file if file.is_file() else file.with_suffix('.png')
    if file.is_file():
      found.append((file, photo))
  if not found:
    raise FileNotFoundError(
      f'none of the {len(photos)} photos of the model is in {folder}'
      + (f': the first would be {photos[0].name}' if photos else '')
    )
  if len(found) < len(photos):
    warnings.warn(
      f'{len(photos) - len(found)} of the {len(photos)} photos of the model '
      f'are not in {folder} and are skipped',
      stacklevel=3,
    )
  return found


def _frames(
  files: list[tuple[pathlib.Path, colmap.Photo]],
  mask_folder: pathlib.Path | None,
) -> Iterator[capture.Frame]:
  """Reads one photo after the other, and its mask."""
  for file, photo in files:
    mask = None
    if mask_folder is not None:
      mask = image_files.load(mask_folder / f'{photo.name}.png')[..., 0]
    yield capture.Frame(
      image=image_files.load(file), mask=mask, **photo._asdict()
    )
