"""Rotations, poses, and what the cameras of a capture have in common.

Quaternions are wxyz. Cameras look along +z with x right and y down.
"""

import jax
import jax.numpy as jnp

from sr3d_jax.numerics import normalize, safe_norm
from sr3d_jax.types import Array


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
  x = jnp.where(safe_norm(x, keepdims=True) > 1e-6, x, perpendicular(z))
  x = normalize(x)
  rotation = jnp.stack([x, jnp.cross(z, x), z], axis=-2)
  return _pose(rotation, -_rotate(rotation, eye))


def perpendicular(v: Array) -> Array:
  """Crosses v [..., 3] with the coordinate axis that it leans on least.

  Returns:
    [..., 3] at right angles to v, at least sqrt(2/3) times as long.
  """
  return jnp.cross(v, jnp.eye(3)[jnp.argmin(jnp.abs(v), axis=-1)])


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
