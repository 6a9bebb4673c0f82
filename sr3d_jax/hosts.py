"""Many devices on many hosts as one: who computes, who holds, who writes.

Every host runs the same program on the same photos. The views of a step are
split over one mesh of devices. What is learnt lies whole on each device, or in
shares on several of one host, so that each host can look at a copy of its own.
The first host alone reads and writes the files of a run, and tells the others
what it read.
"""

import json
import math
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AUTO = 'auto'
PATIENCE = 3600  # s; that the others wait at the end, while the first reports


def join(
  coordinator: str | None,
  num_hosts: int | None = None,
  host_index: int | None = None,
) -> None:
  """Makes this process one of many; must come before anything asks for devices.

  Args:
    coordinator: host:port that the first host opens; 'auto' asks SLURM, MPI or
      the TPU's metadata; None: this process is alone.
    num_hosts: how many processes there are.
    host_index: which of them this one is, from 0.
  """
  given = (num_hosts, host_index)
  if coordinator is None:
    if given != (None, None):
      raise ValueError(
        f'num_hosts is {num_hosts} and host_index {host_index}, but there is '
        'no coordinator: give host:port of the first host, or auto'
      )
    return
  if coordinator == AUTO:
    coordinator = None
  elif None in given or not 0 <= host_index < num_hosts:
    raise ValueError(
      f'coordinator {coordinator} wants num_hosts and a host_index from 0 to '
      f'num_hosts - 1, got {num_hosts} and {host_index}'
    )
  try:
    jax.distributed.initialize(
      coordinator, *given, shutdown_timeout_seconds=PATIENCE
    )
  except (ValueError, RuntimeError) as error:
    raise ValueError(
      f'could not join the other hosts ({error}): give coordinator, num_hosts '
      'and host_index, the same first two on every host'
    ) from error


def is_first() -> bool:
  """Says whether this host is the one that writes."""
  return jax.process_index() == 0


def device_mesh(batch_size: int, shards: int = 1) -> Mesh:
  """A mesh ('views', 'gaussians') of the devices that fit a scene.

  As many groups as share a batch evenly, equally many of each host; the
  `shards` devices of a group hold one copy of the scene together.
  """
  num_hosts, num_local = jax.process_count(), jax.local_device_count()
  if shards < 1 or num_local % shards:
    raise ValueError(
      f'fit.shards is {shards}, by which the {num_local} devices of this host '
      f'cannot be divided: set it to a divisor of {num_local}'
    )
  if batch_size % num_hosts:
    raise ValueError(
      f'batch_size {batch_size} cannot be shared by {num_hosts} hosts: set '
      f'fit.batch_size to a multiple of {num_hosts}'
    )
  each = math.gcd(batch_size // num_hosts, num_local // shards)
  devices = [jax.local_devices(i)[: each * shards] for i in range(num_hosts)]
  return Mesh(
    np.reshape(devices, (num_hosts * each, shards)),
    ('views', 'gaussians'),
    axis_types=(AxisType.Auto,) * 2,
  )


def num_shards(mesh: Mesh) -> int:
  """How many devices of a mesh hold one copy of the scene together."""
  return mesh.shape.get('gaussians', 1)


def shardings(tree: Any, mesh: Mesh, num_slots: int) -> Any:
  """Where leaves lie: those of `num_slots` rows in shares, others everywhere.

  Args:
    tree: of arrays or their shapes.
    mesh: with an axis 'gaussians' where there are shares.
    num_slots: rows of what belongs to one Gaussian each.
  """

  def place(leaf: Any) -> NamedSharding:
    is_split = num_shards(mesh) > 1 and leaf.shape[:1] == (num_slots,)
    spec = PartitionSpec('gaussians') if is_split else PartitionSpec()
    return NamedSharding(mesh, spec)

  return jax.tree.map(place, tree)


def keep(tree: Any, mesh: Mesh, num_slots: int) -> Any:
  """Leaves shares where they lie, in `jit`; says nothing where there are none.

  The arguments are those of `shardings`.
  """
  if num_shards(mesh) == 1:
    return tree
  places = shardings(tree, mesh, num_slots)
  return jax.lax.with_sharding_constraint(tree, places)


def turn(tree: Any, mesh: Mesh, num_slots: int) -> Any:
  """Splits wide leaves by columns, in `jit`: rows then move within a device.

  Where rows are copied anywhere, all devices would gather those in shares.
  """
  num = num_shards(mesh)
  if num == 1:
    return tree

  def place(leaf: Any, own: NamedSharding) -> NamedSharding:
    if own.spec and leaf.ndim > 2 and not leaf.shape[1] % num:
      return NamedSharding(mesh, PartitionSpec(None, 'gaussians'))
    return own

  columns = jax.tree.map(place, tree, shardings(tree, mesh, num_slots))
  return jax.lax.with_sharding_constraint(tree, columns)


def everywhere(tree: Any, mesh: Mesh) -> Any:
  """Replicates what every host holds alike over the devices of a mesh."""
  sharding = NamedSharding(mesh, PartitionSpec())
  if jax.process_count() == 1:
    return jax.device_put(tree, sharding)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)),
    tree,
  )


def spread(tree: Any, places: Any) -> Any:
  """Copies what every host holds alike to its `shardings`.

  The copies may be donated: they share no memory with the tree.
  """
  if jax.process_count() == 1:
    return jax.device_put(tree, places, may_alias=False)

  def copy(x: Any, place: NamedSharding) -> jax.Array:
    x = np.array(x)
    return jax.make_array_from_callback(x.shape, place, lambda index: x[index])

  return jax.tree.map(copy, tree, places)


def here(tree: Any) -> Any:
  """This host's copy: on one device, or in memory what lies in shares."""

  def whole(x: jax.Array) -> Any:
    if x.is_fully_replicated:
      return x.addressable_data(0)
    parts = {part.index[0].start: part for part in x.addressable_shards}
    return np.concatenate([parts[start].data for start in sorted(parts)])

  return jax.tree.map(whole, tree)


def agreed(tree: Any) -> Any:
  """Arrays as the first host has them; shapes and dtypes must agree already."""
  if jax.process_count() == 1:
    return tree
  return multihost_utils.broadcast_one_to_all(tree)


def agreed_json(value: Any) -> Any:
  """A value of plain types as the first host has it."""
  if jax.process_count() == 1:
    return value
  text = np.frombuffer(json.dumps(value).encode(), np.uint8)
  size = int(agreed(np.asarray(len(text))))
  return json.loads(bytes(agreed(np.resize(text, size))))
