"""Pickles of PyTorch, read as records with nothing in them run.

A pickle is a program: it may name any function of any package and call it. In
this reader a name becomes a record of ours, and a call fills that record in.

* What a state dict is made of becomes `Tensor`, `Storage` and dictionaries.
* Classes of other packages, which checkpoints of training runs carry beside the
  state dict (callbacks of Lightning, numpy's scalars, configs), become `Inert`,
  which keeps its name and forgets the rest. Whoever wants tensors and finds one
  of these refuses the file.
* Names of Python's own library, other than plain containers, are refused
  wherever they stand: they are how a pickle runs programs.
"""

import collections
import pickle
import re
import struct
import sys
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

# What a damaged or hostile pickle provokes in the reader.
MALFORMED = (
  pickle.UnpicklingError,
  struct.error,
  ArithmeticError,
  AttributeError,
  EOFError,
  LookupError,
  RecursionError,
  TypeError,
)
DTYPES = {
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

# Of Python's own library, what holds values and does nothing.
_CONTAINERS = re.compile(
  r'(argparse\.Namespace|_codecs\.encode|collections\.\w+'
  r'|copyreg\._reconstructor|datetime\.\w+|decimal\.Decimal'
  r'|pathlib(\._local)?\.\w+|types\.SimpleNamespace|typing\.\w+|uuid\.UUID'
  r'|builtins\.(bool|bytearray|bytes|complex|dict|float|frozenset|int|list'
  r'|long|object|range|set|slice|str|tuple|unicode|xrange))'
)
# PyTorch writes the pickles of Python 2, where some names are others.
_PYTHON_2 = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}


class Storage(NamedTuple):
  """Raw numbers elsewhere in the file, shared by any number of tensors."""

  key: str
  kind: str
  num_values: int


class Tensor(NamedTuple):
  """A strided window on a storage; sizes, strides and offset in values."""

  storage: Storage
  offset: int
  sizes: tuple[int, ...]
  strides: tuple[int, ...]


class Inert:
  """Stands for an object of another package: takes anything, does nothing."""

  origin = ''  # module.name

  def __new__(cls, *_, **__):
    """Forgets the arguments."""
    return super().__new__(cls)

  def __init__(self, *_, **__):
    pass

  def __setstate__(self, state):
    pass

  def __setitem__(self, key, value):
    pass

  def append(self, value):
    """Forgets an entry of a list."""

  def extend(self, values):
    """Forgets entries of a list."""

  def add(self, value):
    """Forgets an entry of a set."""


class Unpickler(pickle.Unpickler):
  """Reads one pickle; `storages` are those that it mentions, by their key."""

  wanted = 'state dict'  # what should be in the file, for messages
  advice = 'save it again as torch.save(model.state_dict(), path)'

  def __init__(self, file: BinaryIO):
    super().__init__(file)
    self.storages: dict[str, Storage] = {}

  def find_class(self, module: str, name: str) -> Any:
    """Says what stands for a name."""
    module = _PYTHON_2.get(module, module)
    known = _KNOWN.get((module, name))
    if known is not None:
      return known
    origin = f'{module}.{name}'
    # A dotted name reaches for what another package has imported.
    roots = {module.split('.')[0], name.split('.')[0] if '.' in name else ''}
    if roots & sys.stdlib_module_names and not _CONTAINERS.fullmatch(origin):
      raise ValueError(
        f'the file asks for {origin}, which no {self.wanted} needs, and '
        f'nothing in it will be run: do not trust it, or {self.advice}'
      )
    return _inert(origin)

  def persistent_load(self, pid: Any) -> Any:
    """Records a storage, or that its numbers are of a kind we do not read."""
    tag, kind, key, _, num_values = pid[:5]
    if tag != 'storage' or (len(pid) > 5 and pid[5]):
      raise ValueError(f'expected a whole storage of numbers, got {pid!r}')
    if kind not in DTYPES:
      return kind() if _is_inert(kind) else _inert(f'torch.{kind}')()
    return self.storages.setdefault(
      str(key), Storage(str(key), kind, int(num_values))
    )


def _tensor(storage, offset, sizes, strides, *_):
  if isinstance(storage, Inert):
    return storage  # which says what kind of numbers it is
  return Tensor(storage, offset, tuple(sizes), tuple(strides))


def _parameter(tensor, *_):
  return tensor


_KNOWN = {
  ('collections', 'OrderedDict'): collections.OrderedDict,
  ('torch._utils', '_rebuild_tensor_v2'): _tensor,
  ('torch._utils', '_rebuild_parameter'): _parameter,
} | {('torch', kind): kind for kind in DTYPES}


def _inert(origin: str) -> type[Inert]:
  """A class of its own for each name: pickles build objects of classes."""
  return type('Inert', (Inert,), {'origin': origin})


def _is_inert(kind: Any) -> bool:
  return isinstance(kind, type) and issubclass(kind, Inert)
