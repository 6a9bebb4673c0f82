"""Splats of a file as a scene: their renders are its photos.

So a finished scene, or one from elsewhere, can be super-resolved, or serve as a
subject whose poses are exact. `io/splat_files` says which files are read.
"""

import pathlib
from collections.abc import Iterator

import numpy as np

from sr3d_jax import capture, geometry, sh, trajectories
from sr3d_jax.io import cameras_json, paths, splat_files
from sr3d_jax.projection import ALPHA_MIN
from sr3d_jax.render import render_views
from sr3d_jax.types import Camera, Gaussians, Scene

TINY = {'num_views': 9, 'size': (24, 18)}

ORBIT_SIZE = (320, 240)  # px
FIELD_OF_VIEW = np.radians(44)  # across the shorter side
ELEVATION = np.radians(20)  # of the orbit, above its centre
CONTENT = 0.9  # of the Gaussians lie in the sphere that fills a view


def make(
  *,
  root: str,
  cameras: str | None = None,
  num_views: int = 32,
  up: tuple[float, float, float] | None = None,
  size: tuple[int, int] | None = None,
  downscale: float | None = None,
  triangulate: bool = True,
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
  """Renders the splats; every eighth view by name is a test view.

  Args:
    root: a .ply, .compressed.ply, .splat or .spz file.
    cameras: a `cameras.json` beside it; None circles the splats from outside,
      rising and falling, which suits an object better than a room.
    num_views: on the circle.
    up: the direction that the circle is level to; None: (0, 0, 1) for a .ply,
      and (0, -1, 0) for the formats of viewers, in which y points down. A .ply
      of photos that COLMAP posed often wants (0, -1, 0) too.
    size: (width, height) of the views; None: what `cameras` says, or 320 x 240.
    downscale: in place of `size`, the factor to shrink those by.
    triangulate: whether to take the means as points; without, the scene has
      none, so that they can be found in coarser views.
    background: lies behind the splats.

  Returns:
    The scene; colours are those of the harmonics' constant part.
  """
  path = paths.data_path(root)
  if not path.is_file():
    raise ValueError(f'{path} is a folder: root should name a file of splats')
  up = _up(path) if up is None else up
  _check(num_views, up, size, downscale)
  gaussians = splat_files.load(path)
  is_seen = np.asarray(gaussians.opacities) >= ALPHA_MIN
  if not is_seen.any():
    raise ValueError(
      f'{path} shows nothing: none of its {len(is_seen)} Gaussians is as '
      f'opaque as {ALPHA_MIN:.4f}'
    )
  points = np.asarray(gaussians.means)[is_seen]
  colors = 0.5 + sh.C0 * np.asarray(gaussians.sh)[is_seen, 0]
  if cameras is None:
    names = tuple(f'view_{i:03d}' for i in range(num_views))
    views = _around(points, num_views, np.array(up), size or ORBIT_SIZE)
  else:
    views, names = cameras_json.load(_beside(path, cameras))
  views = views.at_size(*size) if size else views.at_scale(1 / (downscale or 1))
  return capture.assemble(
    path.stem,
    _frames(gaussians, views, names, background),
    points=(points, np.clip(colors, 0, 1)) if triangulate else None,
    triangulate=triangulate,
    background=background,
  )


def _check(num_views, up, size, downscale) -> None:
  """Raises where keys make no path or no size."""
  if num_views < 1 or not np.linalg.norm(up) > 0:
    raise ValueError(
      f'num_views should be at least 1 and up should have a length, got '
      f'{num_views} and {up}'
    )
  if size is not None and downscale is not None:
    raise ValueError(f'give size={size} or downscale={downscale}, not both')


def _up(path: pathlib.Path) -> tuple[float, float, float]:
  """What is up in a format, where nothing else is said."""
  name = path.name.lower()
  is_plain = name.endswith('.ply') and not name.endswith('.compressed.ply')
  return (0.0, 0.0, 1.0) if is_plain else (0.0, -1.0, 0.0)


def _beside(path: pathlib.Path, name: str) -> pathlib.Path:
  """The file `name` in the folder of `path`; an absolute name stays."""
  file = path.parent / name
  if not file.is_file():
    raise FileNotFoundError(
      f'{file} does not exist: cameras should name a cameras.json beside '
      f'{path.name}, or be None for an orbit'
    )
  return file


def _around(
  points: np.ndarray, num_views: int, up: np.ndarray, size: tuple[int, int]
) -> Camera:
  """Cameras [V] on a wave around points [P, 3], which they hold in view."""
  center = np.median(points, axis=0)
  radius = np.quantile(np.linalg.norm(points - center, axis=-1), CONTENT)
  distance = max(radius, 1e-3) / np.sin(FIELD_OF_VIEW / 2)
  up = up / np.linalg.norm(up)
  east = np.cross(up, np.eye(3)[np.abs(up).argmin()])
  east = east / np.linalg.norm(east)
  north = np.cross(up, east)
  ring = np.stack([east, north, -east, -north])
  heading = np.cos(ELEVATION) * ring + np.sin(ELEVATION) * up
  focal = 0.5 * min(size) / np.tan(FIELD_OF_VIEW / 2)
  corners = Camera(
    world_to_cam=geometry.look_at(center + distance * heading, center, up),
    focal=np.full((4, 2), focal, np.float32),
    center=np.tile(np.float32(size) / 2, (4, 1)),
    width=size[0],
    height=size[1],
  )
  return trajectories.sinusoid(corners, num_views, closed=True)


def _frames(
  gaussians: Gaussians,
  cameras: Camera,
  names: tuple[str, ...],
  background: tuple[float, float, float],
) -> Iterator[capture.Frame]:
  """Renders of all the cameras, once their poses are known to be poses."""
  for name, pose in zip(names, cameras.world_to_cam, strict=True):
    capture.check_pose(pose, name)
  images = render_views(gaussians, cameras, background=background)
  for i, (name, image) in enumerate(zip(names, images, strict=True)):
    yield capture.Frame(
      name=name,
      image=np.clip(image, 0, 1),
      world_to_cam=np.asarray(cameras.world_to_cam[i]),
      focal=np.asarray(cameras.focal[i]),
      center=np.asarray(cameras.center[i]),
    )
