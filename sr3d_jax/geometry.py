"""Rotations, poses, and smooth camera paths around a captured scene.

Quaternions are wxyz. Cameras look along +z with x right and y down. A path
follows the capture: it circles the point the cameras look at, about their
common up direction, at their median distance, with the intrinsics of the first.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sr3d_jax.numerics import normalize, safe_norm
from sr3d_jax.types import Array, Camera


def quat_to_rotation(quats: Array) -> Array:
  """Turns quaternions [..., 4], of any length but 0, into [..., 3, 3]."""
  w, x, y, z = jnp.moveaxis(normalize(quats), -1, 0)
  rows = [
    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
  ]
  return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_to_quat(rotations: Array) -> Array:
  """Turns rotations [..., 3, 3] into unit quaternions [..., 4] with w >= 0.

  The entries of R give 4 q qᵀ; its row of largest diagonal, normalised, is q.
  """
  m = rotations
  xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
  wx, xy = m[..., 2, 1] - m[..., 1, 2], m[..., 1, 0] + m[..., 0, 1]
  wy, xz = m[..., 0, 2] - m[..., 2, 0], m[..., 0, 2] + m[..., 2, 0]
  wz, yz = m[..., 1, 0] - m[..., 0, 1], m[..., 2, 1] + m[..., 1, 2]
  rows = [
    [1 + xx + yy + zz, wx, wy, wz],
    [wx, 1 + xx - yy - zz, xy, xz],
    [wy, xy, 1 - xx + yy - zz, yz],
    [wz, xz, yz, 1 - xx - yy + zz],
  ]
  outer = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
  largest = jnp.argmax(jnp.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
  quat = jnp.take_along_axis(outer, largest[..., None, None], axis=-2)
  quat = normalize(quat[..., 0, :])
  return jnp.where(quat[..., :1] < 0, -quat, quat)


def quat_multiply(a: Array, b: Array) -> Array:
  """Multiplies quaternions [..., 4]: the rotation b, then the rotation a."""
  aw, av = a[..., :1], a[..., 1:]
  bw, bv = b[..., :1], b[..., 1:]
  real = aw * bw - jnp.sum(av * bv, axis=-1, keepdims=True)
  return jnp.concatenate([real, aw * bv + bw * av + jnp.cross(av, bv)], axis=-1)


def invert_pose(pose: Array) -> Array:
  """Inverts rigid transforms [..., 4, 4]."""
  inverse = jnp.swapaxes(pose[..., :3, :3], -1, -2)
  return _pose(inverse, -_rotate(inverse, pose[..., :3, 3]))


def opengl_to_opencv(cam_to_world: Array) -> Array:
  """Flips the camera's y and z axes [..., 4, 4]; it is its own inverse."""
  return cam_to_world * jnp.asarray([1, -1, -1, 1], cam_to_world.dtype)


@jax.jit
def look_at(eye: Array, target: Array, up: Array) -> Array:
  """Places cameras at `eye` that look at `target` with `up` up in the picture.

  z = target - eye, x = z × up, y = z × x, each normalised. Looking along `up`
  itself, the camera takes an arbitrary roll.

  Args:
    eye: [..., 3].
    target: [..., 3].
    up: [..., 3], of any length but 0.

  Returns:
    [..., 4, 4] world_to_cam.
  """
  eye, target, up = jnp.broadcast_arrays(*map(jnp.asarray, (eye, target, up)))
  z = normalize(target - eye)
  x = jnp.cross(z, normalize(up))
  x = jnp.where(safe_norm(x, keepdims=True) > 1e-6, x, _perpendicular(z))
  x = normalize(x)
  rotation = jnp.stack([x, jnp.cross(z, x), z], axis=-2)
  return _pose(rotation, -_rotate(rotation, eye))


@jax.jit
def scene_center(world_to_cam: Array) -> Array:
  """Finds the point that the cameras look at.

  c = argmin Σ |(I - d dᵀ)(c - o)|² over camera centres o and optical axes d.
  Parallel axes leave its depth open, so a pull of weight 1e-4 draws c to a
  point in front of the cameras, as far as they are spread (1 if they coincide).
  That point is also the answer where the axes diverge and meet behind.

  Args:
    world_to_cam: [V, 4, 4].

  Returns:
    [3], scene units.
  """
  axes, origins = world_to_cam[:, 2, :3], _positions(world_to_cam)
  spread = _spread(origins)
  ahead = normalize(jnp.mean(axes, axis=0))
  default = origins.mean(axis=0) + jnp.where(spread > 0, spread, 1.0) * ahead
  across = jnp.eye(3) - axes[:, :, None] * axes[:, None, :]
  offset = jnp.mean(_rotate(across, origins - default), axis=0)
  center = default + jnp.linalg.solve(
    jnp.mean(across, axis=0) + 1e-4 * jnp.eye(3), offset
  )
  depth = jnp.mean(_dot(axes, center - origins))
  return jnp.where(depth > 0, center, default)


def scene_extent(world_to_cam: Array) -> float:
  """Measures a capture [V, 4, 4] as 3DGS does: its learning rates' unit.

  Returns:
    1.1 times the largest distance of a camera from their mean, scene units.
  """
  return float(_spread(_positions(world_to_cam)))


@jax.jit
def up_direction(world_to_cam: Array) -> Array:
  """Finds the up direction that the cameras share.

  Their mean up, freed from the directions that their x axes take: these are
  level, whereas cameras that look down from one side all lean the same way.
  Where the mean vanishes, as looking straight down, it is against the view.

  Args:
    world_to_cam: [V, 4, 4].

  Returns:
    [3] unit vector in world space.
  """
  right, down, forward = jnp.moveaxis(world_to_cam[:, :3, :3], 1, 0)
  up, against = -jnp.mean(down, axis=0), -jnp.mean(forward, axis=0)
  up = jnp.where(safe_norm(up) > 1e-3, up, against)
  level = jnp.mean(right[:, :, None] * right[:, None, :], axis=0)
  return normalize(jnp.linalg.solve(level + 1e-2 * jnp.eye(3), up))


# One compilation of a path takes less than its hundred small operations do.
_path = functools.partial(jax.jit, static_argnames=('num_views', 'closed'))


@_path
def orbit(
  cameras: Camera,
  num_views: int,
  *,
  closed: bool = False,
  distance: float = 1.0,
) -> Camera:
  """Circles the scene at the capture's median radius and height.

  Args:
    cameras: [V] the captured cameras.
    num_views: T, views along the path.
    closed: whether to go all the way round; otherwise the path keeps to the
      observed azimuths, and up to 5 degrees beyond at each end.
    distance: from the scene's centre, relative to the capture.

  Returns:
    [T] cameras that look at the scene's centre.
  """
  return sinusoid(
    cameras, num_views, closed=closed, distance=distance, amplitude=0.0
  )


@_path
def sinusoid(
  cameras: Camera,
  num_views: int,
  *,
  closed: bool = False,
  distance: float = 1.0,
  amplitude: float = 0.15,
  waves: int = 2,
  phase: float = 0.0,
) -> Camera:
  """Orbits while rising and falling, as SuperGaussian's paths do.

  The height swings by amplitude times the radius, or times half the arc where
  that is shorter, so that a forward-facing path stays among its cameras.

  Args:
    cameras: [V] the captured cameras.
    num_views: T, views along the path.
    closed: see `orbit`.
    distance: from the scene's centre, relative to the capture.
    amplitude: of the swing.
    waves: swings along the path.
    phase: of the swing at the start, radians.

  Returns:
    [T] cameras that look at the scene's centre.
  """
  around = _fit_cylinder(cameras)
  azimuths = _sweep(around, num_views, closed)
  half_arc = jnp.pi if closed else 0.5 * (around.stop - around.start)
  swing = amplitude * around.radius * jnp.minimum(half_arc, 1.0)
  turns = jnp.arange(num_views) / num_views
  heights = around.height + swing * jnp.sin(2 * jnp.pi * waves * turns + phase)
  return _aim(
    cameras, around, distance * around.radius, azimuths, distance * heights
  )


@_path
def spiral(
  cameras: Camera,
  num_views: int,
  *,
  closed: bool = False,
  distance: float = 1.0,
  elevations: tuple[float, float] | None = None,
  turns: int = 2,
) -> Camera:
  """Winds from one elevation to another on a sphere around the scene.

  Args:
    cameras: [V] the captured cameras.
    num_views: T, views along the path.
    closed: whether each turn goes all the way round; otherwise it sways within
      the observed azimuths.
    distance: from the scene's centre, relative to the capture.
    elevations: first and last, radians; None: the lowest and highest observed.
    turns: turns, or sways.

  Returns:
    [T] cameras that look at the scene's centre.
  """
  around = _fit_cylinder(cameras)
  start, stop = around.elevations if elevations is None else elevations
  elevation = jnp.linspace(start, stop, num_views)
  angle = 2 * jnp.pi * turns * jnp.arange(num_views) / num_views
  middle = 0.5 * (around.start + around.stop)
  half = 0.5 * (around.stop - around.start)
  azimuths = around.start + angle if closed else middle + half * jnp.sin(angle)
  radius = distance * jnp.hypot(around.radius, around.height)
  return _aim(
    cameras,
    around,
    radius * jnp.cos(elevation),
    azimuths,
    radius * jnp.sin(elevation),
  )


@_path
def close_up(
  cameras: Camera,
  num_views: int,
  *,
  closed: bool = False,
  distance: float = 0.7,
  object_radius: float = 0.0,
) -> Camera:
  """Follows `sinusoid` nearer to the scene, but not so near as to crop it.

  Args:
    cameras: [V] the captured cameras.
    num_views: T, views along the path.
    closed: see `orbit`.
    distance: from the scene's centre, relative to the capture.
    object_radius: scene units; a sphere of this radius at the scene's centre
      stays inside every picture.

  Returns:
    [T] cameras that look at the scene's centre.
  """
  path = sinusoid(cameras, num_views, closed=closed, distance=distance)
  center = scene_center(cameras.world_to_cam)
  offset = path.position - center
  sizes = jnp.asarray([cameras.width, cameras.height])
  room = jnp.minimum(cameras.center[0], sizes - cameras.center[0])
  half_angle = jnp.min(jnp.arctan(room / cameras.focal[0]))
  nearest = object_radius / jnp.sin(half_angle)
  away = safe_norm(offset, keepdims=True)
  eyes = center + normalize(offset) * jnp.maximum(away, nearest)
  poses = look_at(eyes, center, up_direction(cameras.world_to_cam))
  return dataclasses.replace(path, world_to_cam=poses)


class _Cylinder(NamedTuple):
  """The capture around its centre: directions, sizes, and observed ranges."""

  center: Array  # [3]
  axes: Array  # [3, 3] rows: azimuth 0, azimuth 90 degrees, up
  radius: Array
  height: Array
  start: Array  # first azimuth; the observed arc is the circle's widest gap's
  stop: Array  # complement
  elevations: tuple[Array, Array]


def _fit_cylinder(cameras: Camera) -> _Cylinder:
  poses = cameras.world_to_cam
  if poses.ndim != 3:
    raise ValueError(
      f'a path needs cameras [V], got world_to_cam of shape {poses.shape}: '
      'pass the captured cameras together'
    )
  center, up = scene_center(poses), up_direction(poses)
  offsets = _positions(poses) - center
  heights = _dot(offsets, up)
  flat = offsets - heights[:, None] * up
  first = jnp.where(safe_norm(flat[0]) > 1e-6, flat[0], _perpendicular(up))
  first = normalize(first)
  axes = jnp.stack([first, jnp.cross(up, first), up])
  radii = safe_norm(flat)
  azimuths = jnp.sort(jnp.arctan2(_dot(flat, axes[1]), _dot(flat, axes[0])))
  gaps = jnp.diff(azimuths, append=azimuths[:1] + 2 * jnp.pi)
  widest = jnp.argmax(gaps)
  start = azimuths[(widest + 1) % len(azimuths)]
  elevations = jnp.arctan2(heights, radii)
  return _Cylinder(
    center=center,
    axes=axes,
    radius=jnp.median(radii),
    height=jnp.median(heights),
    start=start,
    stop=start + 2 * jnp.pi - gaps[widest],
    elevations=(elevations.min(), elevations.max()),
  )


def _sweep(around: _Cylinder, num_views: int, closed: bool) -> Array:
  """Spaces azimuths [T] over the whole circle or the observed arc."""
  if closed:
    return around.start + 2 * jnp.pi * jnp.arange(num_views) / num_views
  arc = around.stop - around.start
  margins = [jnp.radians(5.0), arc / 8, jnp.pi - arc / 2]
  margin = jnp.min(jnp.stack(margins))
  return jnp.linspace(around.start - margin, around.stop + margin, num_views)


def _aim(
  cameras: Camera,
  around: _Cylinder,
  radii: Array,
  azimuths: Array,
  heights: Array,
) -> Camera:
  """Builds cameras [T] at cylindrical coordinates that look at the centre."""
  radii, heights, azimuths = jnp.broadcast_arrays(radii, heights, azimuths)
  local = [radii * jnp.cos(azimuths), radii * jnp.sin(azimuths), heights]
  eyes = around.center + _rotate(around.axes.T, jnp.stack(local, axis=-1))
  many = (len(azimuths), 2)
  return dataclasses.replace(
    cameras,
    world_to_cam=look_at(eyes, around.center, around.axes[2]),
    focal=jnp.broadcast_to(cameras.focal[0], many),
    center=jnp.broadcast_to(cameras.center[0], many),
  )


def _pose(rotation: Array, translation: Array) -> Array:
  top = jnp.concatenate([rotation, translation[..., None]], axis=-1)
  bottom = jnp.broadcast_to(
    jnp.asarray([0, 0, 0, 1], top.dtype), (*top.shape[:-2], 1, 4)
  )
  return jnp.concatenate([top, bottom], axis=-2)


def _rotate(rotation: Array, vectors: Array) -> Array:
  """Multiplies in full float32, which `@` on a GPU does not."""
  return _dot(rotation, vectors[..., None, :])


def _dot(a: Array, b: Array) -> Array:
  return jnp.sum(a * b, axis=-1)


def _positions(world_to_cam: Array) -> Array:
  return invert_pose(world_to_cam)[..., :3, 3]


def _spread(origins: Array) -> Array:
  return 1.1 * jnp.max(safe_norm(origins - origins.mean(axis=0)))


def _perpendicular(v: Array) -> Array:
  """Crosses v [..., 3] with the coordinate axis that it leans on least."""
  return jnp.cross(v, jnp.eye(3)[jnp.argmin(jnp.abs(v), axis=-1)])
