"""Gaussians + Camera -> Splats.

The local affine (EWA) approximation in square-root form: with M = R R_q S the
camera-space factor and J the Jacobian of `optics`, the rows a = J_0 M and
b = J_1 M give Sigma_xx = a.a, Sigma_xy = a.b, Sigma_yy = b.b and
det = |a x b|^2, free of cancellation. `blur` with a compensated opacity
imitates the pixel (Yu et al. 2024, "Mip-Splatting").
"""

import functools
import numbers
import operator

import jax
import jax.numpy as jnp
from sr3d_kernels import project as native
from sr3d_kernels.rasterize.constants import ALPHA_MIN

from sr3d_jax import geometry, optics, sh
from sr3d_jax.numerics import safe_norm, safe_sqrt
from sr3d_jax.types import Array, Camera, Gaussians, Splats

COMPENSATION_FLOOR = 0.005  # keeps a sub-pixel splat and its gradient alive
WIDEST = 1e8  # standard deviation, px: what is larger is no splat

# What Mip-Splatting's released code computes, for `released` configs only.
MIP_SPLATTING = {'blur': 0.1, 'compensation': 'mip_splatting', 'near': 0.2}


def _no_compensation(det_sharp: Array, det: Array) -> Array:
  return jnp.ones_like(det)


def _clamped_compensation(det_sharp: Array, det: Array) -> Array:
  return safe_sqrt(jnp.maximum(det_sharp / det, COMPENSATION_FLOOR**2))


def _released_compensation(det_sharp: Array, det: Array) -> Array:
  tiny = 1e-6
  ratio = jnp.maximum(det_sharp, tiny) / (jnp.maximum(det, tiny) + tiny)
  degenerate = (det_sharp <= tiny) | (det <= tiny)
  return jnp.where(degenerate, 0.0, safe_sqrt(ratio + tiny))


COMPENSATIONS = {
  'none': _no_compensation,
  'clamped': _clamped_compensation,
  'mip_splatting': _released_compensation,
}


def _valid_inputs(gaussians: Gaussians) -> Array:
  """[N] bool: every parameter finite (an infinite logit is a plain 0 or 1)."""
  finite = jnp.all(jnp.isfinite(gaussians.means), axis=-1)
  finite &= jnp.all(jnp.isfinite(gaussians.scales), axis=-1)
  finite &= jnp.all(jnp.isfinite(gaussians.quats), axis=-1)
  finite &= jnp.all(jnp.isfinite(gaussians.sh), axis=(-2, -1))
  finite &= ~jnp.isnan(gaussians.opacity_logits)
  return finite & (jnp.sum(gaussians.quats**2, axis=-1) > 1e-20)


def _replace_invalid(gaussians: Gaussians, valid: Array) -> Gaussians:
  """Puts a harmless Gaussian wherever `valid` is False."""
  harmless = Gaussians(
    means=jnp.zeros(3),
    log_scales=jnp.zeros(3),
    quats=jnp.asarray([1.0, 0.0, 0.0, 0.0]),
    opacity_logits=jnp.zeros(()),
    sh=jnp.zeros(gaussians.sh.shape[-2:]),
  )

  def choose(x: Array, constant: Array) -> Array:
    mask = valid.reshape(valid.shape + (1,) * (x.ndim - 1))
    return jnp.where(mask, x, constant.astype(x.dtype))

  return jax.tree.map(choose, gaussians, harmless)


# Matrix units round to ten bits unless told not to: points would be pixels off.
_matmul = functools.partial(jnp.matmul, precision='highest')


def _dot(u: list[Array], v: list[Array]) -> Array:
  return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


def _cross(u: list[Array], v: list[Array]) -> list[Array]:
  return [
    u[1] * v[2] - u[2] * v[1],
    u[2] * v[0] - u[0] * v[2],
    u[0] * v[1] - u[1] * v[0],
  ]


def _along(row: optics.Row, factor: list[list[Array]], k: int) -> Array:
  """Entry k of a row of J times M, [N], over the row's gain."""
  terms = [c * m[k] for c, m in zip(row[:2], factor) if c is not None]
  total = functools.reduce(operator.add, terms)
  return total if row[2] is None else total - row[2] * factor[2][k]


def project(
  gaussians: Gaussians,
  camera: Camera,
  *,
  blur: float = 0.1,
  compensation: str = 'clamped',
  near: float = 0.01,
  backend: str | None = None,
  factors: Array | None = None,
) -> Splats:
  """Projects 3D Gaussians to the screen by the local affine approximation.

  Sigma' = J W Sigma W^T J^T + blur I (Zwicker et al. 2001, "EWA Volume
  Splatting"). The colour is max(0, sum_k c_k Y_k(d) + 1/2).

  Args:
    gaussians: [N], in world space.
    camera: one camera, of any lens.
    blur: variance added on screen, px^2.
    compensation: how opacity pays for the blur: 'none' (plain 3DGS),
      'clamped' sqrt(det / det') not below 0.005, or 'mip_splatting' (released).
    near: splats at depth <= near are culled, scene units.
    backend: of `rasterize`; 'cpu' and None let C++ project for a pinhole.
    factors: [N, 3, 3] F of the covariances F F^T, scene units, in the place of
      quats and scales, which then count for nothing: of splits, whose axes have
      no gradient. C++ does not know them.

  Returns:
    [N] splats; those culled or not finite have zero opacity and radius, and
    their Gaussians get exactly zero gradients.
  """
  if compensation not in COMPENSATIONS:
    raise ValueError(
      f'compensation must be one of {sorted(COMPENSATIONS)}, '
      f'got {compensation!r}'
    )
  if (
    factors is None
    and backend in (None, 'cpu')
    and _is_for_cpp(gaussians, camera, blur, compensation, near)
  ):
    return _project_natively(gaussians, camera, blur, compensation, near)
  valid = _valid_inputs(gaussians)
  gaussians = _replace_invalid(gaussians, valid)
  widths = gaussians.scales
  if factors is not None:
    valid &= jnp.all(jnp.isfinite(factors), axis=(-2, -1))
    factors = jnp.where(valid[:, None, None], factors, jnp.eye(3))
    widths = jax.lax.stop_gradient(safe_norm(factors))  # of rows: no narrower
  view = camera.world_to_cam[:3, :3]
  points = _matmul(gaussians.means, view.T) + camera.world_to_cam[:3, 3]
  valid &= jnp.all(jnp.isfinite(points), axis=-1)
  valid &= optics.sees(camera, *(points[:, i] for i in range(3)), near)
  # All that could overflow is left out before it is squared.
  widest = jnp.max(widths, axis=-1) * jnp.max(camera.focal)
  valid &= widest < WIDEST * jnp.abs(points[:, 2])
  x, y, z = optics.on_axis_unless(valid, points)
  imaged = optics.image(camera, x, y, z)

  factor = _seen_factors(gaussians, factors, view, valid)
  gain_x = camera.focal[0] * imaged.gain
  gain_y = camera.focal[1] * imaged.gain
  a = [gain_x * _along(imaged.rows[0], factor, k) for k in range(3)]
  b = [gain_y * _along(imaged.rows[1], factor, k) for k in range(3)]
  aa, ab, bb = _dot(a, a), _dot(a, b), _dot(b, b)
  normal = _cross(a, b)
  det_sharp = _dot(normal, normal)
  det = jnp.maximum(det_sharp + blur * (aa + bb) + blur**2, 1e-10)
  valid &= jnp.isfinite(det)
  det = jnp.where(valid, det, 1.0)

  compensate = COMPENSATIONS[compensation]
  opacities = gaussians.opacities * compensate(
    jnp.where(valid, det_sharp, 1.0), det
  )
  opacities = jnp.where(valid, opacities, 0.0)
  level = 2 * jnp.log(jnp.maximum(opacities / ALPHA_MIN, 1.0))
  reach = jnp.sqrt(level * (jnp.maximum(aa, bb) + blur))
  directions = optics.directions(camera, gaussians.means)
  colors = jnp.maximum(sh.evaluate(gaussians.sh, directions) + 0.5, 0.0)
  mean_x = camera.focal[0] * imaged.u + camera.center[0]
  mean_y = camera.focal[1] * imaged.v + camera.center[1]
  onscreen = (mean_x + reach > 0) & (mean_x - reach < camera.width)
  onscreen &= (mean_y + reach > 0) & (mean_y - reach < camera.height)
  inverse_det = 1 / det
  conics = [(bb + blur), -ab, (aa + blur)]
  return Splats(
    means2d=jnp.stack([mean_x, mean_y], axis=-1),
    conics=jnp.stack(
      [jnp.where(valid, c * inverse_det, 1.0) for c in conics], axis=-1
    ),
    opacities=opacities,
    features=colors,
    depths=optics.depth(camera, x, y, z),
    radii=jax.lax.stop_gradient(jnp.where(valid & onscreen, reach, 0.0)),
  )


def _seen_factors(
  gaussians: Gaussians, factors: Array | None, view: Array, valid: Array
) -> list[list[Array]]:
  """Entries [N] of the 3 x 3 factors of the covariances in the camera."""
  if factors is not None:
    factors = jnp.where(valid[:, None, None], factors, jnp.eye(3))
    seen = _matmul(view, factors)
    return [[seen[:, i, k] for k in range(3)] for i in range(3)]
  rotation = _matmul(view, geometry.quat_to_rotation(gaussians.quats))
  scales = jnp.where(valid[:, None], gaussians.scales, 1.0)
  return [
    [rotation[:, i, k] * scales[:, k] for k in range(3)] for i in range(3)
  ]


def _is_for_cpp(gaussians, camera, blur, compensation, near) -> bool:
  """Whether `kernels.project` knows all of this; numbers may not be traced."""
  if camera.lens is not None or gaussians.sh.shape[-1] != 3:
    return False
  if not all(isinstance(x, numbers.Real) for x in (blur, near)):
    return False
  dtype = jnp.result_type(*jax.tree.leaves((gaussians, camera)))
  return native.unsupported(dtype=dtype, compensation=compensation) is None


def _project_natively(
  gaussians: Gaussians,
  camera: Camera,
  blur: float,
  compensation: str,
  near: float,
) -> Splats:
  """What `project` says, in C++."""
  arrays = native.project(
    gaussians.means,
    gaussians.log_scales,
    gaussians.quats,
    gaussians.opacity_logits,
    gaussians.sh,
    camera.world_to_cam,
    camera.focal,
    camera.center,
    camera.position,
    width=camera.width,
    height=camera.height,
    blur=blur,
    compensation=compensation,
    near=near,
    margin=optics.CLAMP_MARGIN,
    floor=COMPENSATION_FLOOR,
  )
  means2d, conics, opacities, features, depths, radii = arrays
  return Splats(
    means2d=means2d,
    conics=conics,
    opacities=opacities,
    features=features,
    depths=depths,
    radii=jax.lax.stop_gradient(radii),
  )
