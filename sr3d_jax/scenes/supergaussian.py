"""A scene of SuperGaussian's test archive (Shen et al. 2024), MVImgNet objects.

    cam_extrinsics.pkl, cam_intrinsics.pkl      COLMAP's tuples, pickled
    xyz.pkl, rgb.pkl                            points of the coarse splats
    novel_trajectory_poses/{000,001}.json       world_to_cam, [T, 4, 4] each
    gt_rgb/NNN.png                              photos
    LR_131072_gaussian/NNN.png, traj_0_NNN.png, traj_1_NNN.png
    HR_131072_gaussian/...                      the same of the fine splats

As released: there are three clips, the captured path, `traj_1`, which is also
learnt from, and `traj_0`, which is only for evaluation and whose truth is drawn
from the fine splats, not photographed. Novel views have the intrinsics of the
last captured one, pictures are cut square and have their centre in the middle,
and the radial term is passed over. Pictures shrink bilinearly.

Nobody here has seen the archive: pictures and poses go together in the order of
their names, and counts that differ are an error.
"""

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from sr3d_jax import capture, geometry
from sr3d_jax.io import images as image_files
from sr3d_jax.io import paths, tuple_pickles
from sr3d_jax.types import Scene

COARSE, FINE = 'LR_131072_gaussian', 'HR_131072_gaussian'
PICKLES = ('cam_extrinsics.pkl', 'cam_intrinsics.pkl', 'xyz.pkl', 'rgb.pkl')
ORIGINAL = 'orig'
PATHS = {ORIGINAL: '', 'traj_0': 'traj_0_', 'traj_1': 'traj_1_'}
POSES = {'traj_0': '000.json', 'traj_1': '001.json'}
IMAGE = ('id', 'qvec', 'tvec', 'camera_id', 'name')  # and features
CAMERA = ('id', 'model', 'width', 'height', 'params')


def make(
  *,
  root: str,
  images: str = FINE,
  side: int | None = 256,
  train: tuple[str, ...] = (ORIGINAL, 'traj_1'),
  test: tuple[str, ...] = ('traj_0',),
  background: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Scene:
  """Loads one folder of pictures along the paths that are asked for.

  Args:
    root: the scene's folder.
    images: of the fine splats, with side 256, or of the coarse ones, with side
      64; `gt_rgb` has the captured path alone.
    side: of the views, px; None keeps the pictures' shorter side.
    train: paths to learn from: orig, traj_0 or traj_1.
    test: paths that are held out.
    background: for what learns from it; the pictures have theirs.

  Returns:
    The scene; its points are those of the coarse splats.
  """
  folder = paths.data_path(root)
  _check_paths(train, test)
  missing = [name for name in PICKLES if not (folder / name).is_file()]
  if missing:
    raise FileNotFoundError(
      f'{folder} is no scene of the archive: it has no {", ".join(missing)}; '
      'root should name the folder of one scene, fetched whole'
    )
  try:
    points = _array(folder / 'xyz.pkl', np.inexact)
    colors = _array(folder / 'rgb.pkl', np.integer)
    if len(points) != len(colors):
      raise ValueError(
        f'xyz.pkl has {len(points)} points and rgb.pkl {len(colors)} colours: '
        'they should be as many'
      )
    frames = _frames(folder, images, train, test)
    views, names, is_test = capture.make_views(
      frames,
      size=None if side is None else (side, side),
      shrink='bilinear',
      square=True,
      background=background,
    )
    return capture.make_scene(
      folder.name,
      views,
      names,
      is_test,
      points=points,
      colors=colors / 255,
      background=background,
    )
  except ValueError as error:
    raise ValueError(f'{folder.name}: {error}') from error


def read_cameras(
  folder: pathlib.Path,
) -> tuple[np.ndarray, list[tuple[float, float]], list[tuple[int, int]]]:
  """The captured cameras in the order of their names.

  Args:
    folder: of the two pickles, dictionaries by number or lists.

  Returns:
    [V, 4, 4] world_to_cam; V focal lengths (x, y), px, and sizes (width,
    height) that they are for.
  """
  cameras = {
    camera[0]: camera
    for camera in _records(folder / 'cam_intrinsics.pkl', CAMERA)
  }
  photos = sorted(
    _records(folder / 'cam_extrinsics.pkl', IMAGE), key=lambda photo: photo[4]
  )
  poses, focals, sizes = [], [], []
  for _, qvec, tvec, camera_id, name, *_ in photos:
    if camera_id not in cameras:
      raise ValueError(
        f'{name} has camera {camera_id}, but cam_intrinsics.pkl has '
        f'{", ".join(map(str, cameras))}: the two files should be of one model'
      )
    pose = np.eye(4)
    pose[:3, :3] = geometry.quat_to_rotation(_vector(qvec, 4, name))
    pose[:3, 3] = _vector(tvec, 3, name)
    poses.append(pose)
    _, model, width, height, params = cameras[camera_id]
    focals.append(_focal(model, params))
    sizes.append((int(width), int(height)))
  return np.stack(poses), focals, sizes


def _check_paths(train: tuple[str, ...], test: tuple[str, ...]) -> None:
  both = (*train, *test)
  if not set(both) <= set(PATHS) or len(set(both)) < len(both):
    raise ValueError(
      f'train and test are different paths of {", ".join(PATHS)}, got {train} '
      f'and {test}'
    )


def _frames(
  folder: pathlib.Path,
  images: str,
  train: tuple[str, ...],
  test: tuple[str, ...],
) -> Iterator[capture.Frame]:
  """Reads one picture after the other, in the order of their names."""
  captured, focals, sizes = read_cameras(folder)
  for path in sorted((*train, *test), key=PATHS.get):
    poses = captured if path == ORIGINAL else _novel_poses(folder, path)
    files = _pictures(folder / images, path)
    if len(poses) and not files:
      raise FileNotFoundError(
        f'{folder / images} holds no .png of {path}, {PATHS[path]}NNN.png: '
        'fetch the scene again, or name another folder or other paths'
      )
    if len(files) != len(poses):
      raise ValueError(
        f'{path} has {len(poses)} poses but {len(files)} pictures '
        f'{PATHS[path]}NNN.png in {images}: they are matched in order and must '
        'be as many; fetch the scene again'
      )
    for i, (file, pose) in enumerate(zip(files, poses)):
      # As released, novel views have the intrinsics of the last captured one.
      which = i if path == ORIGINAL else -1
      image = image_files.load(file)
      height, width = image.shape[:2]
      ratio = min(height, width) / min(sizes[which])
      focal_x, focal_y = focals[which]
      yield capture.Frame(
        name=file.name,
        image=image,
        world_to_cam=pose,
        focal=(focal_x * ratio, focal_y * ratio),
        center=(width / 2, height / 2),
        is_test=path in test,
      )


def _pictures(folder: pathlib.Path, path: str) -> list[pathlib.Path]:
  """The pictures of one path, sorted."""
  if not folder.is_dir():
    raise FileNotFoundError(
      f'{folder} is not there: images should name a folder of pictures, such '
      f'as {COARSE} or {FINE}'
    )
  wanted = re.compile(rf'{PATHS[path]}\d+\.png')
  return sorted(x for x in folder.iterdir() if wanted.fullmatch(x.name))


def _novel_poses(folder: pathlib.Path, path: str) -> np.ndarray:
  """[T, 4, 4] world_to_cam along a path that was not captured."""
  file = folder / 'novel_trajectory_poses' / POSES[path]
  try:
    poses = np.array(json.loads(file.read_text()), np.float64)
  except ValueError as error:  # of JSON, or of a ragged list
    raise ValueError(f'{file} is no list of 4 x 4 poses: {error}') from error
  if poses.size and poses.shape[1:] != (4, 4):
    raise ValueError(f'{file} should hold [T, 4, 4] numbers, got {poses.shape}')
  return poses


def _records(file: pathlib.Path, fields: tuple[str, ...]) -> list:
  """The tuples of a pickle; each begins with these fields."""
  tree = tuple_pickles.load(file)
  entries = list(tree.values()) if isinstance(tree, dict) else tree
  if not (isinstance(entries, list | tuple) and len(entries)):
    raise ValueError(f'{file} holds no cameras, but {type(tree).__name__}')
  for entry in entries:
    if not isinstance(entry, tuple) or len(entry) < len(fields):
      raise ValueError(
        f'{file} should hold tuples of {", ".join(fields)}, as COLMAP has '
        f'them, got {entry!r:.80}'
      )
  return list(entries)


def _array(file: pathlib.Path, kind: type) -> np.ndarray:
  """[N, 3] numbers of a pickle."""
  array = tuple_pickles.load(file)
  dtype = getattr(array, 'dtype', None)
  if dtype is None or array.shape[1:] != (3,) or not np.issubdtype(dtype, kind):
    word = 'whole' if kind is np.integer else 'floating'
    raise ValueError(
      f'{file} should hold an array [N, 3] of {word} numbers, got '
      f'{dtype or type(array).__name__} {getattr(array, "shape", "")}'
    )
  return array


def _vector(values: Any, length: int, name: str) -> np.ndarray:
  vector = np.asarray(values, np.float64)
  if vector.shape != (length,) or not np.isfinite(vector).all():
    raise ValueError(
      f'{name} should have {length} finite numbers, got {values!r:.80}'
    )
  return vector


def _focal(model: str, params: Any) -> tuple[float, float]:
  """Focal lengths, px, of one of COLMAP's camera models."""
  if model in ('SIMPLE_PINHOLE', 'SIMPLE_RADIAL', 'RADIAL'):
    return float(params[0]), float(params[0])
  if model in ('PINHOLE', 'OPENCV'):
    return float(params[0]), float(params[1])
  raise ValueError(
    f'camera model {model!r} is not known here: expected SIMPLE_RADIAL, or '
    'another of COLMAP that is nearly a pinhole'
  )
