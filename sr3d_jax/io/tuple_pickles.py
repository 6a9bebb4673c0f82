"""Pickles of arrays and named tuples, read with nothing in them run.

Such as those in which programs of the 3DGS family keep COLMAP's cameras. A
named tuple of whatever module becomes a `Record`, which is its values in order
and keeps its name; NumPy's arrays are made of their bytes here, by type, shape
and order. The rest is as in `pickles`: names of Python's own library that could
run anything are refused wherever they stand.
"""

import math
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sr3d_jax.io.pickles import MALFORMED, Inert, Unpickler

_NUMBERS = re.compile(r'[<>=|]?([biuf][1248]|[?])')


class Record(tuple):
  """The values of a named tuple; `origin` is its module.name."""

  origin = ''

  def __new__(cls, *values, **_):
    """Keeps the values, in their order."""
    return super().__new__(cls, values)

  def __setstate__(self, state):
    """Forgets attributes beside the values."""


def load(path: str | os.PathLike) -> Any:
  """Reads a pickle.

  Args:
    path: of the file.

  Returns:
    Dictionaries, lists, tuples, `Record`s, arrays, numbers and strings.

  Raises:
    ValueError: the file is damaged, or asks for something else.
  """
  path = Path(path)
  try:
    with path.open('rb') as file:
      return _plain(_TupleUnpickler(file).load())
  except FileNotFoundError:
    raise
  except (ValueError, *MALFORMED) as error:
    raise ValueError(
      f'{path} is no whole pickle of arrays and named tuples: '
      f'{str(error) or type(error).__name__}'
    ) from error


class _TupleUnpickler(Unpickler):
  """Knows NumPy's names, and takes any strange class for a named tuple."""

  wanted = 'array or named tuple'
  advice = 'save its values as arrays, np.savez'

  def __init__(self, file: BinaryIO):
    super().__init__(file)
    self._classes: dict[str, type] = {}  # one each, as `isinstance` wants

  def find_class(self, module: str, name: str) -> Any:
    """Says what stands for a name."""
    module = re.sub(r'^numpy\._core\.', 'numpy.core.', module)
    module = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}.get(
      module, module
    )
    known = _KNOWN.get((module, name))
    if known is not None:
      return known
    found = super().find_class(module, name)
    strange = isinstance(found, type) and issubclass(found, Inert)
    if not strange or module in ('builtins', 'copyreg'):
      return found
    return self._classes.setdefault(
      found.origin, type('Record', (Record,), {'origin': found.origin})
    )

  def persistent_load(self, pid: Any) -> Any:
    """Refuses what lies in another file."""
    raise ValueError(f'it keeps {pid!r} elsewhere: {self.advice}')


class _Type:
  """A numpy.dtype, once its state has told the order of bytes."""

  def __init__(self, code, *_):
    if not _NUMBERS.fullmatch(str(code)):
      raise ValueError(f'arrays should hold numbers, got numpy type {code!r}')
    self.dtype = np.dtype(str(code))

  def __setstate__(self, state):
    order = str(state[1])
    if order in '<>' and order:
      self.dtype = self.dtype.newbyteorder(order)


class _Array:
  """A numpy.ndarray, once its state has told what is in it."""

  values = None

  def __setstate__(self, state):
    _, shape, kind, is_fortran, data = state
    self.values = _array(data, kind, shape, 'F' if is_fortran else 'C')


def _array(data, kind, shape, order) -> np.ndarray:
  """The array of so many bytes."""
  shape = (shape,) if isinstance(shape, int) else tuple(map(int, shape))
  dtype = kind.dtype if isinstance(kind, _Type) else None
  if dtype is None or not isinstance(data, bytes | bytearray):
    raise ValueError(f'an array should be bytes of numbers, got {kind!r}')
  if min(shape, default=0) < 0 or len(data) != dtype.itemsize * math.prod(
    shape
  ):
    raise ValueError(f'an array {shape} of {dtype} has {len(data)} bytes')
  return np.frombuffer(bytes(data), dtype).reshape(shape, order=order)


def _from_buffer(data, kind, shape, order) -> _Array:
  """As protocol 5 writes an array."""
  array = _Array()
  array.values = _array(data, kind, shape, 'F' if order == 'F' else 'C')
  return array


def _scalar(kind, data) -> Any:
  """A number of NumPy's."""
  return _array(data, kind, (), 'C').item()


def _encode(text, encoding) -> bytes:
  """Bytes, as protocols before 3 write them."""
  if encoding != 'latin1':
    raise ValueError(f'bytes should be latin1, got {encoding!r}')
  return text.encode('latin1')


def _no_bytes() -> bytes:
  """Empty bytes, as protocols before 3 write them."""
  return b''


def _reconstructor(kind, base, values) -> Any:
  """A named tuple, as protocols 0 and 1 write it."""
  if not (isinstance(kind, type) and issubclass(kind, Record)):
    raise ValueError(f'expected a named tuple, got {kind!r} of {base!r}')
  return kind(*values)


_KNOWN = {
  ('numpy', 'ndarray'): _Array,
  ('numpy', 'dtype'): _Type,
  ('numpy.core.multiarray', '_reconstruct'): lambda *_: _Array(),
  ('numpy.core.multiarray', 'scalar'): _scalar,
  ('numpy.core.numeric', '_frombuffer'): _from_buffer,
  ('_codecs', 'encode'): _encode,
  ('builtins', 'bytes'): _no_bytes,
  ('copyreg', '_reconstructor'): _reconstructor,
}


def _plain(tree: Any) -> Any:
  """The tree with arrays in place of what stood for them."""
  if isinstance(tree, _Array):
    if tree.values is None:
      raise ValueError('an array in it has no values')
    return tree.values
  if isinstance(tree, dict):
    return {_plain(key): _plain(value) for key, value in tree.items()}
  if isinstance(tree, Record):
    return type(tree)(*map(_plain, tree))
  if isinstance(tree, list | tuple):
    return type(tree)(map(_plain, tree))
  if isinstance(tree, Inert | _Type | type):
    kind = getattr(tree, 'origin', '') or type(tree).__name__.strip('_')
    raise ValueError(f'expected arrays and named tuples, got {kind}')
  return tree
