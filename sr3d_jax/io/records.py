"""Records of arrays in one file, any of which is read without the others.

An ArrayRecord of npz archives: grain reads it in any order, and other programs
read both formats.
"""

import io
import json
import threading
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import grain
import numpy as np

from sr3d_jax.files import replacing

META = 'meta'
# NumPy parses the header of an array as Python, which in 3.11 two threads must
# not do at once (CPython issue 106905); grain reads in many.
_PARSING = threading.Lock()
# What a damaged record provokes, in Riegeli or in NumPy.
_MALFORMED = (
  RuntimeError, ValueError, OSError, EOFError, LookupError, zipfile.BadZipFile,
)  # fmt: skip


def save(path: str | Path, records: Iterable[Mapping[str, Any]]) -> None:
  """Writes records; the file appears whole or not at all.

  Args:
    path: where to, ending in .array_record; its folder exists.
    records: arrays by name, and under 'meta' what JSON can hold.
  """
  from array_record.python.array_record_module import ArrayRecordWriter

  with replacing(path) as part:
    writer = ArrayRecordWriter(str(part), 'group_size:1')
    for record in records:
      writer.write(_pack(record))
    writer.close()


def load(paths: Iterable[str | Path]) -> grain.MapDataset:
  """All records of some files, in their order, read when they are asked for."""
  paths = [str(path) for path in paths]
  if not paths:
    raise ValueError('no file of records was named: make them first')
  files = [grain.MapDataset.source(_File(path)) for path in paths]
  return grain.MapDataset.concatenate(files)


class _File:
  """The records of one file, which it names where one is damaged."""

  def __init__(self, path: str):
    self._path = path
    try:
      self._source = grain.sources.ArrayRecordDataSource([path])
    except (RuntimeError, ValueError, OSError) as error:
      raise ValueError(
        f'{path}: no whole file of records ({error}); make it again'
      ) from error

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> dict[str, Any]:
    try:
      return _unpack(self._source[index])
    except _MALFORMED as error:
      raise ValueError(
        f'{self._path}: record {index} of {len(self)} is damaged, or no record '
        f'of ours ({error}); delete the file and make it again'
      ) from error


def _pack(record: Mapping[str, Any]) -> bytes:
  arrays = {name: x for name, x in record.items() if name != META}
  buffer = io.BytesIO()
  text = json.dumps(record.get(META, {}), sort_keys=True)
  np.savez_compressed(buffer, **arrays, **{META: np.array(text)})
  return buffer.getvalue()


def _unpack(data: bytes) -> dict[str, Any]:
  with _PARSING, np.load(io.BytesIO(data), allow_pickle=False) as file:
    arrays = {name: file[name] for name in file.files}
  return arrays | {META: json.loads(str(arrays[META]))}
