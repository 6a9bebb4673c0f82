"""Safetensors files: arrays by name that are read when they are asked for.

A file is a length, a header in JSON and the arrays' bytes. The library reads
and writes it; that the header is whole and names nothing twice, we check first,
so that a download cut short is told in bytes.
"""

import collections
import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sr3d_jax.files import replacing

FLOATS = ('F64', 'F32', 'F16', 'BF16')
MAX_HEADER = 100_000_000  # bytes, as the library has it


@dataclasses.dataclass(frozen=True)
class Lazy:
  """An array of a file, which is read from its place when numpy asks."""

  path: Path
  name: str
  shape: tuple[int, ...]
  kind: str

  def __array__(self, dtype=None, copy=None) -> np.ndarray:
    """Reads it; what is returned is ours to keep."""
    with safe_open(self.path, 'np') as file:
      array = file.get_tensor(self.name)
    return array if dtype is None else array.astype(dtype, copy=False)


def load(
  path: str | Path, kinds: Iterable[str] = FLOATS
) -> tuple[dict[str, Lazy], dict[str, str]]:
  """Finds the arrays of a file, and its metadata.

  Args:
    path: a `.safetensors` file.
    kinds: of numbers that are allowed, in the format's words.

  Raises:
    ValueError: it is cut short, damaged, names an array twice or holds other
      numbers; nothing is returned that cannot be read later.
  """
  path = Path(path)
  if not path.exists():
    raise FileNotFoundError(f'no weights at {path}')
  header = _header(path)
  metadata = header.pop('__metadata__', {})
  try:
    with safe_open(path, 'np') as file:
      parts = {name: file.get_slice(name) for name in header}
      found = {
        name: Lazy(path, name, tuple(part.get_shape()), part.get_dtype())
        for name, part in parts.items()
      }
  except SafetensorError as error:
    raise ValueError(f'{path} is damaged: {error}') from error
  wrong = {n: a.kind for n, a in found.items() if a.kind not in tuple(kinds)}
  if wrong:
    name, kind = next(iter(wrong.items()))
    raise ValueError(
      f'{path}: {name} and {len(wrong) - 1} others are {kind}, wanted '
      f'{", ".join(kinds)}: take the file that is not quantised'
    )
  return found, metadata


def save(
  path: str | Path, arrays: Mapping[str, np.ndarray], metadata: dict[str, str]
) -> None:
  """Writes arrays and their metadata; the file appears whole or not at all."""
  whole = {name: np.asarray(a, order='C') for name, a in arrays.items()}
  with replacing(path) as part:
    part.touch()
    mode = part.stat().st_mode  # as other files; the library says 0600
    try:
      save_file(whole, part, metadata)
    except SafetensorError as error:
      raise OSError(None, str(error)) from error
    part.chmod(mode)


def _header(path: Path) -> dict[str, Any]:
  """The header, once it is known to fit what follows."""
  size = path.stat().st_size
  with path.open('rb') as file:
    length = int.from_bytes(file.read(8), 'little')
    if size < 8 or length > min(size - 8, MAX_HEADER):
      raise ValueError(
        f'{path} has {size} bytes and should begin with a header of {length}: '
        'it is cut short or no safetensors file; download it again'
      )
    text = file.read(length)
  try:
    header = json.loads(text, object_pairs_hook=_once)
    ends = [
      value['data_offsets'][1]
      for name, value in header.items()
      if name != '__metadata__'
    ]
  except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
    raise ValueError(f'the header of {path} is damaged: {error}') from error
  wanted = 8 + length + max(ends, default=0)
  if size != wanted:
    raise ValueError(
      f'{path} has {size} bytes, and its header tells of {wanted}: it is cut '
      'short or damaged; download it again'
    )
  return header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  """A dictionary of pairs; raises where one is named twice."""
  counts = collections.Counter(name for name, _ in pairs)
  twice = sorted(name for name, count in counts.items() if count > 1)
  if twice:
    raise ValueError(f'it names {twice} twice')
  return dict(pairs)
