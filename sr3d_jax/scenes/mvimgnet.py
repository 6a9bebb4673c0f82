"""Captures of MVImgNet (Yu et al. 2023), a folder an object.

    CLASS/INSTANCE/images/001.jpg, ...
    CLASS/INSTANCE/sparse/0/{cameras,images,points3D}.bin

Nearly a third of the set is incomplete: the reconstruction failed and `sparse`
is empty, or photos are missing. Most photos are upright, 1080 x 1920, and their
camera is SIMPLE_RADIAL: they are undistorted, the middle square is cut out, and
that is shrunk (SuperGaussian, Shen et al. 2024, takes 256 px for the fine and
64 px for the coarse views). Masks lie in a tree of their own.
"""

import pathlib
from collections.abc import Iterator

from sr3d_jax import capture
from sr3d_jax.io import colmap, paths
from sr3d_jax.io import images as image_files
from sr3d_jax.types import Scene

MODEL = pathlib.PurePath('sparse', '0')  # a second one is of other photos
PARTS = ('cameras', 'images', 'points3D')
MIN_VIEWS = 20  # of about 30; fewer leave gaps that no video network bridges


def make(
  *,
  root: str,
  side: int | None = 256,
  mask_root: str | None = None,
  masks: str = 'composite',
  min_views: int = MIN_VIEWS,
  max_missing: int = 0,
  triangulate: bool = True,
  num_views: tuple[int, int] | None = None,
  background: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Scene:
  """Loads the registered photos; every eighth by name is a test view.

  Args:
    root: CLASS/INSTANCE, the folder of `images` and `sparse`.
    side: of the views, px; None keeps the photos' shorter side.
    mask_root: the folder of this object in the tree of masks, NAME.png for the
      photo NAME ('001.jpg.png'), white where the photo counts.
    masks: 'composite' or 'ignore', see `capture.make_views`.
    min_views: photos that must be there and placed.
    max_missing: photos that the model knows and the folder may lack.
    triangulate: whether to take the model's points; without, the scene has
      none, so that they can be found in coarser views.
    num_views: how many training and test views a published protocol has; None:
      as many as there are.
    background: lies behind masked pixels.

  Returns:
    The scene.
  """
  folder = paths.data_path(root)
  name = '/'.join(folder.parts[-2:])
  _check_model(folder, name)
  try:
    photos, points, colors = colmap.read_model(folder / MODEL)
    photos = _existing(folder / 'images', photos, name, max_missing)
    if len(photos) < min_views:
      raise ValueError(
        f'{len(photos)} photos have a place, wanted at least {min_views}: '
        'leave this capture out, or set min_views'
      )
    return capture.assemble(
      name.replace('/', '_'),
      _frames(folder / 'images', photos, mask_root),
      points=(points, colors) if triangulate and len(points) else None,
      triangulate=triangulate,
      num_views=num_views,
      size=None if side is None else (side, side),
      square=True,
      masks=masks,
      background=background,
    )
  except ValueError as error:
    raise ValueError(f'{name}: {error}') from error


def _check_model(folder: pathlib.Path, name: str) -> None:
  """Raises, with what is wrong, unless the first model is whole."""
  model = folder / MODEL
  others = sorted(x.name for x in (folder / 'sparse').glob('*') if x.is_dir())
  missing = [part for part in PARTS if not _has_content(model, part)]
  if not missing:
    return
  if len(missing) == len(PARTS) and set(others) - {'0'}:
    what = f'has a model in sparse/{others[-1]}, and none in {MODEL}'
  elif len(missing) == len(PARTS) and (folder / 'sparse').is_dir():
    what = 'has an empty sparse folder: its reconstruction failed'
  else:
    what = f'lacks {", ".join(missing)} in {MODEL}'
  raise FileNotFoundError(
    f'{name} {what} ({model}): leave this capture out, fetch it again, or '
    "place its photos anew with scene.name 'photos'"
  )


def _has_content(model: pathlib.Path, part: str) -> bool:
  """Whether a model has a part, binary or text, that is not empty."""
  files = (model / f'{part}{suffix}' for suffix in ('.bin', '.txt'))
  return any(file.is_file() and file.stat().st_size for file in files)


def _existing(
  folder: pathlib.Path,
  photos: list[colmap.Photo],
  name: str,
  max_missing: int,
) -> list[colmap.Photo]:
  """The photos that are there; raises where too many are not."""
  missing = [x.name for x in photos if not (folder / x.name).is_file()]
  if photos and len(missing) == len(photos):
    raise FileNotFoundError(
      f'{name} has none of the {len(photos)} photos of its model in {folder}, '
      f'the first would be {missing[0]}: fetch them, or leave this capture out'
    )
  if len(missing) > max_missing:
    raise FileNotFoundError(
      f'{name} lacks {len(missing)} of the {len(photos)} photos of its model, '
      f'such as {missing[0]}: fetch it again, leave it out, or go on without '
      f'with max_missing={len(missing)}'
    )
  return [photo for photo in photos if photo.name not in missing]


def _frames(
  folder: pathlib.Path, photos: list[colmap.Photo], mask_root: str | None
) -> Iterator[capture.Frame]:
  """Reads one photo after the other, and its mask."""
  masks = None if mask_root is None else paths.data_path(mask_root)
  for photo in photos:
    mask = None
    if masks is not None:
      mask = image_files.load(masks / f'{photo.name}.png')[..., 0]
    image = image_files.load(folder / photo.name)
    yield capture.Frame(image=image, mask=mask, **photo._asdict())
