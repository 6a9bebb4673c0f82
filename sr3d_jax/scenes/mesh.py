"""A textured mesh as a scene: its photos are its pictures, from around it.

So a model can be made finer, or serve as a subject of exact poses and depths.
Its middle comes to the origin and its farthest vertex to a distance of 1; the
directions stay those of the file. `max_faces` makes the shape coarse and moves
no camera: the same mesh at two budgets is a pair of coarse and fine views.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from operator import itemgetter

import jax
import numpy as np

from sr3d_jax import capture, decimate, geometry, raycast, trajectories
from sr3d_jax.io import meshes, paths
from sr3d_jax.types import Camera, Scene, Views

TINY = {'num_views': 7, 'num_test': 2, 'size': (24, 18), 'supersample': 2}

SIZE = (256, 256)  # px
FIELD_OF_VIEW = np.radians(40)  # across the shorter side
ELEVATION = np.radians(30)  # of the path's middle
ELEVATIONS = (np.radians(15), np.radians(45))  # where a spiral winds
AMPLITUDE = 0.25  # of a sinusoid's height: 18 to 40 degrees
TURNS = 2  # of a spiral
MARGIN = 1.1  # the sinusoid comes nearest at its lowest, by 9 %
PATHS = ('orbit', 'sinusoid', 'spiral')
LIGHTS = ('bare', 'all', 'none')
POINT_COARSENESS = 4  # first colours come from views that many times coarser


def make(
  *,
  root: str,
  num_views: int = 32,
  num_test: int = 8,
  path: str = 'sinusoid',
  up: tuple[float, float, float] = (0.0, 1.0, 0.0),
  size: tuple[int, int] | None = None,
  downscale: float | None = None,
  max_faces: int | None = None,
  light: str = 'bare',
  supersample: int = 3,
  num_points: int = 10_000,
  seed: int = 0,
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Scene:
  """Draws the mesh along a path all the way round, and along another for tests.

  Args:
    root: the file; see `io.meshes`.
    num_views: views to learn from, along `path`.
    num_test: held-out views: on a spiral of 15 to 45 degrees, or, where that is
      the path, on an orbit.
    path: 'orbit', 'sinusoid', which rises and falls twice, or 'spiral'.
    up: the direction that the paths are level to. Models are mostly made with
      y up; scans and drawings often want (0, 0, 1).
    size: (width, height) of the views; None: 256 x 256.
    downscale: in place of `size`, the factor to shrink those by.
    max_faces: a budget of triangles, at least 4; None keeps all.
    light: what a lamp shines on: 'bare' pieces of one colour, which would be
      flat without, 'all' or 'none'. It hangs still, and nothing gleams.
    supersample: samples along each side of a pixel.
    num_points: exact surface points that the training views see. Their colours
      come from coarse views, so that no fine detail leaks into them.
    seed: of the choice of points.
    background: lies behind the mesh.

  Returns:
    The scene.
  """
  width, height = _check(num_views, num_test, path, up, light, size, downscale)
  file = paths.data_path(root)
  mesh = _load(file, light, up)
  if max_faces is not None:
    mesh = decimate.decimate(mesh, max_faces)
  corners = _corners(np.array(up), width, height)
  train = _path(path, corners, num_views)
  test = _path('orbit' if path == 'spiral' else 'spiral', corners, num_test)
  cameras = jax.tree.map(lambda *both: np.concatenate(both), train, test)
  drawn = raycast.render_views(
    mesh, cameras, supersample=supersample, background=background
  )
  rng = np.random.default_rng(seed)
  points, colors = _sample_points(rng, mesh, train, num_points)
  names = [f'train_{i:03d}' for i in range(num_views)]
  names += [f'test_{i:03d}' for i in range(num_test)]
  return capture.make_scene(
    file.stem,
    Views(images=drawn.image, cameras=cameras),
    tuple(names),
    np.arange(len(names)) >= num_views,
    points=points,
    colors=colors,
    background=background,
  )


def surface(
  *,
  root: str,
  up: tuple[float, float, float] = (0.0, 1.0, 0.0),
  max_faces: int | None = None,
  **others,
) -> Callable[[Camera], np.ndarray]:
  """Cameras [V] to exact depths [V, H, W], of a scene of the same keys."""
  del others
  mesh = _load(paths.data_path(root), 'none', up)
  if max_faces is not None:
    mesh = decimate.decimate(mesh, max_faces)
  return lambda cameras: (
    raycast.render_views(mesh, cameras, supersample=1).depth
  )


def _check(
  num_views, num_test, path, up, light, size, downscale
) -> tuple[int, int]:
  """Raises where keys make no path or no picture; returns the views' size."""
  if num_views < 2 or num_test < 0 or not np.linalg.norm(up) > 0:
    raise ValueError(
      'num_views should be at least 2 to see depth, num_test at least 0, and '
      f'up should have a length, got {num_views}, {num_test} and {up}'
    )
  for name, value, known in (('path', path, PATHS), ('light', light, LIGHTS)):
    if value not in known:
      raise ValueError(f'{name} is one of {", ".join(known)}, got {value!r}')
  if size is not None and downscale is not None:
    raise ValueError(f'give size={size} or downscale={downscale}, not both')
  if size is None:
    size = tuple(round(side / (downscale or 1)) for side in SIZE)
  if min(size) < 1:
    raise ValueError(f'views should be at least 1 x 1 px, got {size}')
  return tuple(size)


def _load(
  file: pathlib.Path, light: str, up: tuple[float, float, float]
) -> raycast.Mesh:
  """The whole mesh, lit where asked for, within the unit sphere."""
  pieces = [
    piece.mesh
    if light == 'none' or (light == 'bare' and piece.is_painted)
    else raycast.lit(piece.mesh, piece.normals, up)
    for piece in meshes.load(file)
  ]
  mesh = raycast.join(pieces)
  used = mesh.vertices[mesh.faces].reshape(-1, 3)
  middle = 0.5 * (used.min(axis=0) + used.max(axis=0))
  radius = np.linalg.norm(used - middle, axis=-1).max()
  if not radius > 0:
    raise ValueError(
      f'{file} has no extent: all vertices of its triangles are at one place'
    )
  return dataclasses.replace(mesh, vertices=(mesh.vertices - middle) / radius)


def _corners(up: np.ndarray, width: int, height: int) -> Camera:
  """Four cameras around the unit sphere: what `trajectories` goes by."""
  distance = MARGIN / np.sin(FIELD_OF_VIEW / 2)
  up = up / np.linalg.norm(up)
  east = np.cross(up, np.eye(3)[np.abs(up).argmin()])
  east = east / np.linalg.norm(east)
  north = np.cross(up, east)
  ring = np.stack([east, north, -east, -north])
  eyes = distance * (np.cos(ELEVATION) * ring + np.sin(ELEVATION) * up)
  focal = 0.5 * min(width, height) / np.tan(FIELD_OF_VIEW / 2)
  return Camera(
    world_to_cam=geometry.look_at(eyes, np.zeros(3), up),
    focal=np.full((4, 2), focal, np.float32),
    center=np.tile(np.float32([width / 2, height / 2]), (4, 1)),
    width=width,
    height=height,
  )


def _path(path: str, corners: Camera, num_views: int) -> Camera:
  """Cameras [V] all the way round, on the host."""
  keys = {
    'orbit': {},
    'sinusoid': {'amplitude': AMPLITUDE},
    'spiral': {'elevations': ELEVATIONS, 'turns': TURNS},
  }
  make_path = getattr(trajectories, path)
  cameras = make_path(corners, max(num_views, 1), closed=True, **keys[path])
  return jax.tree.map(lambda x: np.asarray(x)[:num_views], cameras)


def _sample_points(
  rng: np.random.Generator,
  mesh: raycast.Mesh,
  cameras: Camera,
  num_points: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Surface points [P, 3] that the cameras see, and their colours [P, 3]."""
  coarse = cameras.at_size(
    max(cameras.width // POINT_COARSENESS, 8),
    max(cameras.height // POINT_COARSENESS, 6),
  )
  pictures = raycast.render_views(mesh, coarse)  # on black: premultiplied
  points, colors = [], []
  for i, depth in enumerate(pictures.depth):
    camera = jax.tree.map(itemgetter(i), coarse)
    is_met = np.isfinite(depth)
    origins, directions = raycast.camera_rays(
      camera, raycast.pixel_centers(camera)[is_met]
    )
    points.append(origins + depth[is_met][:, None] * directions)
    alpha = pictures.alpha[i][is_met]
    colors.append(pictures.image[i][is_met] / np.maximum(alpha, 1e-6)[:, None])
  points, colors = np.concatenate(points), np.concatenate(colors)
  chosen = rng.choice(len(points), min(num_points, len(points)), replace=False)
  return points[chosen], np.clip(colors[chosen], 0, 1)
