"""Turns posed photos into views: undistorts, masks, resizes and splits them.

The scene loaders read files and know formats; what their photos have in common
is here, as functions on arrays.
"""

import collections
import dataclasses
import functools
import warnings
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from sr3d_jax import geometry, lenses
from sr3d_jax import image as image_lib
from sr3d_jax.io import colmap
from sr3d_jax.types import Array, Camera, Scene, Views, only_pinholes

Color = tuple[float, float, float]
MIN_POINTS = 100  # fewer triangulated ones are no use as a start
TEST_EVERY = 8  # of the sorted names: the field's habit since LLFF


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
  """One photo with what its file says about it.

  Attributes:
    name: file name, below the folder that all have in common.
    image: [H, W, 3], or [H, W, 4] with straight alpha, float32 in [0, 1].
    world_to_cam: [4, 4], x right, y down, z forward.
    focal: (x, y) px, for an image of `size`.
    center: (x, y) px, for an image of `size`.
    size: (width, height) the intrinsics speak of, or None: the image's own.
    lens: see `lenses`; None for a pinhole.
    mask: [H, W] in [0, 1], 1 where the photo counts, or None.
    is_test: None where the file does not say.
  """

  name: str
  image: np.ndarray
  world_to_cam: np.ndarray
  focal: tuple[float, float]
  center: tuple[float, float]
  size: tuple[int, int] | None = None
  lens: lenses.Lens | None = None
  mask: np.ndarray | None = None
  is_test: bool | None = None


def make_views(
  frames: Iterable[Frame],
  *,
  size: tuple[int, int] | None = None,
  downscale: float | None = None,
  shrink: str = 'bicubic',
  square: bool = False,
  masks: str = 'composite',
  background: Color = (0.0, 0.0, 0.0),
) -> tuple[Views, tuple[str, ...], np.ndarray]:
  """Develops frames one by one, so that a generator need not hold them all.

  Args:
    frames: in path order.
    size: (width, height) of every view.
    downscale: in place of `size`, shrinks every photo by this factor.
    shrink: a method of `image.resize`, antialiased, in premultiplied colour.
    square: whether to cut the middle square out of each photo first.
    masks: 'composite' lays `background` where a mask is 0; 'ignore' keeps the
      photo and gives those pixels no weight.
    background: lies behind transparent pixels.

  Returns:
    The views, their names, and [V] bool, whether each is a test view.
  """
  _check_options(size, downscale, masks)
  develop = functools.partial(
    _develop,
    size=size,
    downscale=downscale,
    shrink=shrink,
    square=square,
    masks=masks,
    background=background,
  )
  developed = [develop(frame) for frame in frames]
  if not developed:
    raise ValueError('there are no frames to make views of')
  names, images, weights, poses, focals, centers, marks = zip(*developed)
  _check_names(names)
  check_sizes(names, [image.shape[1::-1] for image in images])
  height, width = images[0].shape[:2]
  weights = np.stack(weights)
  views = Views(
    images=np.stack(images),
    cameras=Camera(
      world_to_cam=np.stack(poses),
      focal=np.stack(focals),
      center=np.stack(centers),
      width=width,
      height=height,
    ),
    weights=None if weights.all() else weights,
  )
  return views, names, _split(names, marks)


def assemble(
  name: str,
  frames: Iterable[Frame],
  *,
  points: tuple[Array, Array] | None = None,
  triangulate: bool = True,
  num_views: tuple[int, int] | None = None,
  background: Color = (0.0, 0.0, 0.0),
  **options: Any,
) -> Scene:
  """Makes a scene of frames: what most loaders end in.

  Args:
    name: for reports.
    frames: see `make_views`.
    points: [P, 3] points and [P, 3] colours; None where the files hold none.
    triangulate: whether to look for points then, see `find_points`.
    num_views: how many training and test views there should be, as where a
      protocol is published; None: any.
    background: lies behind transparent and masked pixels.
    **options: of `make_views`.

  Returns:
    The scene.
  """
  views, names, is_test = make_views(frames, background=background, **options)
  _check_num_views(name, is_test, num_views)
  scene = make_scene(name, views, names, is_test, background=background)
  if points is None:
    points = find_points(scene.train, triangulate=triangulate)
  return dataclasses.replace(
    scene,
    points=np.asarray(points[0], np.float32),
    colors=np.asarray(points[1], np.float32),
  )


def make_scene(
  name: str,
  views: Views,
  names: tuple[str, ...],
  is_test: np.ndarray,
  *,
  points: np.ndarray | None = None,
  colors: np.ndarray | None = None,
  background: Color = (0.0, 0.0, 0.0),
) -> Scene:
  """Divides views into training and test views and adds points, if any."""
  is_test = np.asarray(is_test, bool)
  if (~is_test).sum() < 2:
    raise ValueError(
      f'{name} has {(~is_test).sum()} training views of {len(names)} in all: '
      'at least two are needed to see depth'
    )
  none = np.zeros((0, 3), np.float32)
  return Scene(
    name=name,
    train=pick(views, ~is_test),
    test=pick(views, is_test),
    train_names=tuple(np.array(names)[~is_test].tolist()),
    test_names=tuple(np.array(names)[is_test].tolist()),
    points=none if points is None else np.asarray(points, np.float32),
    colors=none if colors is None else np.asarray(colors, np.float32),
    background=tuple(background),
  )


def _check_num_views(
  name: str, is_test: np.ndarray, wanted: tuple[int, int] | None
) -> None:
  found = int((~is_test).sum()), int(is_test.sum())
  if wanted is not None and found != tuple(wanted):
    raise ValueError(
      f'{name} has {found[0]} training and {found[1]} test views, expected '
      f'{wanted[0]} and {wanted[1]}: complete the photos, or set num_views to '
      'those found where another split than the published one is meant'
    )


def find_points(
  views: Views, *, triangulate: bool = True
) -> tuple[np.ndarray, np.ndarray]:
  """Points for a capture whose files have none.

  Args:
    views: training views; the poses stay as they are.
    triangulate: whether to look for points at all; the result is cached.

  Returns:
    [P, 3] points and [P, 3] colours: triangulated by COLMAP, or random where
    most cameras look if pycolmap is absent or nothing matches (it says so).
  """
  if not triangulate:
    return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)
  reason = 'pycolmap is absent (pip install sr3d_jax[data])'
  if colmap.is_available():
    points, colors = colmap.triangulate(views)
    if len(points) >= MIN_POINTS:
      return points, colors
    reason = f'COLMAP triangulated only {len(points)} points'
  warnings.warn(f'{reason}: the scene starts from random points', stacklevel=2)
  points = random_points(np.random.default_rng(0), views.cameras)
  return points, np.full_like(points, 0.5)


def random_points(
  rng: np.random.Generator, cameras: Camera, num_points: int = 20_000
) -> np.ndarray:
  """At most `num_points` points [P, 3] where the cameras look, at least one.

  Each is seen by half as many cameras as the one that most of them see.
  """
  only_pinholes(cameras, 'random_points')
  poses = np.asarray(cameras.world_to_cam)
  center = np.asarray(geometry.scene_center(cameras.world_to_cam))
  reach = np.linalg.norm(np.asarray(cameras.position) - center, axis=-1).max()
  points = center + rng.uniform(-reach, reach, (4 * num_points, 3))
  num_seen = np.zeros(len(points), int)
  focals, centers = np.asarray(cameras.focal), np.asarray(cameras.center)
  for pose, focal, middle in zip(poses, focals, centers):
    local = points @ pose[:3, :3].T + pose[:3, 3]
    depth = np.maximum(local[:, 2:], 1e-6)
    pixels = local[:, :2] / depth * focal + middle
    is_inside = (pixels >= 0) & (pixels < (cameras.width, cameras.height))
    num_seen += is_inside.all(axis=-1) & (local[:, 2] > 0.05 * reach)
  is_common = 2 * num_seen >= num_seen.max()
  return points[is_common][:num_points].astype(np.float32)


def pick(views: Views, chosen: np.ndarray) -> Views:
  """The views that an index array or a mask chooses."""
  weights = views.weights
  return Views(
    images=views.images[chosen],
    cameras=jax.tree.map(lambda x: x[chosen], views.cameras),
    weights=None if weights is None else weights[chosen],
  )


def check_sizes(names: Iterable[str], sizes: Iterable[tuple[int, int]]) -> None:
  """Raises unless all images have one size (width, height), px."""
  sizes = [tuple(size) for size in sizes]
  count = collections.Counter(sizes).most_common()
  if len(count) > 1:
    (usual, _), (other, number) = count[0], count[-1]
    odd = list(names)[sizes.index(other)]
    raise ValueError(
      f'the images have {len(count)} sizes: most are {usual[0]} x {usual[1]}, '
      f'{number} like {odd} are {other[0]} x {other[1]}: pass size=(width, '
      'height) to bring all to one'
    )


def check_pose(pose: np.ndarray, name: str) -> np.ndarray:
  """Returns a rigid pose [4, 4] with its rotation made exact, or raises."""
  pose = np.asarray(pose, np.float64)
  if pose.shape == (3, 4):
    pose = np.concatenate([pose, [[0, 0, 0, 1]]])
  if pose.shape != (4, 4) or not np.isfinite(pose).all():
    raise ValueError(
      f'the pose of {name} should be 4 x 4 finite numbers, got {pose.tolist()}'
    )
  u, singular, vt = np.linalg.svd(pose[:3, :3])
  if np.abs(singular - 1).max() > 0.02 or np.linalg.det(u @ vt) < 0:
    raise ValueError(
      f'the pose of {name} is not a rotation and a shift: its axes have '
      f'singular values {singular.round(4).tolist()}, wanted 1, 1, 1, and '
      f'determinant {np.linalg.det(pose[:3, :3]):.4g}, wanted 1'
    )
  rigid = np.eye(4, dtype=np.float32)
  rigid[:3, :3], rigid[:3, 3] = u @ vt, pose[:3, 3]
  return rigid


def _develop(
  frame: Frame, *, size, downscale, shrink, square, masks, background
) -> tuple:
  """Name, image, weights, pose, focal, centre and split of one frame."""
  rgb, alpha = frame.image[..., :3], frame.image[..., 3:]
  height, width = rgb.shape[:2]
  alpha = alpha if alpha.size else np.ones_like(rgb[..., :1])
  trust = np.ones_like(alpha)
  if frame.mask is not None:
    if frame.mask.shape != (height, width):
      raise ValueError(
        f'the mask of {frame.name} is {frame.mask.shape}, its image is '
        f'{(height, width)}: they should be alike'
      )
    mask = frame.mask[..., None]
    alpha, trust = (
      (alpha * mask, trust) if masks == 'composite' else (alpha, mask)
    )

  focal, center = _intrinsics(frame, width, height)
  planes = np.concatenate([rgb * alpha, alpha, trust], axis=-1)
  if frame.lens is not None:
    planes, is_inside = lenses.undistort(planes, focal, center, frame.lens)
    planes[..., 4] *= is_inside
  if square:
    planes, center = _middle(planes, center)
    height, width = planes.shape[:2]
  new_width, new_height = size or (
    round(width / (downscale or 1)),
    round(height / (downscale or 1)),
  )
  if (new_width, new_height) != (width, height):
    planes = np.asarray(
      image_lib.resize(planes, new_height, new_width, method=shrink)
    )
  ratio = np.array([new_width / width, new_height / height])
  image = planes[..., :3] + (1 - planes[..., 3:4]) * np.float32(background)
  return (
    frame.name,
    np.clip(image, 0, 1).astype(np.float32),
    (planes[..., 4] > 0.99).astype(np.float32),
    check_pose(frame.world_to_cam, frame.name).astype(np.float32),
    (focal * ratio).astype(np.float32),
    (center * ratio).astype(np.float32),
    frame.is_test,
  )


def _middle(
  planes: np.ndarray, center: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The middle square of [H, W, C], whole pixels, and where its centre is."""
  height, width = planes.shape[:2]
  side = min(height, width)
  row, column = (height - side) // 2, (width - side) // 2
  planes = planes[row : row + side, column : column + side]
  return planes, center - (column, row)


def _intrinsics(
  frame: Frame, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
  """Focal and centre of the image at hand, px."""
  ratio = np.array([width, height]) / (frame.size or (width, height))
  focal, center = frame.focal * ratio, frame.center * ratio
  if abs(np.log(ratio[0] / ratio[1])) > 0.02:
    raise ValueError(
      f'{frame.name} is {width} x {height}, its camera is for '
      f'{frame.size[0]} x {frame.size[1]}: the proportions should agree (was '
      'the picture turned or cropped?)'
    )
  if not (np.isfinite([focal, center]).all() and (focal > 0).all()):
    raise ValueError(
      f'{frame.name} has focal length {frame.focal} and centre {frame.center}: '
      'the first should be positive, all finite'
    )
  return focal, center


def _split(
  names: tuple[str, ...], marks: tuple[bool | None, ...]
) -> np.ndarray:
  """[V] bool: what the file says, or every eighth of the sorted names."""
  if any(mark is not None for mark in marks):
    return np.array([bool(mark) for mark in marks])
  rank = np.argsort(np.argsort(names))
  return rank % TEST_EVERY == 0


def _check_options(size, downscale, masks: str) -> None:
  if size is not None and downscale is not None:
    raise ValueError(f'give size={size} or downscale={downscale}, not both')
  if downscale is not None and downscale < 1:
    raise ValueError(f'downscale must be at least 1, got {downscale}')
  if masks not in ('composite', 'ignore'):
    raise ValueError(f"masks is 'composite' or 'ignore', got {masks!r}")


def _check_names(names: tuple[str, ...]) -> None:
  """Raises if two views have one name: results are filed under it."""
  name, number = collections.Counter(names).most_common(1)[0]
  if number > 1:
    raise ValueError(
      f'{number} views are called {name}: give each photo a name of its own'
    )
