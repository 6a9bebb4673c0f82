"""Weights of networks: our own files, and published names arranged as ours.

A linen parameter `block.conv.kernel` is, in a PyTorch state dict, some
`body.0.conv.weight` with its axes in another order. A network's table says how
the names differ; the axes follow from the names.
"""

import collections
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax.files import write_whole
from sr3d_jax.types import Params

# what a damaged .npz, or none, provokes in numpy
_UNREADABLE = (
  ValueError,
  TypeError,
  EOFError,
  zipfile.BadZipFile,
  zlib.error,
)


def save(path: str | Path, params: Params) -> None:
  """Writes parameters as a compressed npz of half-precision arrays."""
  arrays = {n: np.asarray(a, np.float16) for n, a in flatten(params).items()}
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays)
  write_whole(path, buffer.getvalue())


def restore(path: str | Path, init: Callable) -> Params:
  """Reads what `save` wrote, as parameters like those of `init`.

  Raises:
    ValueError: the file is damaged or of another network; it is named.
  """
  if not Path(path).exists():
    raise FileNotFoundError(f'no weights at {path}')
  try:
    with np.load(path, allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
  except _UNREADABLE as error:
    raise ValueError(
      f'{path} is no whole .npz file ({error}): it was cut short or damaged; '
      'take it again from where it came from'
    ) from error
  try:
    return as_params(arrays, init)
  except ValueError as error:
    raise ValueError(f'{path}: {error}') from error


def as_params(
  arrays: Mapping[str, Any], init: Callable, dtype: Any = jnp.float32
) -> Params:
  """Arrays by the dotted names of parameters, as parameters like those of init.

  Args:
    arrays: as for `arrange`, but in our names and with our axes.
    init: (key) -> params of the network that is to receive them.
    dtype: of the parameters.
  """
  return unflatten(_arrange(arrays, init, lambda n: n, _own_axes), dtype)


def flatten(params: Params) -> dict[str, np.ndarray]:
  """Nested parameters as dotted name -> array."""
  leaves = jax.tree_util.tree_leaves_with_path(params)
  return {
    '.'.join(str(entry.key) for entry in path): leaf for path, leaf in leaves
  }


def published_name(name: str, names: Sequence[tuple[str, str]] = ()) -> str:
  """The PyTorch name of a linen parameter.

  Args:
    name: dotted path of a linen parameter, ending in `kernel`, `scale`, ...
    names: (regex, replacement) pairs, our modules to the published ones.
  """
  name = re.sub(r'\.(kernel|scale|embedding)$', '.weight', name)
  for pattern, replacement in names:
    name = re.sub(pattern, replacement, name)
  return name


def convert(
  checkpoint: Mapping[str, Any],
  init: Callable,
  names: Sequence[tuple[str, str]] = (),
  constants: Sequence[tuple[str, Callable]] = (),
) -> Params:
  """Arranges a published state dict as the parameters of a network.

  As `arrange`, all at once.

  Returns:
    Parameters like those of `init`, float32.
  """
  return unflatten(arrange(checkpoint, init, names, constants))


def arrange(
  checkpoint: Mapping[str, Any],
  init: Callable,
  names: Sequence[tuple[str, str]] = (),
  constants: Sequence[tuple[str, Callable]] = (),
) -> Iterator[tuple[str, np.ndarray]]:
  """Arranges a published state dict as the parameters of a network, in turn.

  Every entry is used exactly once; one that is left over, missing or of another
  shape is an error that names it, before the first is read. Kernels go from
  [O, I, H, W] to [H, W, I, O] and from [O, I] to [I, O]; a convolution of one
  pixel is a matrix.

  Args:
    checkpoint: published name -> array, or what has a shape and becomes an
      array when numpy asks, so that one at a time is in memory.
    init: (key) -> params of the network that is to receive it.
    names: our module names to published ones, see `published_name`.
    constants: (regex, (shape) -> array) pairs, the published entries that are
      no parameters and the values that they must have.

  Returns:
    Dotted name of a parameter and its array of the published type, for each.
  """
  return _arrange(
    _learnt(checkpoint, constants),
    init,
    lambda name: published_name(name, names),
    _published_axes,
  )


def unflatten(
  arrays: Iterable[tuple[str, Any]], dtype: Any = jnp.float32
) -> Params:
  """Nested parameters of a type, from dotted names and arrays."""
  params = {}
  for name, array in arrays:
    *modules, last = name.split('.')
    inner = params
    for module in modules:
      inner = inner.setdefault(module, {})
    # a copy: the array may be a window on a file
    inner[last] = jnp.array(array, dtype)
  return params


def _learnt(
  checkpoint: Mapping[str, Any],
  constants: Sequence[tuple[str, Callable]],
) -> dict[str, Any]:
  """Leaves the constants out of a state dict, once their values are checked."""
  learnt = dict(checkpoint)
  for pattern, expected in constants:
    for name in [name for name in learnt if re.search(pattern, name)]:
      found = np.asarray(learnt.pop(name))
      wanted = expected(found.shape)
      # float32 of what the publication gives with four digits
      if found.shape != wanted.shape or not np.allclose(
        found, wanted, rtol=1e-5
      ):
        raise ValueError(
          f'{name} should be a constant of this network, but has other values: '
          'these weights are of a variant of it'
        )
  return learnt


def _published_axes(name: str, num_axes: int) -> tuple[int, ...]:
  """The axes of a published array in the order of our parameter's."""
  axes = tuple(range(num_axes))
  is_turned = name.endswith('.kernel') and num_axes > 1
  return (*axes[2:], 1, 0) if is_turned else axes


def _own_axes(name: str, num_axes: int) -> tuple[int, ...]:
  return tuple(range(num_axes))


def _arrange(
  arrays: Mapping[str, Any],
  init: Callable,
  source: Callable[[str], str],
  axes: Callable[[str, int], tuple[int, ...]],
) -> Iterator[tuple[str, np.ndarray]]:
  """Yields what each parameter of `init` gets, once all are known to fit."""
  template = flatten(jax.eval_shape(init, jax.random.key(0)))
  sources = {name: source(name) for name in template}
  counts = collections.Counter(sources.values())
  missing = sorted(set(counts) - set(arrays))
  unused = sorted(set(arrays) - set(counts))
  twice = sorted(name for name, count in counts.items() if count > 1)
  if missing or unused or twice:
    raise ValueError(
      f'these weights are of another network: they lack {_some(missing)}, have '
      f'{_some(unused)} too many, and {_some(twice)} would be used twice'
    )
  for name, key in sources.items():
    found, wanted = tuple(arrays[key].shape), template[name].shape
    turned = tuple(found[i] for i in axes(name, len(found)))
    if turned != wanted and not _is_matrix(turned, wanted):
      raise ValueError(
        f'{key} gives {name} the shape {turned}, wanted {wanted}'
      )

  def read(name: str) -> np.ndarray:
    array = np.asarray(arrays[sources[name]])
    turned = np.transpose(array, axes(name, array.ndim))
    return turned.reshape(template[name].shape)

  return ((name, read(name)) for name in template)


def _some(names: Sequence[str]) -> str:
  """The first of many names, and how many there are."""
  more = f' and {len(names) - 8} more' if len(names) > 8 else ''
  return f'{names[:8]}{more}'


def _is_matrix(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
  """Whether one is a convolution of one pixel and the other its matrix."""
  short, long = sorted((found, wanted), key=len)
  ones = (1,) * (len(long) - len(short))
  return len(short) == 2 and ones + short == long
