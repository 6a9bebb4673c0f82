"""Structural similarity at every pixel: half of the loss of 3DGS.

`ssim_map` is the contract. A backend is a module with

  forward(images, targets) -> map, of the shape of both
  backward(images, targets, cotangent) -> cotangent of images
  unsupported(*, dtype) -> a reason, or None

and meets [B, H, W, C]. The map is symmetric, so that one backward serves both
arguments.
"""

import functools
import math

import jax
import jax.numpy as jnp
from sr3d_kernels import backends
from sr3d_kernels.ssim import cpu, xla

BACKENDS = {'cpu': cpu, 'xla': xla}

Array = jax.Array


def ssim_map(
  images: Array, targets: Array, *, backend: str | None = None
) -> Array:
  """Structural similarity at each pixel, by the convention of 3DGS.

  (2 μxμy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)) over an 11 x 11
  Gaussian window of sigma 1.5; beyond the border there are zeros (Wang et al.
  2004, "Image Quality Assessment").

  Args:
    images: [..., H, W, C] in [0, 1].
    targets: as `images`.
    backend: a name of `BACKENDS`; None takes the first that serves.

  Returns:
    [..., H, W, C], at most 1.
  """
  if images.shape != targets.shape or images.ndim < 3:
    raise ValueError(
      'ssim_map wants two arrays of one shape [..., H, W, C], got '
      f'{images.shape} and {targets.shape}'
    )
  dtype = jnp.result_type(images, targets, jnp.float32)
  name = backends.choose(BACKENDS, backend, dtype=dtype)
  images, targets = (jnp.asarray(x, dtype) for x in (images, targets))
  batch = (math.prod(images.shape[:-3]), *images.shape[-3:])
  values = _map(name, images.reshape(batch), targets.reshape(batch))
  return values.reshape(images.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _map(name, images, targets):
  return BACKENDS[name].forward(images, targets)


def _map_fwd(name, images, targets):
  return _map(name, images, targets), (images, targets)


def _map_bwd(name, saved, cotangent):
  images, targets = saved
  backward = BACKENDS[name].backward
  return (
    backward(images, targets, cotangent),
    backward(targets, images, cotangent),
  )


_map.defvjp(_map_fwd, _map_bwd)
