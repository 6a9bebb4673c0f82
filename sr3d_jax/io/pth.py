"""PyTorch state dicts as numpy arrays, without PyTorch.

PyTorch checkpoints are pickles, and a pickle is a program. This reader runs
none of it: the few names that a plain state dict mentions are mapped to records
of our own, every other name is refused, and arrays are cut from the raw bytes
only after their bounds are checked. Both layouts occur, the zip archive (torch
1.6 and later) and the legacy stream of pickles before it.
"""

import collections
import io
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_DTYPES = {
  'DoubleStorage': np.dtype('<f8'),
  'FloatStorage': np.dtype('<f4'),
  'HalfStorage': np.dtype('<f2'),
  'BFloat16Storage': np.dtype(jnp.bfloat16),
  'LongStorage': np.dtype('<i8'),
  'IntStorage': np.dtype('<i4'),
  'ShortStorage': np.dtype('<i2'),
  'CharStorage': np.dtype('i1'),
  'ByteStorage': np.dtype('u1'),
  'BoolStorage': np.dtype('?'),
}


# What a damaged or hostile pickle provokes in the reader.
_MALFORMED = (
  pickle.UnpicklingError,
  zipfile.BadZipFile,
  ArithmeticError,
  AttributeError,
  EOFError,
  LookupError,
  TypeError,
)


class _Storage(NamedTuple):
  """Raw numbers elsewhere in the file, shared by any number of tensors."""

  key: str
  kind: str
  num_values: int


class _Tensor(NamedTuple):
  """A strided window on a storage; sizes, strides and offset in values."""

  storage: _Storage
  offset: int
  sizes: tuple[int, ...]
  strides: tuple[int, ...]


def _tensor(storage, offset, sizes, strides, *_):
  return _Tensor(storage, offset, tuple(sizes), tuple(strides))


def _parameter(tensor, *_):
  return tensor


_ALLOWED = {
  ('collections', 'OrderedDict'): collections.OrderedDict,
  ('torch._utils', '_rebuild_tensor_v2'): _tensor,
  ('torch._utils', '_rebuild_parameter'): _parameter,
} | {('torch', kind): kind for kind in _DTYPES}


class _Unpickler(pickle.Unpickler):
  """Knows the names of a plain state dict and refuses all others."""

  def find_class(self, module: str, name: str):
    if (module, name) not in _ALLOWED:
      raise ValueError(
        f'the file asks for {module}.{name}, which a plain state dict does not '
        'need, and nothing in it will be run: save it again as '
        'torch.save(model.state_dict(), path)'
      )
    return _ALLOWED[module, name]

  def persistent_load(self, pid):
    tag, kind, key, _, num_values = pid[:5]
    if tag != 'storage' or kind not in _DTYPES or (len(pid) > 5 and pid[5]):
      raise ValueError(f'expected a whole storage of numbers, got {pid!r}')
    return _Storage(str(key), kind, int(num_values))


def _cut(tensor: _Tensor, values: np.ndarray) -> np.ndarray:
  """Copies a tensor out of its storage's values once its bounds are checked."""
  offset, sizes, strides = tensor.offset, tensor.sizes, tensor.strides
  last = offset + sum((n - 1) * s for n, s in zip(sizes, strides))
  if (
    len(sizes) != len(strides)
    or min((offset, *sizes, *strides)) < 0
    or np.prod(sizes, dtype=object) > len(values)
    or (0 not in sizes and last >= len(values))
  ):
    raise ValueError(
      f'a tensor of sizes {sizes}, strides {strides}, offset {offset} leaves '
      f'its storage of {len(values)} values: the file is damaged'
    )
  step = values.itemsize
  return np.lib.stride_tricks.as_strided(
    values[offset:], sizes, [s * step for s in strides]
  ).copy()


def _values(storage: _Storage, data: bytes) -> np.ndarray:
  """Storage bytes (little endian) as a vector of its type."""
  dtype = _DTYPES[storage.kind]
  if len(data) != storage.num_values * dtype.itemsize:
    raise ValueError(
      f'storage {storage.key} should hold {storage.num_values} values of '
      f'{dtype}, got {len(data)} bytes: the file is cut short or damaged'
    )
  return np.frombuffer(data, dtype)


def _read_zip(path: Path):
  """Returns the unpickled tree and storage -> its values."""
  archive = zipfile.ZipFile(path)
  names = [n for n in archive.namelist() if re.fullmatch(r'[^/]+/data\.pkl', n)]
  if len(names) != 1:
    raise ValueError(f'expected one <folder>/data.pkl inside, found {names}')
  folder = names[0].split('/')[0]
  tree = _Unpickler(io.BytesIO(archive.read(names[0]))).load()
  return tree, lambda s: _values(s, archive.read(f'{folder}/data/{s.key}'))


def _read_legacy(path: Path):
  """Returns the unpickled tree and storage -> its values."""
  file = io.BytesIO(path.read_bytes())
  magic, protocol = (_Unpickler(file).load() for _ in range(2))
  if (magic, protocol) != (_LEGACY_MAGIC, _LEGACY_PROTOCOL):
    raise ValueError('neither a zip archive nor a legacy PyTorch file')
  _Unpickler(file).load()  # type sizes of the machine that saved it
  tree = _Unpickler(file).load()
  keys = _Unpickler(file).load()
  kinds = {t.storage.key: t.storage for t in _tensors(tree)}
  data = {}
  for key in map(str, keys):
    if key not in kinds:
      raise ValueError(f'storage {key} belongs to no tensor of the state dict')
    num_values = int.from_bytes(file.read(8), 'little')
    num_bytes = num_values * _DTYPES[kinds[key].kind].itemsize
    data[key] = file.read(num_bytes)
  return tree, lambda s: _values(s, data[s.key])


def _tensors(tree) -> list[_Tensor]:
  """All tensors of nested dictionaries."""
  if isinstance(tree, _Tensor):
    return [tree]
  if isinstance(tree, Mapping):
    return [t for value in tree.values() for t in _tensors(value)]
  return []


def _section(tree, names: Sequence[str]):
  """The dictionary below these keys of nested dictionaries."""
  for name in names:
    if not isinstance(tree, Mapping) or name not in tree:
      entries = list(tree)[:8] if isinstance(tree, Mapping) else 'no sections'
      raise ValueError(f'there is no section {name!r} here, but {entries}')
    tree = tree[name]
  if not isinstance(tree, Mapping):
    raise ValueError(
      f'expected tensors, got {type(tree).__name__}: name the section that '
      'holds the state dict'
    )
  return tree


def load(
  path: str | Path, *, section: str | None = None
) -> dict[str, np.ndarray]:
  """Reads a PyTorch state dict without PyTorch and without running it.

  Args:
    path: a `.pth` file, zip or legacy.
    section: the entry that holds the state dict, where the file wraps it
      (often 'params', 'params_ema' or 'state_dict'), with dots between where
      that is wrapped in its turn ('model.sd').

  Returns:
    Published name -> array, layout as published (convolutions [O, I, H, W]).
  """
  path = Path(path)
  if not path.exists():
    raise FileNotFoundError(f'no weights at {path}')
  read = _read_zip if zipfile.is_zipfile(path) else _read_legacy
  try:
    tree, values = read(path)
    tree = _section(tree, section.split('.') if section else ())
    others = [k for k, v in tree.items() if not isinstance(v, _Tensor)]
    if others:
      raise ValueError(
        f'expected tensors only, but {others[:4]} are not: name the section '
        'that holds the state dict'
      )
    return {name: _cut(t, values(t.storage)) for name, t in tree.items()}
  except (ValueError, *_MALFORMED) as error:
    raise ValueError(f'{path}: {error}') from error
