"""Forward-facing captures of LLFF: `poses_bounds.npy` beside image folders.

Each row of the file is a 3 x 5 matrix [R | t | (height, width, focal)] and two
depth bounds. R's columns are the camera's down, right and backward axes; the
intrinsics are those of the original photos.
"""

import pathlib
from collections.abc import Iterator

import numpy as np

from sr3d_jax import capture
from sr3d_jax.io import images as image_files
from sr3d_jax.io import paths, ply
from sr3d_jax.types import Scene


def make(
  *,
  root: str,
  images: str = 'images',
  size: tuple[int, int] | None = None,
  downscale: float | None = None,
  triangulate: bool = True,
  num_views: tuple[int, int] | None = None,
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
  """Loads one image folder of the scene; every eighth view is a test view.

  Args:
    root: the folder of `poses_bounds.npy`.
    images: the folder of photos, such as 'images_2'; focal lengths follow.
    size: (width, height) of the views; None keeps the photos' size.
    downscale: in place of `size`, the factor to shrink by.
    triangulate: whether to look for points where no `points3D.ply` is; see
      `capture.find_points`.
    num_views: how many training and test views a published protocol has; None:
      as many as there are.
    background: lies behind transparent pixels.

  Returns:
    The scene.
  """
  folder = paths.data_path(root)
  cloud = folder / 'points3D.ply'
  return capture.assemble(
    folder.name,
    _frames(folder, images),
    points=ply.load_points(cloud) if cloud.exists() else None,
    triangulate=triangulate,
    num_views=num_views,
    size=size,
    downscale=downscale,
    background=background,
  )


def read_poses(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Poses of a `poses_bounds.npy`.

  Args:
    path: of the file.

  Returns:
    [N, 4, 4] cam_to_world with OpenCV axes, [N, 3] (height, width, focal) px,
    [N, 2] nearest and farthest depth, scene units.
  """
  if not path.is_file():
    raise FileNotFoundError(f'{path.parent} is no LLFF scene: no {path.name}')
  try:
    rows = np.load(path, allow_pickle=False)
  except (ValueError, EOFError) as error:
    raise ValueError(f'{path} is not a NumPy file: {error}') from error
  if rows.ndim != 2 or rows.shape[1] != 17:
    raise ValueError(f'{path} should hold [N, 17] numbers, got {rows.shape}')
  matrices = rows[:, :15].reshape(-1, 3, 5)
  down, right, backward, position = np.moveaxis(matrices[..., :4], -1, 0)
  poses = np.tile(np.eye(4), (len(rows), 1, 1))
  poses[:, :3] = np.stack([right, down, -backward, position], axis=-1)
  return poses, matrices[..., 4], rows[:, 15:]


def _frames(folder: pathlib.Path, images: str) -> Iterator[capture.Frame]:
  """Reads one photo after the other; rows go with the sorted names."""
  poses, sizes, _ = read_poses(folder / 'poses_bounds.npy')
  files = image_files.list_images(folder / images)
  if len(files) != len(poses):
    raise ValueError(
      f'{folder} has {len(poses)} poses but {len(files)} images in '
      f'{images}: they are matched in order and must be as many'
    )
  for file, pose, (height, width, focal) in zip(files, poses, sizes):
    yield capture.Frame(
      name=file.name,
      image=image_files.load(file),
      world_to_cam=np.linalg.inv(capture.check_pose(pose, file.name)),
      focal=(focal, focal),
      center=(width / 2, height / 2),
      size=(width, height),
    )
