"""What a Gaussian was and what became of it: ancestors over states of a fit.

A history is a list of `Snapshot`, oldest first. Each holds the Gaussians that
lived, and for each of them its ancestor in the snapshot before; a Gaussian has
one ancestor at most and any number of descendants (GaussianVAE, Khalid et al.
2025: the lineage of a Gaussian is what the network reads). A row of -1 is none.
All but the first two functions run on the host.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import geometry
from sr3d_jax.types import Array, Gaussians

NONE = -1
MAX_OPACITY = 0.99  # of what was merged: a rasteriser draws no more
FIELDS = tuple(field.name for field in dataclasses.fields(Gaussians))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
  """One state of a fit.

  Attributes:
    gaussians: [N] as they are drawn.
    ancestors: [N] int32, rows of the snapshot before; `NONE` in the first.
    scale: [] side of the photos over that of the finest level's, in (0, 1].
    phase: [] 0 before this level changed the density, 1 at its end.
    mass: [N] how much each shows; the larger survive a merger.
  """

  gaussians: Gaussians
  ancestors: Array
  scale: Array
  phase: Array
  mass: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Targets:
  """What became of each of P parents: at most m Gaussians, the largest first.

  Attributes:
    means: [P, m, 3] scene units.
    covariances: [P, m, 3, 3] float64, scene units squared; identities where
      not `mask`.
    opacities: [P, m] in [0, 1); 0 where not `mask`.
    sh: [P, m, K, 3].
    mask: [P, m] bool.
    counts: [P] descendants before any merger; 0 where the parent died out.
  """

  means: Array
  covariances: Array
  opacities: Array
  sh: Array
  mask: Array
  counts: Array


@jax.jit
def factors(gaussians: Gaussians) -> Array:
  """W = R diag(s) with Sigma = W W^T, [..., N, 3, 3], scene units."""
  rotation = geometry.quat_to_rotation(gaussians.quats)
  return rotation * gaussians.scales[..., None, :]


@jax.jit
def footprint(gaussians: Gaussians) -> Array:
  """What each [N] shows, from all sides: o det(Sigma)^(1/3), scene units^2.

  Opacity times the area of the mean section; an isotropic Gaussian's integrated
  alpha, up to 2 pi.
  """
  area = jnp.exp(jnp.mean(gaussians.log_scales, axis=-1) * 2)
  return gaussians.opacities * area


def snapshot(
  gaussians: Gaussians, ancestors: Array | None = None, scale: float = 1.0
) -> Snapshot:
  """A state at the end of a level.

  Args:
    gaussians: [N] live, as they are drawn.
    ancestors: [N] rows of the state before; None: there was none.
    scale: as of `Snapshot`; above 1 beyond the photos.
  """
  if ancestors is None:
    ancestors = np.full(len(gaussians.means), NONE, np.int32)
  return Snapshot(
    gaussians=gaussians,
    ancestors=ancestors,
    scale=np.float32(scale),
    phase=np.int32(1),
    mass=np.asarray(footprint(gaussians)),
  )


def compact(
  gaussians: Gaussians, ancestors: Array, live: Array, before: Array | None
) -> tuple[Gaussians, np.ndarray]:
  """Drops free slots, here and in the snapshot before; on the host.

  Args:
    gaussians: [N] slots.
    ancestors: [N] slots of the snapshot before.
    live: [N] bool, slots that hold a Gaussian.
    before: bool, the same of the snapshot before, which may have had fewer
      slots; None where there is none.

  Returns:
    The living, and rows of the living before; `NONE` where it was not.
  """
  live, ancestors = np.asarray(live), np.asarray(ancestors)
  kept = jax.tree.map(lambda x: np.asarray(x)[live], gaussians)
  if before is None:
    return kept, np.full(live.sum(), NONE, np.int32)
  before = np.asarray(before)
  rows = np.full(max(len(before), len(live)), NONE, np.int32)
  rows[: len(before)][before] = np.arange(before.sum())
  return kept, rows[ancestors[live]]


def compose(newer: Array, older: Array) -> Array:
  """Ancestors two snapshots back, [N], of [N] one back and theirs."""
  newer, older = np.asarray(newer), np.asarray(older)
  if not len(older):
    return np.full_like(newer, NONE)
  return np.where(newer == NONE, NONE, older[newer])


def paths(history: Sequence[Snapshot], num_states: int) -> np.ndarray:
  """Each newest Gaussian's rows in the last snapshots, the newest first.

  Args:
    history: oldest first.
    num_states: T.

  Returns:
    [N, T] int32; `NONE` where it had no ancestor, or the history is shorter.
  """
  newest = history[-1].gaussians.means.shape[0]
  rows = np.arange(newest, dtype=np.int32)
  found = [rows]
  for snapshot in list(reversed(history))[: num_states - 1]:
    found.append(compose(found[-1], snapshot.ancestors))
  missing = num_states - len(found)
  found += [np.full(newest, NONE, np.int32)] * missing
  return np.stack(found, axis=-1)


def descendants(
  ancestors: Array,
  num_parents: int,
  num_slots: int,
  *,
  means: Array,
  mass: Array,
) -> tuple[Array, Array]:
  """Gives each child a slot of its parent's family.

  The `num_slots` of largest mass found a slot each, in that order; any other
  joins the founder of its family whose centre is nearest.

  Args:
    ancestors: [N] parents' rows; `NONE` belongs nowhere.
    num_parents: P.
    num_slots: m of a family.
    means: [N, 3] centres of the children.
    mass: [N] at least 0.

  Returns:
    [N] parent * m + slot, `NONE` without a parent; and [P] how many children.
  """
  if num_slots < 1:
    raise ValueError(f'a family needs a slot or more, got {num_slots}')
  ancestors, means, mass = map(np.asarray, (ancestors, means, mass))
  num = len(ancestors)
  parents = np.where(ancestors == NONE, num_parents, ancestors)
  counts = np.bincount(parents, minlength=num_parents + 1)
  first = np.cumsum(counts) - counts
  order = np.lexsort((-mass, parents))
  rank = np.empty(num, int)
  rank[order] = np.arange(num) - first[parents[order]]

  is_founder = rank < num_slots
  founders = np.full((num_parents + 1, num_slots), num)
  founders[parents[is_founder], rank[is_founder]] = np.flatnonzero(is_founder)
  founders = founders[parents]
  there = means[np.minimum(founders, num - 1)] if num else means[:, None]
  away = np.sum((there - means[:, None]) ** 2, axis=-1)
  nearest = np.argmin(np.where(founders < num, away, np.inf), axis=-1)
  slot = np.where(is_founder, rank, nearest)
  groups = np.where(ancestors == NONE, NONE, parents * num_slots + slot)
  return groups.astype(np.int32), counts[:num_parents]


def targets(
  gaussians: Gaussians,
  groups: Array,
  counts: Array,
  num_slots: int,
) -> Targets:
  """Merges the children that share a slot by matching their moments.

  With v = o det(Sigma)^(1/3) of each child, normalised in its slot:
  mu = sum v mu_i, Sigma = sum v (Sigma_i + (mu_i - mu)(mu_i - mu)^T), colours
  likewise; the opacity keeps what all of them show (at most 0.99). A child
  alone stays what it is.

  Args:
    gaussians: [N] the children.
    groups: [N] of `descendants`.
    counts: [P] likewise.
    num_slots: m likewise.

  Returns:
    [P, m].
  """
  num = len(counts) * num_slots
  groups = np.where(np.asarray(groups) == NONE, num, groups)
  means, sh = np.asarray(gaussians.means, float), np.asarray(gaussians.sh)
  shown = np.asarray(footprint(gaussians))

  def total(values: np.ndarray) -> np.ndarray:
    sums = np.zeros((num + 1, *values.shape[1:]), values.dtype)
    np.add.at(sums, groups, values)
    return sums

  whole, sizes = total(shown), total(np.ones(len(groups)))
  share = shown / whole[groups]
  centers = total(share[:, None] * means)
  away = means - centers[groups]
  # Squares of thin axes want more digits than the axes did.
  roots = np.asarray(factors(gaussians), np.float64)
  spread = roots @ roots.mT + away[:, :, None] * away[:, None, :]
  shapes = total(share[:, None, None] * spread)
  shapes = np.where(sizes[:, None, None] > 0, shapes, np.eye(3))
  merged = np.minimum(
    whole / np.exp(np.linalg.slogdet(shapes)[1] / 3), MAX_OPACITY
  )
  # The determinant of a needle is all rounding; one child needs none.
  alone = total(np.asarray(gaussians.opacities))

  def fold(values: np.ndarray) -> np.ndarray:
    return values[:num].reshape(-1, num_slots, *values.shape[1:])

  return Targets(
    means=fold(centers),
    covariances=fold(shapes),
    opacities=fold(np.where(sizes > 1, merged, alone)),
    sh=fold(total(share[:, None, None] * sh)),
    mask=fold(sizes > 0),
    counts=counts,
  )


def to_arrays(history: Sequence[Snapshot]) -> dict[str, np.ndarray]:
  """A history as arrays by name, for `io.records`: '3/means', '3/ancestors'."""
  arrays = {}
  for i, snapshot in enumerate(history):
    for name in FIELDS:
      arrays[f'{i}/{name}'] = np.asarray(
        getattr(snapshot.gaussians, name), np.float32
      )
    arrays[f'{i}/ancestors'] = np.asarray(snapshot.ancestors, np.int32)
    arrays[f'{i}/mass'] = np.asarray(snapshot.mass, np.float32)
    arrays[f'{i}/scale'] = np.asarray(snapshot.scale, np.float32)
    arrays[f'{i}/phase'] = np.asarray(snapshot.phase, np.int32)
  return arrays


def from_arrays(arrays: Mapping[str, Any]) -> list[Snapshot]:
  """Inverts `to_arrays`; other names are left alone."""
  history = []
  while f'{len(history)}/means' in arrays:
    i = len(history)
    gaussians = Gaussians(**{name: arrays[f'{i}/{name}'] for name in FIELDS})
    others = ('ancestors', 'scale', 'phase', 'mass')
    history.append(
      Snapshot(
        gaussians=gaussians, **{name: arrays[f'{i}/{name}'] for name in others}
      )
    )
  if not history:
    raise ValueError(
      f'a record has no history, only {sorted(arrays)}: make it by '
      'experiments.make_lineages'
    )
  return history
