"""Tiled compositing in C++: what draws on a CPU; see cpu/ and `native`.

Lists are made inside the call, so there is no capacity to plan and nothing
overflows. They are made again in the backward pass, which is cheaper than to
carry arrays of unknown size. Images and gradients have the same bits for any
number of threads.
"""

import jax.numpy as jnp
import numpy as np
from sr3d_kernels import native

NEEDS_CAPACITY = False


def unsupported(*, dtype, **_) -> str | None:
  """A reason not to serve: no library, no CPU, or not single precision."""
  return native.unsupported(dtype=dtype)


def forward(
  means2d, conics, opacities, channels, depths, *, width, height, capacity
):
  """Composites valid splats; see `rasterize` for shapes.

  Returns:
    ([H, W, C] accumulated channels, [H, W] transmittance, overflow), residuals.
  """
  del capacity
  arrays = (means2d, conics, opacities, channels, depths)
  shapes = (height, width, channels.shape[1]), (height, width)
  call = native.call('rasterize_forward', shapes)
  image, transmittance = call(*arrays, **_size(width, height))
  outputs = (image, transmittance, jnp.array(False))
  return outputs, (arrays, image, transmittance)


def backward(residuals, cotangents, *, width, height, with_abs):
  """Makes the lists again and walks them, near to far.

  Returns:
    Cotangents of means2d, conics, opacities and channels, and the [N, 2] sum
    over pixels of |dL/dmeans2d| (zeros unless `with_abs`).
  """
  arrays, image, transmittance = residuals
  means2d, *others, _ = arrays
  shapes = tuple(x.shape for x in (means2d, *others, means2d))
  call = native.call('rasterize_backward', shapes)
  inputs = (*arrays, image, transmittance, *cotangents)
  return call(*inputs, **_size(width, height), with_abs=with_abs)


def _size(width, height):
  return {'width': np.int64(width), 'height': np.int64(height)}
