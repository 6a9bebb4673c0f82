"""SSIM in C++: both passes of the window row by row; see cpu/ and `native`."""

import numpy as np
from sr3d_kernels import native
from sr3d_kernels.ssim.window import C1, C2, TAPS

_CONSTANTS = {'c1': np.float32(C1), 'c2': np.float32(C2)}


def unsupported(*, dtype) -> str | None:
  """A reason not to serve: no library, no CPU, or not single precision."""
  return native.unsupported(dtype=dtype)


def forward(images, targets):
  """The map [B, H, W, C]; see `ssim_map`."""
  call = native.call('ssim_forward', (images.shape,))
  return call(images, targets, TAPS, **_CONSTANTS)[0]


def backward(images, targets, cotangent):
  """The cotangent of `images`."""
  call = native.call('ssim_backward', (images.shape,))
  return call(images, targets, cotangent, TAPS, **_CONSTANTS)[0]
