"""The native library: C++ kernels for CPUs, called through `jax.ffi`.

`setup.py` builds it from native/ and every cpu/ where it finds a compiler.
Threads are XLA's own, and no result depends on how many there are.
"""

import ctypes
import functools
import importlib.machinery
import pathlib
import re
import warnings

import jax
import jax.numpy as jnp
from sr3d_kernels import sources

_CALLS = (
  'sr3d_moments',
  'sr3d_project_forward',
  'sr3d_project_backward',
  'sr3d_rasterize_forward',
  'sr3d_rasterize_backward',
  'sr3d_ssim_forward',
  'sr3d_ssim_backward',
)


@functools.cache
def missing() -> str | None:
  """Why the library cannot serve in this installation, or None."""
  library = _library()
  if library is None:
    return (
      'the native kernels were not built; install a C++ compiler (g++ 12 or '
      'newer, or clang++) and install sr3d_jax again'
    )
  absent = [x for x in (*_CALLS, 'sr3d_sources') if not hasattr(library, x)]
  if absent:
    return (
      f'the native kernels were built of other sources, without {absent[0]}; '
      'install sr3d_jax again'
    )
  if sources.digest() not in ('', _text(library.sr3d_sources)):
    return (
      'the native kernels were built of other sources than those beside them; '
      'install sr3d_jax again'
    )
  if not library.sr3d_runs_here():
    return (
      'the native kernels were built for another processor; install sr3d_jax '
      'again, or build with SR3D_PORTABLE=1 to move it between machines'
    )
  # A library of a newer interface does more than fail: it takes every other
  # call on the CPU down with it.
  if library.sr3d_ffi_version() > _ffi_version():
    return (
      f'the native kernels were built for a newer jaxlib than this '
      f'{jax.lib.__version__}; install sr3d_jax again'
    )
  for name in _CALLS:
    call = jax.ffi.pycapsule(getattr(library, name))
    jax.ffi.register_ffi_target(name, call, platform='cpu')
  return None


def processor() -> tuple[str, float]:
  """The widest vectors in use, and the 1e9 operations a second of one thread.

  The latter is measured: multiplications and additions on nothing but
  registers, which no kernel can exceed.
  """
  if missing():
    raise RuntimeError(missing())
  library = _library()
  library.sr3d_peak.restype = ctypes.c_double
  return _text(library.sr3d_simd), library.sr3d_peak()


def _text(function) -> str:
  function.restype = ctypes.c_char_p
  return function().decode()


@functools.cache
def _library() -> ctypes.CDLL | None:
  folder = pathlib.Path(__file__).parent
  names = [f'_native{end}' for end in importlib.machinery.EXTENSION_SUFFIXES]
  built = [folder / name for name in names if (folder / name).exists()]
  return ctypes.CDLL(str(built[0])) if built else None


def unsupported(*, dtype: jnp.dtype) -> str | None:
  """A reason not to serve: no library, no CPU, or not single precision."""
  if jax.default_backend() != 'cpu':
    return f'it runs on a CPU, and the device is a {jax.default_backend()}'
  if dtype != jnp.float32:
    return f'it computes in float32, and the arrays are {dtype}'
  return missing()


@functools.cache
def warn_if_missing() -> None:
  """Says once what a CPU loses without the library."""
  if jax.default_backend() == 'cpu' and missing():
    warnings.warn(
      f'drawing with XLA, which takes several times as long: {missing()}',
      stacklevel=3,
    )


def call(name: str, shapes: tuple[tuple[int, ...], ...]):
  """The function of one call that returns float32 arrays of these shapes."""
  outputs = tuple(jax.ShapeDtypeStruct(x, jnp.float32) for x in shapes)
  return jax.ffi.ffi_call(f'sr3d_{name}', outputs, vmap_method='sequential')


def _ffi_version() -> int:
  """1000 * major + minor of the foreign function interface of this jaxlib."""
  header = pathlib.Path(jax.ffi.include_dir()) / 'xla/ffi/api/c_api.h'
  found = dict(
    re.findall(r'#define XLA_FFI_API_(MAJOR|MINOR) (\d+)', header.read_text())
  )
  return 1000 * int(found['MAJOR']) + int(found['MINOR'])
