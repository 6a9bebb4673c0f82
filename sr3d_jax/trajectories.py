"""Smooth camera paths around a captured scene.

A path follows the capture: it circles the point the cameras look at, about
their common up direction, at their median distance, with the intrinsics of the
first. Every path is a curve in cylindrical coordinates about that point. One
that is asked for views `beyond` goes on as it was at both ends: what looks at
neighbours then has some on either side of each of the T.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sr3d_jax import geometry
from sr3d_jax.numerics import normalize, safe_norm
from sr3d_jax.types import Array, Camera, only_pinholes

WIDEST_GAP = jnp.pi / 3  # between cameras that go all the way round

# One compilation of a path takes less than its hundred small operations do.
_path = functools.partial(
  jax.jit, static_argnames=('num_views', 'closed', 'beyond')
)


@_path
def orbit(
  cameras: Camera,
  num_views: int,
  *,
  closed: bool = False,
  distance: Array | float = 1.0,
  beyond: int = 0,
) -> Camera:
  """Circles the scene at the capture's median radius and height.

  Args:
    cameras: [V] the captured cameras.
    num_views: T, views along the path.
    closed: whether to go all the way round; otherwise the path keeps to the
      observed azimuths, and up to 5 degrees beyond at each end.
    distance: from the scene's centre, relative to the capture.
    beyond: views before the first and after the last of the T.

  Returns:
    [T + 2 beyond] cameras that look at the scene's centre.
  """
  return sinusoid(
    cameras, num_views, closed=closed, distance=distance, amplitude=0.0,
    beyond=beyond,
  )  # fmt: skip


@_path
def sinusoid(
  cameras: Camera,
  num_views: int,
  *,
  closed: bool = False,
  distance: Array | float = 1.0,
  amplitude: float = 0.15,
  waves: int = 2,
  phase: float = 0.0,
  beyond: int = 0,
) -> Camera:
  """Orbits while rising and falling, as SuperGaussian's paths do.

  The height swings by amplitude times the radius, or times half the arc where
  that is shorter, so that a forward-facing path stays among its cameras.

  Args:
    cameras: [V] the captured cameras.
    num_views: T, views along the path.
    closed: see `orbit`.
    distance: see `orbit`.
    amplitude: of the swing.
    waves: swings along the path.
    phase: of the swing at the start, radians.
    beyond: see `orbit`.

  Returns:
    [T + 2 beyond] cameras that look at the scene's centre.
  """
  around = _fit_cylinder(cameras)
  half_arc = jnp.pi if closed else 0.5 * (around.stop - around.start)
  swing = amplitude * around.radius * jnp.minimum(half_arc, 1.0)
  turn = 2 * jnp.pi * _count(num_views, beyond) / num_views
  heights = around.height + swing * jnp.sin(waves * turn + phase)
  azimuths = around.start + (
    turn if closed else _sweep(around, num_views, beyond)
  )
  return _aim(
    cameras, around, distance * around.radius, azimuths, distance * heights
  )


@_path
def spiral(
  cameras: Camera,
  num_views: int,
  *,
  closed: bool = False,
  distance: Array | float = 1.0,
  elevations: tuple[float, float] | None = None,
  turns: int = 2,
  beyond: int = 0,
) -> Camera:
  """Winds from one elevation to another on a sphere around the scene.

  Args:
    cameras: [V] the captured cameras.
    num_views: T, views along the path.
    closed: whether each turn goes all the way round; otherwise it sways within
      the observed azimuths.
    distance: see `orbit`.
    elevations: first and last, radians; None: the lowest and highest observed.
    turns: turns, or sways.
    beyond: see `orbit`.

  Returns:
    [T + 2 beyond] cameras that look at the scene's centre.
  """
  around = _fit_cylinder(cameras)
  start, stop = around.elevations if elevations is None else elevations
  count = _count(num_views, beyond)
  elevation = start + (stop - start) * count / max(num_views - 1, 1)
  turn = 2 * jnp.pi * turns * count / num_views
  middle = 0.5 * (around.start + around.stop)
  sway = 0.5 * (around.stop - around.start) * jnp.sin(turn)
  azimuths = around.start + turn if closed else middle + sway
  radius = distance * jnp.hypot(around.radius, around.height)
  level, upright = jnp.cos(elevation), jnp.sin(elevation)
  return _aim(cameras, around, radius * level, azimuths, radius * upright)


@_path
def close_up(
  cameras: Camera,
  num_views: int,
  *,
  closed: bool = False,
  distance: Array | float = 0.7,
  object_radius: float = 0.0,
  beyond: int = 0,
) -> Camera:
  """Follows `sinusoid` nearer to the scene, but not so near as to crop it.

  Args:
    cameras: [V] the captured cameras.
    num_views: T, views along the path.
    closed: see `orbit`.
    distance: see `orbit`.
    object_radius: scene units; a sphere of this radius at the scene's centre
      stays inside every picture.
    beyond: see `orbit`.

  Returns:
    [T + 2 beyond] cameras that look at the scene's centre.
  """
  only_pinholes(cameras, 'close_up')
  path = sinusoid(cameras, num_views, closed=closed, beyond=beyond)
  away = safe_norm(path.position - geometry.scene_center(cameras.world_to_cam))
  sizes = jnp.asarray([cameras.width, cameras.height])
  room = jnp.minimum(cameras.center[0], sizes - cameras.center[0])
  half_angle = jnp.min(jnp.arctan(room / cameras.focal[0]))
  nearest = object_radius / jnp.sin(half_angle)
  distance = jnp.maximum(distance, nearest / away)
  return sinusoid(
    cameras, num_views, closed=closed, distance=distance, beyond=beyond
  )


def goes_round(cameras: Camera) -> bool:
  """Says whether cameras [V] surround what they look at.

  They do if, seen from there, no two neighbours are 60 degrees apart.
  """
  around = _fit_cylinder(cameras)
  return bool(2 * jnp.pi - (around.stop - around.start) < WIDEST_GAP)


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
  center, up = geometry.scene_center(poses), geometry.up_direction(poses)
  offsets = geometry.invert_pose(poses)[:, :3, 3] - center
  heights = _dot(offsets, up)
  flat = offsets - heights[:, None] * up
  first = geometry.perpendicular(up)
  first = normalize(jnp.where(safe_norm(flat[0]) > 1e-6, flat[0], first))
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


def _count(num_views: int, beyond: int) -> Array:
  """[T + 2 beyond] numbers of the views, the first of the T being 0."""
  return jnp.arange(-beyond, num_views + beyond)


def _sweep(around: _Cylinder, num_views: int, beyond: int) -> Array:
  """Spaces azimuths over the observed arc and a little beyond, from its start.

  Returns:
    [T + 2 beyond].
  """
  arc = around.stop - around.start
  margins = [jnp.radians(5.0), arc / 8, jnp.pi - arc / 2]
  margin = jnp.min(jnp.stack(margins))
  step = (arc + 2 * margin) / max(num_views - 1, 1)
  return step * _count(num_views, beyond) - margin


def _aim(
  cameras: Camera,
  around: _Cylinder,
  radii: Array,
  azimuths: Array,
  heights: Array,
) -> Camera:
  """Builds cameras [T] at cylindrical coordinates that look at the centre."""
  first, second, up = around.axes
  local = radii * jnp.cos(azimuths), radii * jnp.sin(azimuths), heights
  a, b, c = (x[:, None] for x in jnp.broadcast_arrays(*local))
  eyes = around.center + a * first + b * second + c * up
  path = jax.tree.map(
    lambda x: jnp.broadcast_to(x[0], (len(eyes), *x.shape[1:])), cameras
  )
  return dataclasses.replace(
    path, world_to_cam=geometry.look_at(eyes, around.center, up)
  )


def _dot(a: Array, b: Array) -> Array:
  """Sums in full float32, which `@` on a GPU does not."""
  return jnp.sum(a * b, axis=-1)
