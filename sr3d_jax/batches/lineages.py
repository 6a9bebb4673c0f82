"""Gaussians with their past and what became of them one level on.

What `experiments.make_lineages` wrote; batch i depends on the seed and i alone.
A row is one parent at the end of a level: its past as tokens, its neighbours,
and its descendants at the end of the next, all in its own frame.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import lineage, lineage_tokens
from sr3d_jax.io import paths, records
from sr3d_jax.types import Gaussians

# Turns by half a circle about one axis, and none: no Gaussian tells them apart.
FLIPS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
  """Parents [R] of one or of many episodes.

  Attributes:
    states: [R, T] the newest first; anything where not `mask`.
    mask: [R, T] bool.
    pixel_size: [R] scene units, of a pixel of the wanted level.
    codes: [R, T, 2].
    hessian: [R, T, 14].
    neighbors: [R, k] int32 rows.
    neighbor_mask: [R, k] bool.
    targets: [R, m].
  """

  states: Gaussians
  mask: Any
  pixel_size: Any
  codes: Any
  hessian: Any
  neighbors: Any
  neighbor_mask: Any
  targets: lineage.Targets


def make(
  *,
  roots: tuple[str, ...],
  batch_size: int = 1024,
  num_states: int = 4,
  num_children: int = 4,
  num_neighbors: int = 8,
  drop_inner: float = 0.3,
  drop_history: float = 0.3,
  drop_labels: float = 0.5,
  held_out: Sequence[str] = (),
  seed: int = 0,
) -> Callable[[int], dict[str, Any]]:
  """Reads histories and makes a stream of parents, of any scene and level.

  Args:
    roots: folders of .array_record files, absolute or below the data folder;
      all histories are kept in memory.
    batch_size: B, parents in a batch.
    num_states: T of a lineage.
    num_children: m, to which descendants are merged.
    num_neighbors: k.
    drop_inner: chance that a state before the newest is hidden.
    drop_history: chance that all of them are, as of a bare file of splats.
    drop_labels: chance that the Hessian's channels which want photos are 0.
    held_out: patterns of sources that are left out.
    seed: of all choices.

  Returns:
    step -> {'tokens': [B, T, 47], 'mask': [B, T], 'neighbors': [B, k, 20],
    'neighbor_mask': [B, k], 'parents': `Gaussians` [B], their axes from the
    longest to the shortest, 'targets': {'means': [B, m, 3], 'covariances':
    [B, m, 3, 3], 'opacities': [B, m], 'colors': [B, m, 4, 3] less the parent's,
    'mask': [B, m], 'features': [B, m, 22], 'counts': [B]}}, in the frame of the
    parent; the newest state is first.
  """
  for name, chance in (('drop_inner', drop_inner), ('drop_labels', drop_labels),
                       ('drop_history', drop_history)):  # fmt: skip
    if not 0 <= chance <= 1:
      raise ValueError(f'{name} must lie in [0, 1], got {chance}')
  scenes = chosen(read(roots), held_out)
  sizes = (num_states, num_children, num_neighbors)
  parts = [part for scene in scenes for part in episodes(scene, *sizes)]
  table, counts = join(parts), [len(part.pixel_size) for part in parts]
  firsts = np.cumsum(counts) - counts

  def batch(step: int) -> dict[str, Any]:
    rng = np.random.default_rng((seed, step))
    which = rng.integers(len(parts), size=batch_size)
    rows = firsts[which] + rng.integers(np.asarray(counts)[which])
    flips = FLIPS[rng.integers(4, size=batch_size)]
    is_kept = rng.random((batch_size, num_states)) >= drop_inner
    is_kept &= rng.random((batch_size, 1)) >= drop_history
    is_kept[:, 0] = True
    is_told = rng.random(batch_size) >= drop_labels
    return describe(table, rows, flips, is_kept, is_told)

  return batch


def describe(
  table: Rows,
  rows: np.ndarray,
  flips: np.ndarray,
  is_kept: np.ndarray,
  is_told: np.ndarray,
) -> dict[str, Any]:
  """Makes a batch of some rows.

  Args:
    table: all rows.
    rows: [B] which.
    flips: [B, 3] see `lineage_tokens.canonical`.
    is_kept: [B, T] bool, states that are shown where there are any.
    is_told: [B] bool, whether the Hessian shows what only photos tell.

  Returns:
    See `make`.
  """
  some = jax.tree.map(lambda x: x[rows], table)
  newest = jax.tree.map(lambda x: x[:, 0], some.states)
  around = jax.tree.map(lambda x: x[:, 0][some.neighbors], table.states)
  hessian = some.hessian.copy()
  hessian[~is_told, :, lineage_tokens.LABELLED] = 0
  mask = some.mask & is_kept
  parents = lineage_tokens.canonical(newest, flips.astype(np.float32))
  return {
    **_inputs(
      parents, some.states, mask, around, some.neighbor_mask,
      some.pixel_size, some.codes, hessian,
    ),
    'mask': mask,
    'neighbor_mask': some.neighbor_mask,
    'parents': parents,
    'targets': _targets(parents, some.targets),
  }  # fmt: skip


@jax.jit
def _inputs(
  parents, states, mask, around, is_around, pixel_size, codes, hessian
):
  states = jax.tree.map(
    lambda x, own: x.at[:, 0].set(own), _jnp(states), parents
  )
  return {
    'tokens': lineage_tokens.tokens(
      states, mask, pixel_size=pixel_size, codes=codes, hessian=hessian
    ),
    'neighbors': lineage_tokens.neighbor_features(
      parents, around, is_around, pixel_size=pixel_size
    ),
  }


def _jnp(tree):
  return jax.tree.map(jnp.asarray, tree)


def _targets(parents: Gaussians, wanted: lineage.Targets) -> dict[str, Any]:
  """Targets [B, m] in the frames of their parents, in double precision."""
  back = np.linalg.inv(np.asarray(lineage.factors(parents), float))[:, None]
  away = wanted.means - np.asarray(parents.means, float)[:, None]
  mask = wanted.mask
  means = np.where(mask[..., None], (back @ away[..., None])[..., 0], 0)
  shapes = back @ wanted.covariances @ back.mT
  shapes = np.where(mask[..., None, None], shapes, np.eye(3))
  means, shapes = means.astype(np.float32), shapes.astype(np.float32)
  opacities = wanted.opacities.astype(np.float32)
  colors, features = _told(
    parents, means, shapes, opacities, wanted.sh.astype(np.float32), mask
  )
  return {
    'means': means,
    'covariances': shapes,
    'opacities': opacities,
    'colors': colors,
    'mask': mask,
    'features': features,
    'counts': wanted.counts,
  }


@jax.jit
def _told(parents, means, shapes, opacities, harmonics, mask):
  own = lineage_tokens.to_frame(parents.sh, parents.quats)[:, None]
  colors = lineage_tokens.to_frame(harmonics, parents.quats[:, None]) - own
  colors = jnp.where(mask[..., None, None], colors, 0.0)
  features = lineage_tokens.target_features(
    means, shapes, opacities, colors, mask
  )
  return colors, features


def read(roots: Sequence[str]) -> list[dict[str, Any]]:
  """The histories in some folders, as `pyramid.record` made them."""
  found = [
    file
    for root in roots
    for file in sorted(paths.data_path(root).glob('*.array_record'))
  ]
  if not found:
    raise ValueError(
      f'{", ".join(roots)} hold no .array_record files: make them by '
      'experiments.make_lineages'
    )
  return list(records.load(found))


def chosen(
  scenes: Sequence[dict[str, Any]], held_out: Sequence[str]
) -> list[dict[str, Any]]:
  """Leaves out scenes by their source: never by Gaussian or view."""
  names = [scene['meta']['source'] for scene in scenes]
  for pattern in held_out:
    if not any(re.search(pattern, name) for name in names):
      raise ValueError(
        f'no history has a source with {pattern!r}, which was to be held out: '
        f'there are {", ".join(sorted(set(names)))}'
      )
  kept = [scene for scene in scenes if not is_out(scene, held_out)]
  if not kept:
    raise ValueError(
      f'all {len(scenes)} histories are held out: none is left to learn from'
    )
  return kept


def is_out(scene: dict[str, Any], held_out: Sequence[str]) -> bool:
  """Whether a scene's source is held out by one of some patterns."""
  name = scene['meta']['source']
  return any(re.search(pattern, name) for pattern in held_out)


def fixed(
  scenes: Sequence[dict[str, Any]],
  *,
  num_parents: int,
  num_states: int,
  num_children: int,
  num_neighbors: int,
) -> dict[str, dict[str, Any]]:
  """Some parents, the same in every run.

  Returns:
    Batches of `make`: with their 'history', and 'bare': the newest state alone,
    and what no photo tells.
  """
  sizes = num_states, num_children, num_neighbors
  table = join([part for scene in scenes for part in episodes(scene, *sizes)])
  order = np.random.default_rng(0).permutation(len(table.pixel_size))
  rows = order[:num_parents]
  flips = np.ones((len(rows), 3))

  def batch(is_bare):
    is_kept = np.full((len(rows), num_states), not is_bare)
    is_kept[:, 0] = True
    is_told = np.full(len(rows), not is_bare)
    return describe(table, rows, flips, is_kept, is_told)

  return {'history': batch(False), 'bare': batch(True)}


def episodes(
  scene: dict[str, Any], num_states: int, num_children: int, num_neighbors: int
) -> list[Rows]:
  """A scene's parents at each level but the last, all that is older hidden."""
  history = lineage.from_arrays(scene)
  return [
    _episode(scene, history, i, num_states, num_children, num_neighbors)
    for i in range(1, len(history) - 2, 2)
  ]


def _episode(scene, history, last, num_states, num_children, num_neighbors):
  """Parents of snapshot `last`, and theirs two snapshots on."""
  past, grown = history[: last + 1], history[last + 2]
  trail = lineage.paths(past, num_states)
  num = len(trail)
  shown = list(reversed(past))[:num_states]
  shown += [shown[-1]] * (num_states - len(shown))
  rows = np.maximum(trail, 0)

  def along(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack([x[rows[:, t]] for t, x in enumerate(arrays)], axis=1)

  places = [max(last - t, 0) for t in range(num_states)]
  unknown = np.zeros(lineage_tokens.NUM_HESSIAN, np.float32)
  hessian = [
    scene.get(f'{i}/hessian', np.tile(unknown, (len(history[i].mass), 1)))
    for i in places
  ]
  codes = lineage_tokens.level_codes(
    np.asarray([state.scale for state in shown]),
    np.asarray([state.phase for state in shown]),
    grown.scale,
  )
  neighbors, mask = lineage_tokens.nearest(
    past[-1].gaussians.means, num_neighbors
  )
  ancestors = lineage.compose(grown.ancestors, history[last + 1].ancestors)
  groups, counts = lineage.descendants(
    ancestors, num, num_children, means=grown.gaussians.means, mass=grown.mass
  )
  # Pixels were measured at the finest level; those of the wanted are larger.
  finest = scene[f'{last}/pixel_size']
  return Rows(
    states=jax.tree.map(lambda *x: along(x), *[s.gaussians for s in shown]),
    mask=trail != lineage.NONE,
    pixel_size=finest / float(grown.scale),
    codes=np.broadcast_to(np.asarray(codes), (num, num_states, 2)),
    hessian=along(hessian),
    neighbors=neighbors,
    neighbor_mask=mask,
    targets=lineage.targets(grown.gaussians, groups, counts, num_children),
  )


def join(parts: Sequence[Rows]) -> Rows:
  """Puts episodes below one another; neighbours follow their rows."""
  if not parts:
    raise ValueError(
      'no history has two levels, of which one could be learnt from: make them '
      'with more levels'
    )
  sizes = [len(part.pixel_size) for part in parts]
  firsts = np.cumsum(sizes) - sizes
  most = max(part.states.sh.shape[-2] for part in parts)
  moved = [
    dataclasses.replace(
      part,
      neighbors=part.neighbors + int(first),
      states=_with_harmonics(part.states, most),
      targets=_with_harmonics(part.targets, most),
    )
    for part, first in zip(parts, firsts)
  ]
  return jax.tree.map(lambda *x: np.concatenate(x), *moved)


def _with_harmonics(holder: Any, num: int) -> Any:
  """Adds zeros where colours of one scene have fewer harmonics than others."""
  widths = [(0, 0)] * (holder.sh.ndim - 2)
  widths += [(0, num - holder.sh.shape[-2]), (0, 0)]
  return dataclasses.replace(holder, sh=np.pad(holder.sh, widths))
