"""Moments in C++: both walks of a tile at once; see cpu/ and `native`."""

import jax.numpy as jnp
import numpy as np
from sr3d_kernels import native

NEEDS_CAPACITY = False

_CHANNELS = 3


def unsupported(*, dtype, channels) -> str | None:
  """A reason not to serve: no library, no CPU, other arrays than it knows."""
  if channels > _CHANNELS:
    return f'it knows up to {_CHANNELS} channels, not {channels}'
  return native.unsupported(dtype=dtype)


def forward(
  means2d, conics, opacities, colors, depths, background, residual, weights,
  *, width, height, capacity,
):  # fmt: skip
  """Sums [N, 32] over the pixels, and no overflow; see `moments`."""
  del capacity
  missing = _CHANNELS - colors.shape[1]
  colors = jnp.pad(colors, [(0, 0), (0, missing)])
  background = jnp.pad(background, (0, missing))
  is_signed = residual is not None
  if is_signed:
    residual = jnp.pad(residual, [(0, 0), (0, 0), (0, missing)])
  else:
    residual = jnp.zeros((0, 0, _CHANNELS), jnp.float32)
  call = native.call('moments', ((len(means2d), 32),))
  (sums,) = call(
    means2d, conics, opacities, colors, depths, background, residual, weights,
    width=np.int64(width), height=np.int64(height), is_signed=is_signed,
  )  # fmt: skip
  return sums, jnp.array(False)
