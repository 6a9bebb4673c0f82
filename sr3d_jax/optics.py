"""Where a camera images a point, and how much it magnifies there.

A model maps points in camera space to a plane (u, v), which `focal` and
`center` turn into pixels, and gives the Jacobian of that map. Coordinates come
and go one by one, [N] each, so that XLA fuses what is done with them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax.numerics import safe_divide, safe_sqrt
from sr3d_jax.types import Array, Camera, Distortion, Fisheye, Orthographic

CLAMP_MARGIN = 0.15  # of the image on each side; beyond it J is held constant
NUM_ANGLES = 1025  # of the grid on which a lens is searched for its fold
WIDEST_SLOPE = np.radians(89.9)  # where a plane z = 1 ends, from the axis
WIDEST_ANGLE = np.radians(179.9)  # straight behind, a point has no direction

# A slope by x, by y and by -z; None where it is zero for every point.
Row = tuple[Array | float | None, Array | float | None, Array | None]


class Imaged(NamedTuple):
  """Points on the plane, and the slopes of the plane there."""

  u: Array  # [N]
  v: Array  # [N]
  gain: Array | float  # [N], common to both rows
  rows: tuple[Row, Row]  # of d(u, v) / d(x, y, -z), over the gain


class _Model(NamedTuple):
  image: Callable  # (camera, x, y, z)    -> Imaged
  reaches: Callable  # (camera, x, y, z)  -> [N] bool, or True for all
  sizes: dict[str, int]  # coefficients by field


def sees(camera: Camera, x: Array, y: Array, z: Array, near: float) -> Array:
  """Says which points [N] are beyond `near` and within what the lens images."""
  reaches = _model(camera).reaches(camera, x, y, z)
  return (depth(camera, x, y, z) > near) & reaches


def depth(camera: Camera, x: Array, y: Array, z: Array) -> Array:
  """[N] what `near` and the order of drawing go by, scene units."""
  if isinstance(camera.lens, Fisheye) and not camera.lens.z_order:
    return safe_sqrt(x * x + y * y + z * z)
  return z


def on_axis_unless(seen: Array, points: Array) -> list[Array]:
  """Coordinates [N] each of points [N, 3]; (0, 0, 1) where not `seen`.

  What no camera images must not reach the arithmetic of `image`.
  """
  return [
    jnp.where(seen, points[:, i], 1.0 if i == 2 else 0.0) for i in range(3)
  ]


def image(camera: Camera, x: Array, y: Array, z: Array) -> Imaged:
  """Images points of camera space that the camera `sees`; [N] each."""
  return _model(camera).image(camera, x, y, z)


def spacing(camera: Camera, x: Array, y: Array, z: Array) -> Array:
  """[N] scene units from pixel to pixel, across the axis, where it is finest.

  z / max(f_x, f_y) for a pinhole; for a lens the inverse of the larger singular
  value of d(pixels) / d(x, y).
  """
  if camera.lens is None:
    return z / jnp.max(camera.focal)
  imaged = image(camera, x, y, z)
  (a0, a1), (b0, b1) = (
    [0.0 if c is None else camera.focal[i] * imaged.gain * c for c in row[:2]]
    for i, row in enumerate(imaged.rows)
  )
  aa, ab, bb = a0 * a0 + a1 * a1, a0 * b0 + a1 * b1, b0 * b0 + b1 * b1
  largest = 0.5 * (aa + bb) + safe_sqrt(0.25 * (aa - bb) ** 2 + ab * ab)
  return jnp.broadcast_to(1 / safe_sqrt(largest), z.shape)


def directions(camera: Camera, means: Array) -> Array:
  """[N, 3] unit vectors along which means [N, 3] of the world are seen."""
  if isinstance(camera.lens, Orthographic):
    return jnp.broadcast_to(camera.world_to_cam[2, :3], means.shape)
  offsets = means - camera.position
  return safe_divide(offsets, safe_sqrt(jnp.sum(offsets**2, -1, keepdims=True)))


def _pinhole(camera: Camera, x: Array, y: Array, z: Array) -> Imaged:
  """u = x / z, v = y / z; the slopes in J are held within the image."""
  inverse_z = 1 / z
  xi, eta = x * inverse_z, y * inverse_z
  tau_x, tau_y = _clamped_slopes(camera, xi, eta)
  rows = (1.0, None, tau_x), (None, 1.0, tau_y)
  return Imaged(xi, eta, inverse_z, rows)


def _orthographic(camera: Camera, x: Array, y: Array, z: Array) -> Imaged:
  """u = x, v = y."""
  return Imaged(x, y, 1.0, ((1.0, None, None), (None, 1.0, None)))


def _distorted(camera: Camera, x: Array, y: Array, z: Array) -> Imaged:
  """Bends the pinhole's plane; D = d(u, v) / d(xi, eta) at the held slopes."""
  inverse_z = 1 / z
  xi, eta = x * inverse_z, y * inverse_z
  u, v = _bend(camera.lens, xi, eta)
  xi, eta = _clamped_slopes(camera, xi, eta, _stretch(camera))
  (ux, uy), (vx, vy) = _bend_slopes(camera.lens, xi, eta)
  rows = (ux, uy, ux * xi + uy * eta), (vx, vy, vx * xi + vy * eta)
  return Imaged(u, v, inverse_z, rows)


def _fisheye(camera: Camera, x: Array, y: Array, z: Array) -> Imaged:
  """(u, v) = (x, y) theta_d / rho, theta_d = theta (1 + k1 theta^2 + ...).

  J outward is theta_d' z / (rho^2 + z^2), around the axis theta_d / rho. Their
  difference cancels near the axis, where its series is the more precise.
  """
  k = camera.lens.coefficients
  square = x * x + y * y
  tiny = float(jnp.finfo(square.dtype).eps) ** 0.5
  is_central = (z > 0) & (square < tiny * z * z)
  inverse_z = 1 / jnp.where(is_central, z, 1.0)
  tangent2 = square * inverse_z * inverse_z
  rho2 = jnp.where(is_central, 1.0, square)
  rho = jnp.sqrt(rho2)
  angle = jnp.arctan2(rho, z)
  angle2 = jnp.where(is_central, tangent2, angle * angle)
  slope = _fisheye_slope(k, angle2)
  flattening = 1 / (square + z * z)
  series = k[0] - 1 / 3
  around = jnp.where(
    is_central,
    inverse_z * (1 + series * tangent2),
    angle * (1 + _polynomial(k, angle2)) / rho,
  )
  excess = jnp.where(
    is_central,
    2 * series * inverse_z**3,
    (slope * z * flattening - around) / rho2,
  )
  inward = slope * flattening
  mixed = excess * x * y
  rows = (
    (around + excess * x * x, mixed, inward * x),
    (mixed, around + excess * y * y, inward * y),
  )
  return Imaged(around * x, around * y, 1.0, rows)


def _clamped_slopes(
  camera: Camera, xi: Array, eta: Array, stretch: Array | float | None = None
) -> tuple[Array, Array]:
  """Slopes x / z and y / z held within the image and its margin."""
  size = jnp.asarray([camera.width, camera.height], camera.focal.dtype)
  low = (-camera.center - CLAMP_MARGIN * size) / camera.focal
  high = ((1 + CLAMP_MARGIN) * size - camera.center) / camera.focal
  if stretch is not None:
    low, high = low * stretch, high * stretch
  return jnp.clip(xi, low[0], high[0]), jnp.clip(eta, low[1], high[1])


def _polynomial(c: Array, x: Array) -> Array:
  """c_0 x + c_1 x^2 + ..., by Horner's rule."""
  total = jnp.zeros_like(x)
  for i in reversed(range(c.shape[-1])):
    total = x * (c[i] + total)
  return total


def _derivative(c: Array, x: Array) -> Array:
  """c_0 + 2 c_1 x + 3 c_2 x^2 + ..."""
  total = jnp.zeros_like(x)
  for i in reversed(range(c.shape[-1])):
    total = (i + 1) * c[i] + x * total
  return total


def _radial(lens: Distortion, r2: Array) -> tuple[Array, Array]:
  """L = (1 + k1 r2 + k2 r2^2 + k3 r2^3) / (1 + k4 r2 + ...), and dL / dr2."""
  upper, lower = lens.radial[:3], lens.radial[3:]
  factor = 1 / (1 + _polynomial(lower, r2))
  ratio = (1 + _polynomial(upper, r2)) * factor
  rise = _derivative(upper, r2) - ratio * _derivative(lower, r2)
  return ratio, rise * factor


def _bend(lens: Distortion, x: Array, y: Array) -> tuple[Array, Array]:
  """OpenCV's distortion of the plane z = 1."""
  (p1, p2), (s1, s2, s3, s4) = lens.tangential, lens.prism
  r2 = x * x + y * y
  ratio, _ = _radial(lens, r2)
  return (
    x * ratio + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) + r2 * (s1 + s2 * r2),
    y * ratio + 2 * p2 * x * y + p1 * (r2 + 2 * y * y) + r2 * (s3 + s4 * r2),
  )


def _bend_slopes(lens: Distortion, x: Array, y: Array):
  """The Jacobian of `_bend`, by rows."""
  (p1, p2), (s1, s2, s3, s4) = lens.tangential, lens.prism
  r2 = x * x + y * y
  ratio, rise = _radial(lens, r2)
  mixed = 2 * (x * y * rise + p1 * x + p2 * y)
  prism_u, prism_v = 2 * (s1 + 2 * s2 * r2), 2 * (s3 + 2 * s4 * r2)
  return (
    (
      ratio + 2 * (x * x * rise + p1 * y + 3 * p2 * x) + prism_u * x,
      mixed + prism_u * y,
    ),
    (
      mixed + prism_v * x,
      ratio + 2 * (y * y * rise + 3 * p1 * y + p2 * x) + prism_v * y,
    ),
  )


def _fisheye_slope(k: Array, angle2: Array) -> Array:
  """d theta_d / d theta = 1 + 3 k1 theta^2 + 5 k2 theta^4 + ..."""
  return 1 + _polynomial(k, angle2) + 2 * angle2 * _derivative(k, angle2)


def _before_fold(camera: Camera, x: Array, y: Array, z: Array) -> Array:
  """Says which points are nearer to the axis than where r L(r) turns back."""
  limit = jnp.tan(_fold(camera.lens))
  return (z > 0) & (x * x + y * y < (limit * z) ** 2)


def _fold(lens: Distortion) -> Array:
  """Angle from the axis at which r L(r) stops rising, or L has a pole."""

  def falls(angles: Array) -> Array:
    r2 = jnp.tan(angles) ** 2
    ratio, rise = _radial(lens, r2)
    has_passed = 1 + _polynomial(lens.radial[3:], r2) <= 0
    return has_passed | ~(ratio + 2 * r2 * rise > 0)

  return _first(falls, WIDEST_SLOPE)


def _stretch(camera: Camera) -> Array:
  """How much farther out than a pinhole the lens sees, at the margin's corner.

  At least 1: J is held constant only beyond the margin of the *bent* image.
  """
  size = jnp.asarray([camera.width, camera.height], camera.focal.dtype)
  half = jnp.maximum(camera.center, size - camera.center) + CLAMP_MARGIN * size
  corner = safe_sqrt(jnp.sum((half / camera.focal) ** 2))
  lens = camera.lens

  def is_out(angles: Array) -> Array:
    r = jnp.tan(angles)
    return ~(r * _radial(lens, r * r)[0] < corner)

  angle = _first(is_out, WIDEST_SLOPE)
  r = jnp.tan(jnp.minimum(angle, _fold(lens)))
  ratio, _ = _radial(lens, r * r)
  stretch = jnp.maximum(1 / ratio, 1.0).astype(camera.focal.dtype)
  return jax.lax.stop_gradient(stretch)


def _before_turn(camera: Camera, x: Array, y: Array, z: Array) -> Array:
  """Says which points a fisheye images before theta_d turns back."""
  k = camera.lens.coefficients
  limit = _first(lambda t: ~(_fisheye_slope(k, t * t) > 0), WIDEST_ANGLE)
  rho = safe_sqrt(x * x + y * y)
  return jnp.sin(limit) * z > jnp.cos(limit) * rho


def _first(holds: Callable, last: float) -> Array:
  """The least angle up to `last` at which `holds` does, from below.

  Sought on a grid, and then on another between two of its angles.
  """
  start, span = 0.0, last
  for _ in range(2):
    angles = start + jnp.linspace(0.0, span, NUM_ANGLES)
    found = holds(angles)
    index = jnp.where(jnp.any(found), jnp.argmax(found) - 1, NUM_ANGLES - 1)
    start = angles[jnp.maximum(index, 0)]
    span /= NUM_ANGLES - 1
  return jax.lax.stop_gradient(jnp.minimum(start, last))


_MODELS = {
  type(None): _Model(_pinhole, lambda *_: True, {}),
  Orthographic: _Model(_orthographic, lambda *_: True, {}),
  Distortion: _Model(
    _distorted, _before_fold, {'radial': 6, 'tangential': 2, 'prism': 4}
  ),
  Fisheye: _Model(_fisheye, _before_turn, {'coefficients': 4}),
}


def _model(camera: Camera) -> _Model:
  kind = type(camera.lens)
  if kind not in _MODELS:
    names = sorted(cls.__name__ for cls in _MODELS if cls is not type(None))
    raise ValueError(
      f'the lens of a camera must be None or one of types {names}, got '
      f'{camera.lens!r}'
    )
  model = _MODELS[kind]
  for field, size in model.sizes.items():
    shape = jnp.shape(getattr(camera.lens, field))
    if shape != (size,):
      raise ValueError(
        f'{kind.__name__}.{field} of one camera must have shape ({size},), got '
        f'{shape}: fill up with zeros; take one camera of many with '
        'render.view_of'
      )
  return model
