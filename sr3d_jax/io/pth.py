"""PyTorch state dicts as numpy arrays, without PyTorch.

PyTorch checkpoints are pickles, and a pickle is a program; `pickles` reads it
without running any of it. Arrays are windows on the file, which is mapped and
not read: they are in memory while they are used. Their bounds are checked
first. Both layouts occur, the zip archive (torch 1.6 and later) and the legacy
stream of pickles before it.
"""

import io
import math
import mmap
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sr3d_jax.io.pickles import (
  DTYPES,
  MALFORMED,
  Inert,
  Storage,
  Tensor,
  Unpickler,
)

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_NEITHER = 'neither a zip archive nor a legacy PyTorch file'

_MALFORMED = (*MALFORMED, zipfile.BadZipFile)
_ZIP_MARK = b'PK\3\4'
_ZIP_HEADER = struct.Struct('<4s22xHH')  # of an entry: mark, two lengths


def load(
  path: str | Path, *, section: str | None = None
) -> dict[str, np.ndarray]:
  """Reads a PyTorch state dict without PyTorch and without running it.

  Args:
    path: a `.pth` or `.ckpt` file, zip or legacy.
    section: the entry that holds the state dict, where the file wraps it
      (often 'params', 'params_ema' or 'state_dict'), with dots between where
      that is wrapped in its turn ('model.sd'). What lies beside it (a training
      run's optimiser and callbacks) is left alone.

  Returns:
    Published name -> array, layout as published (convolutions [O, I, H, W]).
    The arrays are read-only windows on the file.
  """
  path = Path(path)
  if not path.exists():
    raise FileNotFoundError(f'no weights at {path}')
  try:
    with path.open('rb') as file:
      read = _reader(file)
      mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
      tree, values = read(file, mapped)
    tensors = _tensors(_section(tree, section.split('.') if section else ()))
    return {name: _cut(t, values(t.storage)) for name, t in tensors.items()}
  except (ValueError, *_MALFORMED) as error:
    raise ValueError(f'{path}: {error}') from error


def _reader(file) -> Callable:
  """What reads a file that begins and ends so."""
  if zipfile.is_zipfile(file):
    return _read_zip
  size = file.seek(0, 2)
  file.seek(0)
  start = file.read(len(_ZIP_MARK))
  file.seek(0)
  if start == _ZIP_MARK:
    raise ValueError(
      f'it has {size:,} bytes, begins as a zip archive and has no directory at '
      'its end: it was cut short; download it again'
    )
  if not size:
    raise ValueError(f'{_NEITHER}: it is empty; download it again')
  return _read_legacy


def _read_zip(file, mapped: mmap.mmap) -> tuple[Any, Callable]:
  """Returns the unpickled tree and storage -> its values."""
  archive = zipfile.ZipFile(file)
  names = [n for n in archive.namelist() if re.fullmatch(r'[^/]+/data\.pkl', n)]
  if len(names) != 1:
    raise ValueError(f'expected one <folder>/data.pkl inside, found {names}')
  folder = names[0].split('/')[0]
  entries = {entry.filename: entry for entry in archive.infolist()}
  if f'{folder}/byteorder' in entries:
    order = bytes(_entry(mapped, entries[f'{folder}/byteorder']))
    if order != b'little':
      raise ValueError(f'numbers should be little endian, got {order}')
  tree = Unpickler(io.BytesIO(_entry(mapped, entries[names[0]]))).load()
  found = {}

  def values(storage: Storage) -> np.ndarray:
    if storage not in found:
      data = _entry(mapped, entries[f'{folder}/data/{storage.key}'])
      found[storage] = _values(storage, data)
    return found[storage]

  return tree, values


def _entry(mapped: mmap.mmap, entry: zipfile.ZipInfo) -> memoryview:
  """The bytes of an archive's entry, in place."""
  if entry.compress_type != zipfile.ZIP_STORED:
    raise ValueError(
      f'{entry.filename} is compressed, which PyTorch never does: unpack the '
      'file and save it again'
    )
  start = entry.header_offset
  mark, *lengths = _ZIP_HEADER.unpack_from(mapped, start)
  start += _ZIP_HEADER.size + sum(lengths)
  data = memoryview(mapped)[start : start + entry.file_size]
  if mark != _ZIP_MARK or zlib.crc32(data) != entry.CRC:
    raise ValueError(
      f'{entry.filename} has another checksum than the file says: it is damaged'
    )
  return data


def _read_legacy(file, mapped: mmap.mmap) -> tuple[Any, Callable]:
  """Returns the unpickled tree and storage -> its values."""
  try:
    magic, protocol = (Unpickler(file).load() for _ in range(2))
  except (ValueError, *_MALFORMED) as error:
    raise ValueError(
      f'{_NEITHER}: it cannot be read ({error}); download it again'
    ) from error
  if (magic, protocol) != (_LEGACY_MAGIC, _LEGACY_PROTOCOL):
    raise ValueError(f'{_NEITHER}: it is a pickle of something else')
  Unpickler(file).load()  # type sizes of the machine that saved it
  reader = Unpickler(file)
  tree = reader.load()
  found = {}
  for key in map(str, Unpickler(file).load()):
    if key not in reader.storages:
      raise ValueError(f'storage {key} belongs to no tensor of the file')
    storage = reader.storages[key]
    num_values = int.from_bytes(file.read(8), 'little')
    num_bytes = num_values * DTYPES[storage.kind].itemsize
    start = file.tell()
    data = memoryview(mapped)[start : start + num_bytes]
    found[storage] = _values(storage, data)
    file.seek(start + num_bytes)
  return tree, found.__getitem__


def _values(storage: Storage, data: memoryview) -> np.ndarray:
  """Storage bytes (little endian) as a vector of its type."""
  dtype = DTYPES[storage.kind]
  if len(data) != storage.num_values * dtype.itemsize:
    raise ValueError(
      f'storage {storage.key} should hold {storage.num_values} values of '
      f'{dtype}, got {len(data)} bytes: the file is cut short or damaged'
    )
  return np.frombuffer(data, dtype)


def _cut(tensor: Tensor, values: np.ndarray) -> np.ndarray:
  """A tensor's window on its storage's values, once its bounds are checked."""
  offset, sizes, strides = tensor.offset, tensor.sizes, tensor.strides
  last = offset + sum((n - 1) * s for n, s in zip(sizes, strides))
  if (
    len(sizes) != len(strides)
    or min((offset, *sizes, *strides)) < 0
    or math.prod(sizes) > len(values)
    or (0 not in sizes and last >= len(values))
  ):
    raise ValueError(
      f'a tensor of sizes {sizes}, strides {strides}, offset {offset} leaves '
      f'its storage of {len(values)} values: the file is damaged'
    )
  step = values.itemsize
  return np.lib.stride_tricks.as_strided(
    values[offset:], sizes, [s * step for s in strides], writeable=False
  )


def _section(tree: Any, names: Sequence[str]) -> Mapping:
  """The dictionary below these keys of nested dictionaries."""
  for name in names:
    if not isinstance(tree, Mapping) or name not in tree:
      entries = list(tree)[:8] if isinstance(tree, Mapping) else 'no sections'
      raise ValueError(f'there is no section {name!r} here, but {entries}')
    tree = tree[name]
  if not isinstance(tree, Mapping):
    raise ValueError(
      f'expected tensors, got {_kind(tree)}: name the section that holds the '
      'state dict'
    )
  return tree


def _tensors(section: Mapping) -> Mapping[str, Tensor]:
  """The section itself, if it holds named tensors and nothing else."""
  others = {k: v for k, v in section.items() if not isinstance(v, Tensor)}
  foreign = {k: _kind(v) for k, v in others.items() if isinstance(v, Inert)}
  if foreign and len(foreign) == len(others):
    name, kind = next(iter(foreign.items()))
    raise ValueError(
      f'expected tensors only, but {name} asks for {kind}, which a plain state '
      'dict does not need, and nothing in the file will be run: save it again '
      'as torch.save(model.state_dict(), path)'
    )
  if others:
    raise ValueError(
      f'expected tensors only, but {list(others)[:4]} are not: name the '
      'section that holds the state dict'
    )
  unnamed = [key for key in section if not isinstance(key, str)]
  if unnamed:
    raise ValueError(f'tensors should have names, got {unnamed[:4]}')
  return section


def _kind(value: Any) -> str:
  """What a value is, by its own name."""
  return value.origin if isinstance(value, Inert) else type(value).__name__
