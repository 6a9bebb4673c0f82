"""Ray traces textured cubes and balls: exact pictures, depths and poses.

Every solid is a unit cube or a unit ball that is scaled, turned about z and
moved, so a ray is carried into the solid's own frame, where its parameter t
does not change. The world's z points up. Light is added up on display (sRGB)
values, so that the mean over a block of pixels is the picture of a coarser
camera.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax.types import Array, Camera, only_pinholes

NEAR = 1e-3  # scene units; a shadow ray must not meet the surface it leaves
AMBIENT = (0.42, 0.44, 0.48)  # skylight, slightly blue
LAMP = (0.68, 0.62, 0.53)  # lamplight, slightly warm
REACH = 0.5  # scene units; farther solids take no skylight away


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
  """Solids under one lamp.

  Attributes:
    centers: [P, 3] scene units.
    halves: [P, 3] half extents along the solid's own axes, scene units.
    yaws: [P] turn about z, radians.
    is_ball: [P] bool; a cube where false.
    faces: [P, 6] int32, texture of -x, +x, -y, +y, -z, +z; a ball takes the
      first for all of itself.
    textures: [T, R, R, 3] uint8, upright seen from outside.
    lamp: [3] scene units.
    lamp_radius: [] scene units; larger means softer shadows.
    background: [3] where a ray meets nothing, in [0, 1].
  """

  centers: Array
  halves: Array
  yaws: Array
  is_ball: Array
  faces: Array
  textures: Array
  lamp: Array
  lamp_radius: Array
  background: Array


def camera_rays(camera: Camera, pixels: Array) -> tuple[Array, Array]:
  """World rays through image positions.

  Args:
    camera: one camera.
    pixels: [..., 2] positions (x, y), px; a pixel's centre is at + 1/2.

  Returns:
    [..., 3] origins and [..., 3] directions whose z in the camera is 1, so that
    the ray's parameter is the depth.
  """
  only_pinholes(camera, 'camera_rays')
  plane = (pixels - camera.center) / camera.focal
  direction = jnp.concatenate([plane, jnp.ones_like(plane[..., :1])], axis=-1)
  direction = direction @ camera.world_to_cam[:3, :3]
  return jnp.broadcast_to(camera.position, direction.shape), direction


def pixel_centers(width: int, height: int) -> Array:
  """[H, W, 2] positions (x, y) of the pixels' centres, px."""
  x, y = jnp.meshgrid(jnp.arange(width) + 0.5, jnp.arange(height) + 0.5)
  return jnp.stack([x, y], axis=-1)


@jax.jit
def intersect(
  world: World, origins: Array, directions: Array
) -> tuple[Array, Array]:
  """Nearest solid along each ray.

  Args:
    world: what there is.
    origins: [..., 3].
    directions: [..., 3], of any length.

  Returns:
    [...] ray parameter, infinite where nothing is met, and [...] int32 solid.
  """
  shape = origins.shape[:-1]
  origin, direction = origins.reshape(-1, 3).T, directions.reshape(-1, 3).T

  def meet(nearest, solid):
    index, center, half, yaw, is_ball = solid
    start = _turn(origin - center[:, None], -yaw, axis=0) / half[:, None]
    along = _turn(direction, -yaw, axis=0) / half[:, None]
    t = jax.lax.cond(is_ball, _meet_ball, _meet_cube, start, along)
    is_nearer = t < nearest[0]
    t = jnp.where(is_nearer, t, nearest[0])
    return (t, jnp.where(is_nearer, index, nearest[1])), None

  indices = jnp.arange(len(world.yaws))
  solids = indices, world.centers, world.halves, world.yaws, world.is_ball
  nobody = jnp.full_like(origin[0], jnp.inf), jnp.zeros_like(origin[0], int)
  (t, index), _ = jax.lax.scan(meet, nobody, solids)
  return t.reshape(shape), index.reshape(shape)


@jax.jit
def depth(world: World, camera: Camera) -> Array:
  """[H, W] exact depth at the pixels' centres, infinite where nothing is."""
  rays = camera_rays(camera, pixel_centers(camera.width, camera.height))
  return jax.lax.map(lambda row: intersect(world, *row)[0], rays)


@partial(jax.jit, static_argnames='supersample')
def render(world: World, camera: Camera, *, supersample: int = 4) -> Array:
  """Draws one view, each pixel the mean of `supersample`² samples.

  Each sample asks its own point of the lamp and its own part of the sky, so
  soft shadows cost one ray and are free of noise: all pixels ask the same.

  Args:
    world: what there is.
    camera: one camera.
    supersample: samples along each side of a pixel.

  Returns:
    [H, W, 3] in [0, 1].
  """
  side = (np.arange(supersample) + 0.5) / supersample - 0.5
  offsets = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
  order = np.random.default_rng(0).permutation(len(offsets))
  lobes = jnp.asarray(_sphere_points(len(offsets))[order], jnp.float32)

  def row(pixels):
    samples = pixels[:, None] + jnp.asarray(offsets, jnp.float32)
    color = _shade(world, *camera_rays(camera, samples), lobes)
    return jnp.mean(color, axis=1)

  return jax.lax.map(row, pixel_centers(camera.width, camera.height))


def _shade(
  world: World, origins: Array, directions: Array, lobes: Array
) -> Array:
  """[..., S, 3] colours along [..., S, 3] rays; sample s asks `lobes[s]`."""
  t, solid = intersect(world, origins, directions)
  is_met = jnp.isfinite(t)
  point = origins + jnp.where(is_met, t, 1.0)[..., None] * directions
  normal, albedo = _surface(world, point, solid)
  start = point + 2 * NEAR * normal

  to_lamp = world.lamp - start
  cosine = jnp.sum(normal * to_lamp, axis=-1) / jnp.linalg.norm(
    to_lamp, axis=-1
  )
  to_lamp = to_lamp + world.lamp_radius * lobes
  is_lit = intersect(world, start, to_lamp)[0] > 1
  direct = jnp.maximum(cosine, 0) * is_lit

  # A unit sphere resting on the surface gives directions by Lambert's law.
  to_sky = normal + 0.999 * lobes
  to_sky /= jnp.linalg.norm(to_sky, axis=-1, keepdims=True)
  openness = jnp.minimum(intersect(world, start, to_sky)[0] / REACH, 1)
  sky = openness * (0.75 + 0.25 * normal[..., 2])

  light = jnp.asarray(LAMP) * direct[..., None]
  light += jnp.asarray(AMBIENT) * sky[..., None]
  color = jnp.minimum(albedo * light, 1)
  return jnp.where(is_met[..., None], color, world.background)


def _surface(world: World, point: Array, solid: Array) -> tuple[Array, Array]:
  """World normals [..., 3] and texture colours [..., 3] at surface points."""
  halves, yaws = world.halves[solid], world.yaws[solid]
  is_ball = world.is_ball[solid]
  local = _turn(point - world.centers[solid], -yaws) / halves
  axis = jnp.argmax(jnp.abs(local), axis=-1)
  is_axis = jax.nn.one_hot(axis, 3, dtype=local.dtype)
  sign = jnp.sign(jnp.sum(local * is_axis, axis=-1))
  normal = jnp.where(
    is_ball[..., None], local / halves, is_axis * sign[..., None]
  )
  normal /= jnp.linalg.norm(normal, axis=-1, keepdims=True)

  uv = jnp.where(
    is_ball[..., None], _ball_uv(local), _cube_uv(local, axis, sign)
  )
  face = jnp.where(is_ball, 0, 2 * axis + (sign > 0))
  texture = jnp.take_along_axis(world.faces[solid], face[..., None], axis=-1)
  return _turn(normal, yaws), _look_up(world.textures, texture[..., 0], uv)


def _cube_uv(local: Array, axis: Array, sign: Array) -> Array:
  """[..., 2] in [0, 1], right and down for an onlooker outside the face."""
  x, y, z = local[..., 0], local[..., 1], local[..., 2]
  right = jnp.where(axis == 0, sign * y, jnp.where(axis == 1, -sign * x, x))
  down = jnp.where(axis == 2, -y, -z)
  return 0.5 + 0.5 * jnp.stack([right, down], axis=-1)


def _ball_uv(local: Array) -> Array:
  """[..., 2] in [0, 1]: longitude eastwards, latitude southwards."""
  longitude = jnp.arctan2(local[..., 1], local[..., 0]) / (2 * jnp.pi)
  colatitude = jnp.arccos(jnp.clip(local[..., 2], -1, 1)) / jnp.pi
  return jnp.stack([0.5 + longitude, colatitude], axis=-1)


def _look_up(textures: Array, index: Array, uv: Array) -> Array:
  """Bilinear texture colours [..., 3] in [0, 1]; edges are held."""
  size = textures.shape[1]
  position = jnp.clip(uv * size - 0.5, 0, size - 1.0)
  low = jnp.floor(position).astype(jnp.int32)
  high = jnp.minimum(low + 1, size - 1)
  x, y = jnp.split(position - low, 2, axis=-1)

  def texel(row, column):
    return textures[index, row, column].astype(jnp.float32)

  top = (1 - x) * texel(low[..., 1], low[..., 0])
  top += x * texel(low[..., 1], high[..., 0])
  bottom = (1 - x) * texel(high[..., 1], low[..., 0])
  bottom += x * texel(high[..., 1], high[..., 0])
  return ((1 - y) * top + y * bottom) / 255


def _meet_cube(origin: Array, direction: Array) -> Array:
  """Ray parameter [R] at the cube [-1, 1]³, of rays [3, R]; inf on a miss."""
  is_flat = jnp.abs(direction) < 1e-9
  inverse = 1 / jnp.where(is_flat, 1e-9, direction)
  first, second = (-1 - origin) * inverse, (1 - origin) * inverse
  enter = jnp.max(jnp.minimum(first, second), axis=0)
  leave = jnp.min(jnp.maximum(first, second), axis=0)
  return jnp.where((enter < leave) & (enter > NEAR), enter, jnp.inf)


def _meet_ball(origin: Array, direction: Array) -> Array:
  """Ray parameter [R] at the unit ball, of rays [3, R]; inf on a miss.

  Measured from the point nearest to the centre: the discriminant b² - ac would
  lose half its digits far away.
  """
  length2 = jnp.sum(direction**2, axis=0)
  nearest = -jnp.sum(origin * direction, axis=0) / length2
  depth2 = 1 - jnp.sum((origin + nearest * direction) ** 2, axis=0)
  enter = nearest - jnp.sqrt(jnp.maximum(depth2, 0) / length2)
  return jnp.where((depth2 > 0) & (enter > NEAR), enter, jnp.inf)


def _turn(vectors: Array, yaws: Array, axis: int = -1) -> Array:
  """Turns vectors, xyz along `axis`, about z by `yaws` radians (x to y)."""
  cosine, sine = jnp.cos(yaws), jnp.sin(yaws)
  x, y, z = jnp.moveaxis(vectors, axis, 0)
  x, y = cosine * x - sine * y, sine * x + cosine * y
  return jnp.stack([x, y, z], axis=axis)


def _sphere_points(num_points: int) -> np.ndarray:
  """[num_points, 3] spread evenly over the unit sphere (Fibonacci spiral)."""
  i = np.arange(num_points) + 0.5
  z = 1 - 2 * i / num_points
  angle = i * np.pi * (3 - np.sqrt(5))
  ring = np.sqrt(1 - z**2)
  return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=-1)
