"""Many rows through one compiled function, a bounded number at a time.

Rows are views, tiles of views, anything: they are alike and independent. All
batches have one size, so that one compilation serves, and each is shared by the
devices; what goes in and comes out is in the host's memory.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sr3d_jax.types import Params


def in_batches(
  function: Callable[..., Any], *, rows_per_device: int = 1
) -> Callable[..., Any]:
  """Lifts a function of a few rows to any number of them.

  Args:
    function: (params, *pytrees of [B, ...]) -> pytree of [B, ...]; each row of
      the result depends on that row alone.
    rows_per_device: B is this many times the number of devices.

  Returns:
    (params, *pytrees of [N, ...]) -> pytree of numpy arrays [N, ...].
  """
  devices = np.array(jax.local_devices())
  mesh = Mesh(devices, ('rows',))
  split = NamedSharding(mesh, PartitionSpec('rows'))
  whole = NamedSharding(mesh, PartitionSpec())
  size = rows_per_device * len(devices)
  compiled = jax.jit(function, out_shardings=split)

  def run_batch(params: Params, start: int, rows: Any) -> Any:
    batch = jax.tree.map(lambda x: _batch(x, start, size), rows)
    return jax.device_get(compiled(params, *jax.device_put(batch, split)))

  def run(params: Params, *rows: Any) -> Any:
    params = jax.device_put(params, whole)
    count = len(jax.tree.leaves(rows)[0])
    done = [run_batch(params, i, rows) for i in range(0, count, size)]
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), *done)
    return jax.tree.map(lambda x: x[:count], joined)

  return run


def _batch(rows: Any, start: int, size: int) -> np.ndarray:
  """Rows from `start`; the last is repeated where they run out."""
  batch = np.asarray(rows[start : start + size])
  missing = size - len(batch)
  return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
