"""Gaussians to splats, for a pinhole: the fast twin of one function above.

`sr3d_jax.render.project` defines what it computes, for every camera; here is
what C++ does faster, with the same numbers up to rounding. A test holds the two
together, gradients included.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels import native

COMPENSATIONS = ('none', 'clamped')
CHUNK = 4096  # Gaussians whose shares of the camera's gradient are one sum
NUM_SUMS = 19  # of rotation, translation, focal, center and position

_NAMES = (
  'means', 'log_scales', 'quats', 'opacity_logits', 'sh', 'world_to_cam',
  'focal', 'center', 'position',
)  # fmt: skip

Array = jax.Array


@jax.tree_util.register_static
class _Static(int):
  """A number that is known while tracing, among residuals."""


def unsupported(*, dtype: jnp.dtype, compensation: str) -> str | None:
  """A reason not to serve, or None."""
  if compensation not in COMPENSATIONS:
    return f'it knows the compensations {COMPENSATIONS}, not {compensation!r}'
  return native.unsupported(dtype=dtype)


def project(
  means: Array,
  log_scales: Array,
  quats: Array,
  opacity_logits: Array,
  sh: Array,
  world_to_cam: Array,
  focal: Array,
  center: Array,
  position: Array,
  *,
  width: int,
  height: int,
  blur: float,
  compensation: str,
  near: float,
  margin: float,
  floor: float,
) -> tuple[Array, ...]:
  """Projects 3D Gaussians by the local affine approximation.

  Differentiable in reverse mode only.

  Args:
    means: [N, 3] in world space.
    log_scales: [N, 3].
    quats: [N, 4] wxyz, of any length but 0.
    opacity_logits: [N].
    sh: [N, K, 3] coefficients, K of 1, 4, 9, 16.
    world_to_cam: [4, 4].
    focal: [2] px.
    center: [2] px.
    position: [3] of the camera in world space, for the harmonics.
    width: columns, px.
    height: rows, px.
    blur: variance added on screen, px^2.
    compensation: of `COMPENSATIONS`.
    near: splats at depth <= near are culled.
    margin: of the image on each side, beyond which the slopes are held.
    floor: least factor of the clamped compensation.

  Returns:
    [N, 2] means2d, [N, 3] conics, [N] opacities, [N, 3] features, [N] depths,
    [N] radii; the last without a gradient.
  """
  settings = (
    ('width', np.int64(width)),
    ('height', np.int64(height)),
    ('blur', np.float32(blur)),
    ('near', np.float32(near)),
    ('margin', np.float32(margin)),
    ('floor', np.float32(floor if compensation == 'clamped' else -1)),
  )
  arrays = (means, log_scales, quats, opacity_logits, sh)
  arrays += (world_to_cam, focal, center, position)
  arrays = tuple(jnp.asarray(x, jnp.float32) for x in arrays)
  _check(arrays)
  return _project(settings, *arrays)


def _check(arrays):
  """Raises where shapes do not fit together: C++ sees addresses alone."""
  sh = arrays[4]
  n, k = len(arrays[0]), sh.shape[1] if sh.ndim == 3 else 0
  if k not in (1, 4, 9, 16):
    raise ValueError(
      f'harmonics come in 1, 4, 9 or 16: sh must be [N, K, 3], got {sh.shape}'
    )
  shapes = (n, 3), (n, 3), (n, 4), (n,), (n, k, 3), (4, 4), (2,), (2,), (3,)
  for name, array, shape in zip(_NAMES, arrays, shapes):
    if array.shape != shape:
      raise ValueError(
        f'{name} must have shape {shape}, got {array.shape}; of many cameras '
        'take one at a time'
      )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _project(settings, *arrays):
  n = len(arrays[0])
  shapes = (n, 2), (n, 3), (n,), (n, 3), (n,), (n,)
  call = native.call('project_forward', shapes)
  return tuple(call(*arrays, **dict(settings)))


def _forward(settings, *primals):
  arrays = tuple(x.value for x in primals)
  with_camera = any(x.perturbed for x in primals[5:])
  return _project(settings, *arrays), (arrays, _Static(with_camera))


def _backward(settings, residuals, cotangents):
  arrays, with_camera = residuals
  gaussians = arrays[:5]
  num_chunks = -(-len(gaussians[0]) // CHUNK) if with_camera else 0
  shapes = (*(x.shape for x in gaussians), (num_chunks, NUM_SUMS))
  call = native.call('project_backward', shapes)
  *others, _ = map(_instantiate, cotangents)
  *grads, sums = call(*arrays, *others, **dict(settings))
  return (*grads, *_camera_of(jnp.sum(sums, axis=0)))


def _instantiate(cotangent):
  if isinstance(cotangent, jax.custom_derivatives.SymbolicZero):
    return jnp.zeros(cotangent.shape, cotangent.dtype)
  return cotangent


def _camera_of(sums):
  """Cotangents of world_to_cam, focal, center, position."""
  turned, moved, focal, center, position = jnp.split(sums, [9, 12, 14, 16])
  pose = jnp.concatenate([turned.reshape(3, 3), moved[:, None]], axis=1)
  return jnp.pad(pose, [(0, 1), (0, 0)]), focal, center, position


_project.defvjp(_forward, _backward, symbolic_zeros=True)
