"""Tiled compositing in C++, through `jax.ffi`: what draws on a CPU.

The sources are in cpu/. `setup.py` builds them where it finds a compiler; where
it did not, `missing` says so and `xla` serves. Lists are made inside the call,
so there is no capacity to plan and nothing overflows, and they are made again
in the backward pass, which is cheaper than to carry arrays of unknown size.
Threads are XLA's own. No sum depends on how many there are: images and
gradients have the same bits for any number.
"""

import ctypes
import functools
import importlib.machinery
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np

NEEDS_CAPACITY = False

_CALLS = ('sr3d_rasterize_forward', 'sr3d_rasterize_backward')


@functools.cache
def missing() -> str | None:
  """Why the library cannot serve in this installation, or None."""
  folder = pathlib.Path(__file__).parent
  names = [f'_cpu{end}' for end in importlib.machinery.EXTENSION_SUFFIXES]
  built = [folder / name for name in names if (folder / name).exists()]
  if not built:
    return (
      'it was not built; install a C++ compiler (g++ or clang++) and install '
      'sr3d_jax again'
    )
  library = ctypes.CDLL(str(built[0]))
  if not library.sr3d_runs_here():
    return (
      'it was built for another processor; install sr3d_jax again, or build '
      'with SR3D_PORTABLE=1 to move it between machines'
    )
  # A library of a newer interface does more than fail: it takes every other
  # call on the CPU down with it.
  if library.sr3d_ffi_version() > _ffi_version():
    return (
      f'it was built for a newer jaxlib than {jax.lib.__version__}; install '
      'sr3d_jax again'
    )
  for name in _CALLS:
    call = jax.ffi.pycapsule(getattr(library, name))
    jax.ffi.register_ffi_target(name, call, platform='cpu')
  return None


def _ffi_version() -> int:
  """1000 * major + minor of the foreign function interface of this jaxlib."""
  header = pathlib.Path(jax.ffi.include_dir()) / 'xla/ffi/api/c_api.h'
  found = dict(
    re.findall(r'#define XLA_FFI_API_(MAJOR|MINOR) (\d+)', header.read_text())
  )
  return 1000 * int(found['MAJOR']) + int(found['MINOR'])


def unsupported(*, dtype, **_) -> str | None:
  """A reason not to serve: no library, no CPU, or no single precision."""
  if jax.default_backend() != 'cpu':
    return f'it draws on a CPU, and the device is a {jax.default_backend()}'
  if dtype != jnp.float32:
    return f'it draws float32, and the splats are {dtype}'
  return missing()


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
  outputs = tuple(jax.ShapeDtypeStruct(x, jnp.float32) for x in shapes)
  call = jax.ffi.ffi_call(_CALLS[0], outputs, vmap_method='sequential')
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
  outputs = tuple(
    jax.ShapeDtypeStruct(x.shape, jnp.float32)
    for x in (means2d, *others, means2d)
  )
  call = jax.ffi.ffi_call(_CALLS[1], outputs, vmap_method='sequential')
  size = _size(width, height)
  return call(*arrays, image, transmittance, *cotangents, **size,
              with_abs=with_abs)  # fmt: skip


def _size(width, height):
  return {'width': np.int64(width), 'height': np.int64(height)}
