"""Tiled compositing in C++: what draws on a CPU; see cpu/ and `native`.

Lists are made inside the call, so there is no capacity to plan and nothing
overflows. They are made again in the backward pass, which is cheaper than to
carry arrays of unknown size. Images and gradients have the same bits for any
number of threads.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels import native

NEEDS_CAPACITY = False


def unsupported(*, dtype, **_) -> str | None:
  """A reason not to serve: no library, no CPU, or not single precision."""
  return native.unsupported(dtype=dtype)


def draw(
  means2d,
  conics,
  opacities,
  features,
  depths,
  background,
  abs_probe,
  *,
  width,
  height,
):
  """Draws whatever splats; see `rasterize` for shapes.

  Returns:
    [H, W, C] image, [H, W] alpha, [H, W] depth.
  """
  size = (width, height, abs_probe is not None)
  if abs_probe is None:
    abs_probe = jnp.zeros_like(means2d)
  splats = (means2d, conics, opacities, features, depths)
  return _draw(size, *splats, background, abs_probe)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _draw(size, *arrays):
  return _forward(size, *arrays)[0]


def _forward(size, *arrays):
  *splats, background, _ = arrays
  width, height, _ = size
  plane = (height, width)
  shapes = (*plane, len(background)), plane, plane, plane
  call = native.call('rasterize_forward', shapes)
  image, alpha, depth, transmittance = call(
    *splats, background, **_int64(width=width, height=height)
  )
  return (image, alpha, depth), (splats, image, depth, transmittance)


def _backward(size, residuals, cotangents):
  splats, image, depth, transmittance = residuals
  width, height, with_abs = size
  shapes = tuple(x.shape for x in (*splats, splats[0]))
  call = native.call('rasterize_backward', shapes)
  *grads, absolute = call(
    *splats,
    image,
    depth,
    transmittance,
    *cotangents,
    **_int64(width=width, height=height),
    with_abs=with_abs,
  )
  v_background = jnp.sum(transmittance[..., None] * cotangents[0], (0, 1))
  return (*grads, v_background, absolute)


_draw.defvjp(_forward, _backward)


def _int64(**sizes):
  return {name: np.int64(x) for name, x in sizes.items()}
