"""Records of arrays in one file, any of which is read without the others.

An ArrayRecord of npz archives: grain reads it in any order, and other programs
read both formats.
"""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import grain
import numpy as np

from sr3d_jax.files import replacing

META = 'meta'


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
  try:
    source = grain.sources.ArrayRecordDataSource(paths)
  except (RuntimeError, ValueError, OSError) as error:
    raise ValueError(
      f'{", ".join(paths)}: no whole files of records ({error}); make them '
      'again'
    ) from error
  return grain.MapDataset.source(source).map(_unpack)


def _pack(record: Mapping[str, Any]) -> bytes:
  arrays = {name: x for name, x in record.items() if name != META}
  buffer = io.BytesIO()
  text = json.dumps(record.get(META, {}), sort_keys=True)
  np.savez_compressed(buffer, **arrays, **{META: np.array(text)})
  return buffer.getvalue()


def _unpack(data: bytes) -> dict[str, Any]:
  with np.load(io.BytesIO(data), allow_pickle=False) as file:
    arrays = {name: file[name] for name in file.files}
  return arrays | {META: json.loads(str(arrays[META]))}
