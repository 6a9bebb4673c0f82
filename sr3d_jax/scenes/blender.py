"""NeRF-synthetic scenes: `transforms_train.json` and `transforms_test.json`.

Pictures have straight alpha, their sizes may differ between the splits, and
`camera_angle_x` spans the width of each. They shrink by the mean over each new
pixel's area, in premultiplied colour. Axes are OpenGL's, z points up.
"""

import dataclasses
import math
import pathlib
from collections.abc import Iterator

import numpy as np

from sr3d_jax import capture, geometry
from sr3d_jax.io import images, paths, transforms
from sr3d_jax.types import Scene

HALF_SIDE = 1.3  # of the cube that holds these objects, scene units
SHRINK = 'area'  # how the field halves these pictures, premultiplied
GREY = 0.5  # colour of points that nobody has seen


def make(
  *,
  root: str,
  size: tuple[int, int] | None = None,
  downscale: float | None = None,
  test_size: tuple[int, int] | None = None,
  num_points: int = 100_000,
  seed: int = 0,
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
  """Loads the training and the test pictures.

  Args:
    root: the scene's folder.
    size: (width, height) of the training views; None keeps the files' size.
    downscale: in place of `size`, the factor to shrink training views by.
    test_size: (width, height) of the test views; None keeps the files' size.
    num_points: random points in the cube [-1.3, 1.3]³; the files have none.
    seed: of the points.
    background: lies behind transparent pixels.

  Returns:
    The scene.
  """
  folder = paths.data_path(root)
  train, train_names, is_test = capture.make_views(
    _frames(folder, 'train'),
    size=size,
    downscale=downscale,
    shrink=SHRINK,
    background=background,
  )
  test, test_names, _ = capture.make_views(
    _frames(folder, 'test'),
    size=test_size,
    shrink=SHRINK,
    background=background,
  )
  rng = np.random.default_rng(seed)
  points = rng.uniform(-HALF_SIDE, HALF_SIDE, (num_points, 3))
  scene = capture.make_scene(
    folder.name,
    train,
    train_names,
    np.zeros_like(is_test),
    points=points,
    colors=np.full_like(points, GREY),
    background=background,
  )
  return dataclasses.replace(scene, test=test, test_names=test_names)


def _frames(folder: pathlib.Path, split: str) -> Iterator[capture.Frame]:
  """Reads one picture after the other, in the file's order, which is a path."""
  path = folder / f'transforms_{split}.json'
  if not path.is_file():
    raise FileNotFoundError(
      f'{folder} is no Blender scene: it has no {path.name}'
    )
  header = transforms.load(path)
  if 'camera_angle_x' not in header:
    raise ValueError(f'{path} has no camera_angle_x, so no focal length')
  for frame in header['frames']:
    file = (folder / frame['file_path']).with_suffix('.png')
    if not file.is_file():
      raise FileNotFoundError(f'{path} names {file}, which does not exist')
    image = images.load(file)
    height, width = image.shape[:2]
    focal = 0.5 * width / math.tan(0.5 * header['camera_angle_x'])
    pose = capture.check_pose(frame['transform_matrix'], file.name)
    yield capture.Frame(
      name=file.relative_to(folder).as_posix(),
      image=image,
      world_to_cam=np.asarray(
        geometry.invert_pose(geometry.opengl_to_opencv(pose))
      ),
      focal=(focal, focal),
      center=(width / 2, height / 2),
    )
