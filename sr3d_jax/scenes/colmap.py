"""Captures reconstructed by COLMAP, such as Mip-NeRF 360's."""

import pathlib
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
  size: tuple[int, int] | None = None,
  downscale: float | None = None,
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
  """Loads the registered photos; every eighth by name is a test view.

  Args:
    root: the folder that holds the photos and `sparse/0`.
    images: the folder of photos, such as 'images_4'; intrinsics follow.
    size: (width, height) of the views; None keeps the photos' size.
    downscale: in place of `size`, the factor to shrink by.
    background: lies behind transparent pixels.

  Returns:
    The scene.
  """
  folder = paths.data_path(root)
  photos, points, colors = colmap.read_model(_find_model(folder))
  views, names, is_test = capture.make_views(
    _frames(folder / images, photos),
    size=size,
    downscale=downscale,
    background=background,
  )
  return capture.make_scene(
    folder.name,
    views,
    names,
    is_test,
    points=points,
    colors=colors,
    background=background,
  )


def _find_model(folder: pathlib.Path) -> pathlib.Path:
  """The first of the usual places that holds a model."""
  for name in MODELS:
    if any((folder / name).glob('cameras.*')):
      return folder / name
  raise FileNotFoundError(
    f'{folder} holds no COLMAP model: looked in {", ".join(MODELS)}'
  )


def _frames(
  folder: pathlib.Path, photos: list[colmap.Photo]
) -> Iterator[capture.Frame]:
  """Reads one photo after the other; a smaller copy may be a PNG."""
  for photo in photos:
    file = folder / photo.name
    file = file if file.is_file() else file.with_suffix('.png')
    yield capture.Frame(image=image_files.load(file), **photo._asdict())
