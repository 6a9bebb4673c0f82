"""Weights of networks: our own files, and published names arranged as ours.

A linen parameter `block.conv.kernel` is, in a PyTorch state dict, some
`body.0.conv.weight` with its axes in another order. A network's table says how
the names differ; the axes follow from the names.
"""

import collections
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax.files import write_whole
from sr3d_jax.types import Params


def save(path: str | Path, params: Params) -> None:
  """Writes parameters as a compressed npz of half-precision arrays."""
  arrays = {n: np.asarray(a, np.float16) for n, a in flatten(params).items()}
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays)
  write_whole(path, buffer.getvalue())


def restore(path: str | Path, init: Callable) -> Params:
  """Reads what `save` wrote, as parameters like those of `init`."""
  if not Path(path).exists():
    raise FileNotFoundError(f'no weights at {path}')
  with np.load(path, allow_pickle=False) as file:
    return _arrange(
      {name: file[name] for name in file.files}, init, lambda n: n
    )


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
  checkpoint: Mapping[str, np.ndarray],
  init: Callable,
  names: Sequence[tuple[str, str]] = (),
  constants: Sequence[tuple[str, Callable]] = (),
) -> Params:
  """Arranges a published state dict as the parameters of a network.

  Every entry is used exactly once; one that is left over, missing or of another
  shape is an error that names it. Kernels go from [O, I, H, W] to [H, W, I, O]
  and from [O, I] to [I, O]; a convolution of one pixel is a matrix.

  Args:
    checkpoint: published name -> array.
    init: (key) -> params of the network that is to receive it.
    names: our module names to published ones, see `published_name`.
    constants: (regex, (shape) -> array) pairs, the published entries that are
      no parameters and the values that they must have.

  Returns:
    Parameters like those of `init`, float32.
  """
  template = flatten(jax.eval_shape(init, jax.random.key(0)))
  kernels = {
    published_name(n, names) for n in template if n.endswith('.kernel')
  }
  arrays = {
    name: np.moveaxis(a, (0, 1), (-1, -2))
    if name in kernels and a.ndim > 1
    else a
    for name, a in _learnt(checkpoint, constants).items()
  }
  return _arrange(arrays, init, lambda name: published_name(name, names))


def _learnt(
  checkpoint: Mapping[str, np.ndarray],
  constants: Sequence[tuple[str, Callable]],
) -> dict[str, np.ndarray]:
  """Leaves the constants out of a state dict, once their values are checked."""
  learnt = dict(checkpoint)
  for pattern, expected in constants:
    for name in [name for name in learnt if re.search(pattern, name)]:
      found = learnt.pop(name)
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


def _arrange(
  arrays: Mapping[str, np.ndarray], init: Callable, source: Callable[[str], str]
) -> Params:
  """Puts each array where `init` has the parameter that comes from it."""
  template = jax.eval_shape(init, jax.random.key(0))
  sources = {name: source(name) for name in flatten(template)}
  counts = collections.Counter(sources.values())
  missing = sorted(set(counts) - set(arrays))
  unused = sorted(set(arrays) - set(counts))
  twice = sorted(name for name, count in counts.items() if count > 1)
  if missing or unused or twice:
    raise ValueError(
      f'these weights are of another network: they lack {missing}, have '
      f'{unused} too many, and {twice} would be used twice'
    )
  leaves = []
  for (name, key), leaf in zip(sources.items(), jax.tree.leaves(template)):
    array = arrays[key]
    if _is_matrix(array.shape, leaf.shape):
      array = array.reshape(leaf.shape)
    if array.shape != leaf.shape:
      raise ValueError(
        f'{key} gives {name} the shape {array.shape}, wanted {leaf.shape}'
      )
    leaves.append(jnp.asarray(array, jnp.float32))
  return jax.tree.unflatten(jax.tree.structure(template), leaves)


def _is_matrix(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
  """Whether one is a convolution of one pixel and the other its matrix."""
  short, long = sorted((found, wanted), key=len)
  ones = (1,) * (len(long) - len(short))
  return len(short) == 2 and ones + short == long
