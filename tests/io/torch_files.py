"""Checkpoints as PyTorch writes them, opcode by opcode and without PyTorch."""

import os
import pickle
import tempfile
import zipfile
from typing import Any, NamedTuple

import numpy as np

# A program is compiled once in a run of the tests, whichever process comes
# first: the workers of xdist and what tests start inherit the folder.
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
  PROGRAMS = tempfile.TemporaryDirectory(prefix='sr3d_programs_')
  os.environ['JAX_COMPILATION_CACHE_DIR'] = PROGRAMS.name
  os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.1'


class Call(NamedTuple):
  """In a pickle: `module.name` called with `args`, its `state` set then.

  With None for `args` the name stands there by itself.
  """

  module: str
  name: str
  args: tuple | None = ()
  state: Any = None


def _pickled(value, storages):
  """Opcodes that build a value; its arrays are added to `storages`."""

  def each(values):
    return b''.join(_pickled(value, storages) for value in values)

  if isinstance(value, Call):
    code = f'c{value.module}\n{value.name}\n'.encode()
    if value.args is not None:
      code += b'(' + each(value.args) + b'tR'
    return code + (each([value.state]) + b'b' if value.state else b'')
  if isinstance(value, np.ndarray):
    return _pickled(_tensor(value, storages), storages)
  if isinstance(value, dict):
    return b'}(' + each(x for pair in value.items() for x in pair) + b'u'
  if isinstance(value, list):
    return b'](' + each(value) + b'e'
  if isinstance(value, bytes):  # opcodes already
    return value
  return pickle.dumps(value, protocol=2)[2:-1]


def _tensor(array, storages):
  kinds = {'float32': 'Float', 'float16': 'Half', 'float64': 'Double'}
  kind = Call('torch', f'{kinds[array.dtype.name]}Storage', None)
  key = str(len(storages))
  storages.append(np.ascontiguousarray(array).tobytes())
  parts = ('storage', kind, key, 'cpu', array.size)
  storage = b'(' + b''.join(_pickled(x, storages) for x in parts) + b'tQ'
  strides = tuple(s // array.itemsize for s in array.strides)
  hooks = Call('collections', 'OrderedDict')
  args = (storage, 0, array.shape, strides, False, hooks)
  return Call('torch._utils', '_rebuild_tensor_v2', args)


def write(path, tree):
  """Writes a tree as torch.save does: arrays are tensors; see `Call`."""
  storages = []
  code = b'\x80\x02' + _pickled(tree, storages) + b'.'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', code)
    for key, data in enumerate(storages):
      archive.writestr(f'archive/data/{key}', data)
    archive.writestr('archive/byteorder', 'little')
  return path
