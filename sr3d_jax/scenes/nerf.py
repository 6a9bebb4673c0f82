"""A radiance field as a scene: its photos are what it draws along a path.

`experiments.fit_nerf` makes the file. Few steps make a coarse field, so one can
ask how bad an input may be and still be made finer.
"""

import jax
import numpy as np

from sr3d_jax import capture, geometry, rays, trajectories
from sr3d_jax.io import nerf_files, paths, weights
from sr3d_jax.models import radiance
from sr3d_jax.types import Array, Camera, Scene, Views

TINY = {'num_views': 7, 'num_test': 2, 'size': (24, 18)}

PATHS = ('orbit', 'sinusoid', 'spiral')
OBSERVED = (0.1, 0.9)  # quantiles of the elevations that a spiral winds between
OPAQUE = 0.5  # alpha from which a ray is taken to have met something


def make(
  *,
  root: str,
  num_views: int = 32,
  num_test: int = 8,
  path: str = 'sinusoid',
  closed: bool | None = None,
  size: tuple[int, int] | None = None,
  downscale: float | None = None,
  num_points: int = 10_000,
  seed: int = 0,
) -> Scene:
  """Draws the field along a path around it, and along another for tests.

  Args:
    root: a `nerf.npz`.
    num_views: views to learn from, along `path`.
    num_test: held-out views: on a spiral, or, where that is the path, on an
      orbit.
    path: 'orbit', 'sinusoid', which rises and falls twice, or 'spiral'.
    closed: whether the paths go all the way round; None: where the cameras that
      the field learnt from do. They keep to the observed arc otherwise.
    size: (width, height) of the views; None: that of those cameras.
    downscale: in place of `size`, the factor to shrink those by.
    num_points: random points of the surfaces that the training views see, at
      the expected depths of their pixels.
    seed: of the choice of points.

  Returns:
    The scene; what lies behind the field is behind it.
  """
  _check(num_views, num_test, path, size, downscale)
  file = paths.data_path(root)
  nerf = nerf_files.load(file)
  try:
    network = radiance.make(**nerf.network)
    params = weights.as_params(nerf.arrays, network.init)
  except (TypeError, ValueError) as error:
    raise ValueError(
      f'{file} does not fit the field that it describes: {error}'
    ) from error
  cameras = nerf.cameras
  for i, pose in enumerate(cameras.world_to_cam):
    capture.check_pose(pose, f'camera {i} of {file.name}')
  elevations = _elevations(cameras.world_to_cam)
  if closed is None:
    closed = trajectories.goes_round(cameras)
  cameras = (
    cameras.at_size(*size) if size else cameras.at_scale(1 / (downscale or 1))
  )
  observed = tuple(float(np.quantile(elevations, q)) for q in OBSERVED)

  def along(kind, count):
    keys = {'elevations': observed} if kind == 'spiral' else {}
    walk = getattr(trajectories, kind)
    poses = walk(cameras, max(count, 1), closed=closed, **keys)
    return jax.tree.map(lambda x: np.asarray(x)[:count], poses)

  train = along(path, num_views)
  test = along('orbit' if path == 'spiral' else 'spiral', num_test)
  both = jax.tree.map(lambda *x: np.concatenate(x), train, test)
  drawn = radiance.render_views(network, params, both)
  points, colors = _points(
    np.random.default_rng(seed), drawn, train, num_points, file
  )
  names = [f'train_{i:03d}' for i in range(num_views)]
  names += [f'test_{i:03d}' for i in range(num_test)]
  return capture.make_scene(
    nerf.name,
    Views(images=np.clip(drawn['image'], 0, 1), cameras=both),
    tuple(names),
    np.arange(len(names)) >= num_views,
    points=points,
    colors=colors,
    background=tuple(nerf.network['background']),
  )


def _check(num_views, num_test, path, size, downscale) -> None:
  """Raises where keys make no path or no picture."""
  if num_views < 2 or num_test < 0:
    raise ValueError(
      'num_views should be at least 2 to see depth and num_test at least 0, '
      f'got {num_views} and {num_test}'
    )
  if path not in PATHS:
    raise ValueError(f'path is one of {", ".join(PATHS)}, got {path!r}')
  if size is not None and downscale is not None:
    raise ValueError(f'give size={size} or downscale={downscale}, not both')
  if (size is not None and min(size) < 1) or not (downscale or 1) >= 1:
    raise ValueError(
      f'views should be at least 1 x 1 px and downscale at least 1, got '
      f'size={size} and downscale={downscale}'
    )


def _elevations(world_to_cam: Array) -> np.ndarray:
  """Elevations [V] of cameras [V, 4, 4] above what they see, radians."""
  up = geometry.up_direction(world_to_cam)
  eyes = geometry.invert_pose(world_to_cam)[:, :3, 3]
  offsets = np.asarray(eyes - geometry.scene_center(world_to_cam))
  height = offsets @ np.asarray(up)
  return np.arcsin(height / np.linalg.norm(offsets, axis=-1))


def _points(
  rng: np.random.Generator,
  drawn: dict[str, np.ndarray],
  cameras: Camera,
  num_points: int,
  file,
) -> tuple[np.ndarray, np.ndarray]:
  """Points [P, 3] where cameras [V] see surfaces, with their colours [P, 3]."""
  count = len(cameras.focal)
  alpha = drawn['alpha'][:count].reshape(-1)
  seen = np.flatnonzero(alpha > OPAQUE)
  if not len(seen):
    raise ValueError(
      f'{file} shows nothing from its path: no ray is stopped by half; fit it '
      'for more steps, or look at its box'
    )
  chosen = rng.choice(seen, min(num_points, len(seen)), replace=False)
  through = rays.through(cameras, chosen)
  depth = drawn['depth'][:count].reshape(-1)[chosen] / alpha[chosen]
  points = through['origins'] + depth[:, None] * through['directions']
  colors = drawn['image'][:count].reshape(-1, 3)[chosen]
  return points, np.clip(colors, 0, 1)
