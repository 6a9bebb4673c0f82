"""Plain photos: cameras and points come from structure from motion.

Two mappers place the photos; where they disagree, a line says so, since a scene
that repeating texture has bent shows no larger error of its own.
"""

import pathlib
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

from sr3d_jax import capture
from sr3d_jax.io import colmap, paths, sfm
from sr3d_jax.io import images as image_files
from sr3d_jax.types import Scene

MIN_PHOTOS = 3  # one of them is held out
MAX_DISAGREEMENT = 0.02  # of the scene's radius; good ones differ by 0.002


def make(
  *,
  root: str,
  camera_model: str = 'OPENCV',
  min_matches: int = 100,
  size: tuple[int, int] | None = None,
  downscale: float | None = None,
  triangulate: bool = True,
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
  """Places the photos of a folder; every eighth by name is a test view.

  Takes minutes once; the result is cached under a hash of the photos. The EXIF
  orientation is applied. Upright photos have one size, or need `size`: then
  some may be stretched, and their intrinsics with them.

  Args:
    root: the folder of photos.
    camera_model: COLMAP's; 'SIMPLE_RADIAL' asks least of few photos,
      'OPENCV_FISHEYE' suits action cameras. Photos are undistorted.
    min_matches: that two photos share to count, see `sfm.reconstruct`.
    size: (width, height) of the views; None keeps the photos' size.
    downscale: in place of `size`, the factor to shrink by.
    triangulate: whether to take the points found with the cameras; without, the
      scene has none, so that they can be found in coarser views.
    background: lies behind transparent pixels.

  Returns:
    The scene; its unit of length is arbitrary.
  """
  folder = paths.data_path(root)
  files = {file.name: file for file in image_files.list_images(folder)}
  if len(files) < MIN_PHOTOS:
    raise ValueError(
      f'{folder} holds {len(files)} photos, at least {MIN_PHOTOS} are needed: '
      'two to see depth, and one to test'
    )
  if size is None:
    capture.check_sizes(files, [_upright_size(f) for f in files.values()])
  models = sfm.reconstruct(
    list(files.values()), camera_model=camera_model, min_matches=min_matches
  )
  photos, points, colors = colmap.read_model(models / sfm.MODELS[0])
  _warn_of_missing(folder, files, photos)
  _warn_of_disagreement(photos, models / sfm.MODELS[1])
  return capture.assemble(
    folder.name,
    _frames(files, photos),
    points=(points, colors) if triangulate else None,
    triangulate=False,
    size=size,
    downscale=downscale,
    background=background,
  )


def _upright_size(file: pathlib.Path) -> tuple[int, int]:
  """(width, height) of a photo as it should be looked at."""
  try:
    with Image.open(file) as photo:
      is_turned = photo.getexif().get(ExifTags.Base.Orientation, 1) > 4
      return photo.size[::-1] if is_turned else photo.size
  except OSError as error:
    raise ValueError(f'{file} is not a readable image: {error}') from error


def _warn_of_missing(
  folder: pathlib.Path,
  files: dict[str, pathlib.Path],
  photos: list[colmap.Photo],
) -> None:
  """Names the photos that have no place, if any."""
  missing = sorted(files.keys() - {photo.name for photo in photos})
  if missing:
    advice = ''
    if 2 * len(photos) < len(files):
      advice = '; most are lost: take more photos between these and the others'
    warnings.warn(
      f'only {len(photos)} of the {len(files)} photos in {folder} could be '
      f'placed, without {", ".join(missing)}{advice}',
      stacklevel=3,
    )


def _warn_of_disagreement(
  photos: list[colmap.Photo], second: pathlib.Path
) -> None:
  """Compares the cameras with those of the second model."""
  others = colmap.read_model(second)[0] if second.exists() else []
  pairs = {photo.name: _position(photo) for photo in others}
  shared = [photo for photo in photos if photo.name in pairs]
  if 2 * len(shared) < len(photos) or len(shared) < MIN_PHOTOS:
    warnings.warn(
      f'a second mapper placed only {len(shared)} of the {len(photos)} photos: '
      'the cameras are unchecked',
      stacklevel=3,
    )
    return
  error = sfm.disagreement(
    np.array([_position(photo) for photo in shared]),
    np.array([pairs[photo.name] for photo in shared]),
  )
  if error > MAX_DISAGREEMENT:
    warnings.warn(
      f'two mappers place the cameras {100 * error:.1f} % of the scene radius '
      'apart: repeating texture may have bent the scene; try a larger '
      'min_matches',
      stacklevel=3,
    )


def _position(photo: colmap.Photo) -> np.ndarray:
  """[3] where a photo was taken."""
  rotation, shift = photo.world_to_cam[:3, :3], photo.world_to_cam[:3, 3]
  return -rotation.T @ shift


def _frames(
  files: dict[str, pathlib.Path], photos: list[colmap.Photo]
) -> Iterator[capture.Frame]:
  """Reads one photo after the other; cameras may speak of smaller copies."""
  for photo in photos:
    image = image_files.load(files[photo.name])
    yield capture.Frame(image=image, **photo._asdict())
