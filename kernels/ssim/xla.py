"""SSIM in plain XLA: the definition, and its gradient by autodiff."""

import jax
import jax.numpy as jnp
from sr3d_kernels.ssim.window import C1, C2, RADIUS, TAPS


def unsupported(*, dtype) -> None:
  """This backend serves every input."""


def forward(images, targets):
  """The map [B, H, W, C]; see `ssim_map`."""
  x, y = _window(images), _window(targets)
  squares = _window(images * images + targets * targets)
  product = _window(images * targets)
  means = x * x + y * y
  luminance = (2 * x * y + C1) / (means + C1)
  structure = (2 * (product - x * y) + C2) / (squares - means + C2)
  return luminance * structure


def backward(images, targets, cotangent):
  """The cotangent of `images`."""
  _, pull = jax.vjp(lambda x: forward(x, targets), images)
  return pull(cotangent)[0]


@jax.custom_vjp
def _window(images):
  """Averages over the window.

  With symmetric taps and zeros outside this is its own transpose. Saying so
  makes the gradient a blur too, several times faster than transposed slices.
  """
  batch, height, width, channels = images.shape
  padded = jnp.pad(images, ((0, 0), (0, 0), (RADIUS, RADIUS), (0, 0)))
  padded = padded.reshape(batch, height, (width + 2 * RADIUS) * channels)
  rows = _correlate(padded, channels, width * channels, axis=2)
  padded = jnp.pad(rows, ((0, 0), (RADIUS, RADIUS), (0, 0)))
  return _correlate(padded, 1, height, axis=1).reshape(images.shape)


_window.defvjp(
  lambda images: (_window(images), None),
  lambda _, cotangent: (_window(cotangent),),
)


def _correlate(padded, stride, size, axis):
  """Sums weighted slices of length `size`, `stride` apart along an axis.

  The barriers keep XLA from fusing one pass into the next, which would repeat
  the first for every tap of the second.
  """
  padded = jax.lax.optimization_barrier(padded)
  total = sum(
    tap * jax.lax.slice_in_dim(padded, k * stride, k * stride + size, axis=axis)
    for k, tap in enumerate(TAPS)
  )
  return jax.lax.optimization_barrier(total)
