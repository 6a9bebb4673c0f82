"""Captures described by one `transforms.json` (nerfstudio, instant-ngp).

Poses are camera-to-world with OpenGL axes (x right, y up, z backward).
Intrinsics stand at the top of the file or in a frame, which wins; lens
distortion follows OpenCV and is removed on load.
"""

import math
import os
import pathlib
import warnings
from collections.abc import Iterator

import numpy as np

from sr3d_jax import capture, geometry, lenses
from sr3d_jax.io import images, paths, ply, transforms
from sr3d_jax.types import Scene

SUFFIXES = ('', '.png', '.jpg', '.jpeg', '.PNG', '.JPG')
CLOUD = 'points3D.ply'
LENS = ('k1', 'k2', 'p1', 'p2', 'k3')
PINHOLES = ('OPENCV', 'PINHOLE', 'SIMPLE_PINHOLE', 'SIMPLE_RADIAL', 'RADIAL')
# Keys of other lenses, by instant-ngp and nerfstudio. A pinhole's k4 is among
# them: nerfstudio's rays take it for the factor of r⁸, OpenCV's for that of r²
# in a denominator.
STRANGE = (
  'is_fisheye', *(f'ftheta_p{i}' for i in range(5)), 'latlong',
  'equirectangular', 'orthographic',
  'k4', 'k5', 'k6', 'omega', 'distortion_params',
)  # fmt: skip


def make(
  *,
  root: str,
  size: tuple[int, int] | None = None,
  downscale: float | None = None,
  masks: str = 'composite',
  triangulate: bool = True,
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
  """Loads the frames whose files are there, sorted by name.

  A frame's `split` ('train'; anything else is held out) decides, or else every
  eighth view is a test view. Points come from the file that `ply_file_path`
  names, or else from `points3D.ply` beside the `transforms.json`.

  Args:
    root: the folder of a `transforms.json`, or such a file by any name.
    size: (width, height) of the views; None keeps the photos' size.
    downscale: in place of `size`, the factor to shrink by.
    masks: 'composite' or 'ignore', see `capture.make_views`.
    triangulate: whether to look for points where the files hold none; see
      `capture.find_points`.
    background: lies behind transparent and masked pixels.

  Returns:
    The scene.
  """
  path = paths.data_path(root)
  path = path / 'transforms.json' if path.is_dir() else path
  if not path.is_file():
    raise FileNotFoundError(
      f'{path.parent} has no {path.name}, where the poses would be: for plain '
      'photos pass --config.scene.name=photos, for a COLMAP model '
      '--config.scene.name=colmap'
    )
  header = _read(path)
  files = _existing(path, header['frames'])
  cloud = _cloud(path, header)
  return capture.assemble(
    path.parent.name,
    _frames(path.parent, header, files),
    points=None if cloud is None else ply.load_points(cloud),
    triangulate=triangulate,
    size=size,
    downscale=downscale,
    masks=masks,
    background=background,
  )


def _read(path: pathlib.Path) -> dict:
  """The file's content, checked for lenses we know."""
  header = transforms.load(path)
  for frame in header['frames']:
    values = {**header, **frame}
    strange = [key for key in STRANGE if np.any(values.get(key, 0))]
    if values.get('camera_model', 'OPENCV') not in PINHOLES:
      strange = ['camera_model', *strange]
    if strange:
      raise ValueError(
        f'{frame["file_path"]} of {path} has {strange[0]} '
        f'{values[strange[0]]}, a lens that is not known here (camera_model '
        f'may be {", ".join(PINHOLES)}, the other keys {", ".join(LENS)}): '
        'undistort the photos first, or place them anew with scene.name '
        'photos and its camera_model OPENCV_FISHEYE or FULL_OPENCV'
      )
  return header


def _cloud(path: pathlib.Path, header: dict) -> pathlib.Path | None:
  """The file of points; None where there is none."""
  name = header.get('ply_file_path')
  cloud = path.parent / (name or CLOUD)
  if cloud.is_file():
    return cloud
  if name:
    raise FileNotFoundError(
      f'{path} has its points in {cloud}, which does not exist: put it there, '
      'or take ply_file_path out'
    )
  return None


def _existing(
  path: pathlib.Path, frames: list[dict]
) -> list[tuple[pathlib.Path, dict]]:
  """(image file, frame) pairs sorted by name; warns how many have no file."""
  found = []
  for frame in frames:
    stem = str(path.parent / frame['file_path'])
    candidates = (pathlib.Path(stem + suffix) for suffix in SUFFIXES)
    file = next((file for file in candidates if file.is_file()), None)
    if file is not None:
      found.append((file, frame))
  if not found:
    raise FileNotFoundError(
      f'none of the {len(frames)} frames of {path} has an image file: the '
      f'first would be {path.parent / frames[0]["file_path"]}'
    )
  if len(found) < len(frames):
    warnings.warn(
      f'{len(frames) - len(found)} of {len(frames)} frames of {path} have no '
      'image file and are skipped',
      stacklevel=3,
    )
  return sorted(found, key=lambda pair: pair[0])


def _frames(
  folder: pathlib.Path, header: dict, files: list[tuple[pathlib.Path, dict]]
) -> Iterator[capture.Frame]:
  """Reads one photo after the other."""
  common = os.path.commonpath([file.parent for file, _ in files])
  for file, frame in files:
    image = images.load(file)
    values = {**header, **frame}
    mask = values.get('mask_path')
    split = values.get('split')
    focal, center, size = _intrinsics(values, image, file)
    yield capture.Frame(
      name=file.relative_to(common).as_posix(),
      image=image,
      world_to_cam=_pose(frame, file),
      focal=focal,
      center=center,
      size=size,
      lens=lenses.opencv(*(float(values.get(key, 0)) for key in LENS)),
      mask=images.load(folder / mask)[..., 0] if mask else None,
      is_test=None if split is None else split != 'train',
    )


def _pose(frame: dict, file: pathlib.Path) -> np.ndarray:
  """[4, 4] world_to_cam with OpenCV axes."""
  cam_to_world = capture.check_pose(frame['transform_matrix'], file.name)
  return np.asarray(
    geometry.invert_pose(geometry.opengl_to_opencv(cam_to_world))
  )


def _intrinsics(
  values: dict, image: np.ndarray, file: pathlib.Path
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
  """Focal lengths and centre, px, and the size that they are meant for."""
  width = float(values.get('w', image.shape[1]))
  height = float(values.get('h', image.shape[0]))
  if 'fl_x' in values:
    focal_x = float(values['fl_x'])
  elif 'camera_angle_x' in values:
    focal_x = 0.5 * width / math.tan(0.5 * float(values['camera_angle_x']))
  else:
    raise ValueError(f'{file.name} has neither fl_x nor camera_angle_x')
  focal = focal_x, float(values.get('fl_y', focal_x))
  center = values.get('cx', width / 2), values.get('cy', height / 2)
  return focal, (float(center[0]), float(center[1])), (width, height)
