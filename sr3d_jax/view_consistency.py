"""Whether pictures of one scene agree: one is warped into another and compared.

The warp follows the depth of a given scene, so it serves renders of that scene
as well as pictures that were made view by view, by a prior. A pixel is compared
where both views see the same surface, which their depths decide.

A surface [..., H, W] is depth z, scene units, and 0 where there is none; all
cameras are pinholes.
"""

import functools
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import geometry, image, sampling
from sr3d_jax.types import Array, Camera, only_pinholes

MIN_ALPHA = 0.5  # what is drawn more faintly is no surface
TOLERANCE = 0.02  # of the depth, by which two views may differ on a surface
MAX_SHIFT = 1.0  # px, by which they may: detail is not compared beside itself


class Agreement(NamedTuple):
  """How well a warped picture agrees with the one it is warped into.

  Attributes:
    psnr: dB, over the visible pixels; NaN where there are none.
    detail_psnr: dB, of what the coarse pixels do not hold.
    detail_error: rms difference of that detail over the rms of both taken
      together: 0 where it agrees, 1 where it is unrelated.
    visible: share of the pixels that are compared.
  """

  psnr: Array
  detail_psnr: Array
  detail_error: Array
  visible: Array


def surface(depth: Array, alpha: Array) -> Array:
  """Expected depth [..., H, W] of a `RenderOutput`'s; 0 where it is faint."""
  is_there = alpha >= MIN_ALPHA
  return jnp.where(is_there, depth / jnp.where(is_there, alpha, 1.0), 0.0)


def warp(
  pictures: Array,
  source: tuple[Array, Camera],
  target: tuple[Array, Camera],
  *,
  tolerance: float = TOLERANCE,
  max_shift: float = MAX_SHIFT,
) -> tuple[Array, Array]:
  """Shows the source's picture as the target's camera sees it.

  Each of the target's pixels is lifted to its surface and looked up in the
  source, by bicubic interpolation. It is visible if the source sees a surface
  there at the depth that the point has, and if what it sees lies in the target
  where the pixel is.

  Args:
    pictures: [H, W, C] of the source.
    source: its surface [H, W] and camera.
    target: likewise.
    tolerance: relative difference of depths that is the same surface.
    max_shift: px in the target that this difference may make.

  Returns:
    [H, W, C] of the target's size, and [H, W] bool, which of it is visible.
  """
  source_surface, source_camera = source
  target_surface, target_camera = target
  own_pixels = _pixels(target_camera)
  points = _lift(own_pixels, target_surface, target_camera)
  move = jnp.matmul(
    source_camera.world_to_cam,
    geometry.invert_pose(target_camera.world_to_cam),
    precision='highest',
  )
  points = jnp.matmul(points, move[:3, :3].T, precision='highest') + move[:3, 3]
  depth = points[..., 2]
  pixels = _project(points, source_camera)
  columns, rows = pixels[..., 0], pixels[..., 1]
  size = jnp.asarray([source_camera.width, source_camera.height])
  is_inside = jnp.all((pixels >= 0) & (pixels <= size), axis=-1)
  seen = sampling.bilinear(source_surface[..., None], rows, columns)[..., 0]
  visible = (target_surface > 0) & (depth > 0) & is_inside
  visible &= jnp.abs(seen - depth) <= tolerance * depth
  met = points * (seen / jnp.where(depth > 0, depth, 1.0))[..., None]
  met = jnp.matmul(met - move[:3, 3], move[:3, :3], precision='highest')
  shift = jnp.linalg.norm(_project(met, target_camera) - own_pixels, axis=-1)
  warped = sampling.bicubic(pictures, rows, columns)
  return warped, visible & (shift <= max_shift)


@functools.partial(jax.jit, static_argnames=('scale',))
def compare(
  images: tuple[Array, Array],
  source: tuple[Array, Camera],
  target: tuple[Array, Camera],
  *,
  scale: float,
  tolerance: float = TOLERANCE,
  max_shift: float = MAX_SHIFT,
) -> Agreement:
  """Warps one picture into another and measures what differs.

  Args:
    images: [H, W, 3] of the source and of the target.
    source: of `warp`.
    target: likewise.
    scale: how much finer the pictures are than what they were made from. Its
      detail is what a Gaussian takes away that halves the coarse grid's
      highest frequency.
    tolerance: of `warp`.
    max_shift: of `warp`.

  Returns:
    Scalars.
  """
  sigma = scale * math.sqrt(2 * math.log(2)) / math.pi
  bands = [jnp.stack([x, x - image.gaussian_blur(x, sigma)]) for x in images]
  pictures = jnp.concatenate(list(bands[0]), axis=-1)
  warped, visible = warp(
    pictures, source, target, tolerance=tolerance, max_shift=max_shift
  )
  warped = jnp.stack(jnp.split(warped, 2, axis=-1))

  def mean(x: Array) -> Array:
    """[2], over the visible pixels, of images and details."""
    x = jnp.where(visible[..., None], x, 0.0)
    return jnp.sum(x, axis=(1, 2, 3)) / (3 * jnp.sum(visible))

  errors = mean((warped - bands[1]) ** 2)
  powers = mean(warped**2 + bands[1] ** 2)
  levels = -10 * jnp.log10(errors)
  return Agreement(
    psnr=levels[0],
    detail_psnr=levels[1],
    detail_error=jnp.sqrt(errors[1] / powers[1]),
    visible=jnp.mean(visible),
  )


def follow(
  surfaces: Array, cameras: Camera, **limits: float
) -> Callable[[int, Array], tuple[Array, Array]]:
  """Makes the alignment of neighbours on a path, see `temporal`.

  Args:
    surfaces: [T, H, W] of the scene that says where they look.
    cameras: [T].
    **limits: of `warp`.
  """
  views = list(_each(only_pinholes(cameras, 'view consistency')))
  if len(surfaces) != len(views):
    raise ValueError(
      f'{len(views)} cameras want as many surfaces, got {surfaces.shape}'
    )
  align = jax.jit(functools.partial(warp, **limits))

  def aligned(t: int, pictures: Array) -> tuple[Array, Array]:
    source, target = ((surfaces[i], views[i]) for i in (t + 1, t))
    return align(pictures, source, target)

  return aligned


def partners(
  cameras: Camera, points: np.ndarray, *, min_overlap: float = 0.5
) -> np.ndarray:
  """Finds which views to compare, the same for all that is drawn of a scene.

  The partner is the nearest view that shares the content: of the points that
  the two see, both see enough. Nothing hides a point here.

  Args:
    cameras: [V], pinholes.
    points: [P, 3] of the scene.
    min_overlap: share of points seen by both, of those seen by either alone.

  Returns:
    [V] indices; -1 for a view without a partner.
  """
  cameras = jax.tree.map(np.asarray, only_pinholes(cameras, 'view consistency'))
  seen = [_sees(camera, np.asarray(points)) for camera in _each(cameras)]
  seen = np.reshape(seen, (len(seen), len(points))).astype(np.float32)
  most = np.maximum(seen.sum(1)[:, None], seen.sum(1))
  overlap = seen @ seen.T / np.maximum(most, 1)
  places = np.asarray(cameras.position)
  away = np.linalg.norm(places[:, None] - places, axis=-1)
  np.fill_diagonal(overlap, 0)
  away = np.where(overlap >= min_overlap, away, np.inf)
  if not len(away):
    return np.zeros(0, int)
  return np.where(np.isfinite(away.min(1)), np.argmin(away, axis=1), -1)


def score(
  images: np.ndarray,
  surfaces: np.ndarray,
  cameras: Camera,
  pairs: Iterable[tuple[int, int]],
  *,
  scale: float,
  **limits: float,
) -> dict[int, dict[str, float]]:
  """Compares each pair both ways.

  Args:
    images: [V, H, W, 3], renders or anything else of that size.
    surfaces: [V, H, W] of the scene that says where they look.
    cameras: [V].
    pairs: indices of views, as of `partners`; each counts once.
    scale: of `compare`.
    **limits: of `compare`.

  Returns:
    {view: {field of `Agreement`: value}}: means over what is warped into it.
    A view that shows nothing of its partners is not there.
  """
  _check(images, surfaces, cameras)
  views = list(_each(cameras))
  found: dict[int, list[Agreement]] = {}
  for pair in sorted({(min(pair), max(pair)) for pair in pairs}):
    for a, b in (pair, pair[::-1]):
      agreement = compare(
        (images[a], images[b]),
        (surfaces[a], views[a]),
        (surfaces[b], views[b]),
        scale=scale,
        **limits,
      )
      if agreement.visible > 0:
        found.setdefault(b, []).append(agreement)
  return {
    view: {
      name: float(np.mean([getattr(x, name) for x in agreements]))
      for name in Agreement._fields
    }
    for view, agreements in sorted(found.items())
  }


def _pixels(camera: Camera) -> Array:
  """[H, W, 2] centres of the pixels, columns first."""
  columns, rows = jnp.meshgrid(
    jnp.arange(camera.width) + 0.5, jnp.arange(camera.height) + 0.5
  )
  return jnp.stack([columns, rows], axis=-1)


def _lift(pixels: Array, depths: Array, camera: Camera) -> Array:
  """[H, W, 3] of pixels [H, W, 2] at depths [H, W], in the camera's axes."""
  slopes = (pixels - camera.center) / camera.focal
  return (
    jnp.concatenate([slopes, jnp.ones_like(slopes[..., :1])], -1)
    * (depths[..., None])
  )


def _project(points: Array, camera: Camera) -> Array:
  """[H, W, 2] px of points [H, W, 3] ahead; anything for others."""
  depth = jnp.where(points[..., 2:] > 0, points[..., 2:], 1.0)
  return points[..., :2] / depth * camera.focal + camera.center


def _sees(camera: Camera, points: np.ndarray) -> np.ndarray:
  """[P] bool: in front of the camera and within its picture."""
  pose = camera.world_to_cam
  local = points @ pose[:3, :3].T + pose[:3, 3]
  depth = np.maximum(local[:, 2:], 1e-6)
  pixels = local[:, :2] / depth * camera.focal + camera.center
  inside = (pixels >= 0) & (pixels < (camera.width, camera.height))
  return np.all(inside, axis=-1) & (local[:, 2] > 0)


def _each(cameras: Camera) -> list[Camera]:
  num = cameras.world_to_cam.shape[0]
  return [jax.tree.map(lambda x, i=i: x[i], cameras) for i in range(num)]


def _check(images, surfaces, cameras: Camera) -> None:
  only_pinholes(cameras, 'view consistency')
  wanted = (cameras.world_to_cam.shape[0], cameras.height, cameras.width)
  if images.shape != (*wanted, 3) or surfaces.shape != wanted:
    raise ValueError(
      f'{wanted[0]} cameras of {wanted[1]} x {wanted[2]} pixels want images '
      f'{(*wanted, 3)} and surfaces {wanted}, got {images.shape} and '
      f'{surfaces.shape}: draw the depth with the cameras of the pictures'
    )
