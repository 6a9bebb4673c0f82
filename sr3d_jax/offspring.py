"""What a network of lineages is told of Gaussians, and the children it names.

The inputs are those that `batches.lineages` makes for training, of a scene that
was never trained on: its own past, its neighbours, and how large a pixel of the
wanted pictures is.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import children, filters, lineage, lineage_tokens
from sr3d_jax.types import Array, Camera, Gaussians, Params

_NEVER = -1e4  # logit of a share that a dropped child has


class Learned(NamedTuple):
  """A network that says what children look like.

  Attributes:
    vae: of `models.gaussian_vae`.
    params: of it.
    temperature: of z about its mean; 0: the mean.
    num_states: T of a lineage, the most that it is shown.
    num_neighbors: k.
    keep_mean: see `children.conserve`; None: where there are siblings.
    window: of `lineage_tokens.nearby`, where neighbours are looked for; 0: they
      are exact, by a tree on the host.
  """

  vae: Any
  params: Params
  temperature: float = 0.0
  num_states: int = 4
  num_neighbors: int = 8
  keep_mean: bool | None = None
  window: int = 0


class Told(NamedTuple):
  """What a network is told of a scene of N Gaussians.

  Attributes:
    past: of T states, the newest first, which is the scene.
    trail: [N, T] int32, rows of those; `lineage.NONE` where there was none.
    codes: [T, 2] of those.
    neighbors: [N, k] int32, rows of the scene.
    is_neighbor: [N, k] bool.
    pixel_size: [N] scene units, of a wanted pixel.
    hints: [N, 14] of the newest state, or None.
  """

  past: tuple[Gaussians, ...]
  trail: Array
  codes: Array
  neighbors: Array
  is_neighbor: Array
  pixel_size: Array
  hints: Array | None


class Families(NamedTuple):
  """Parents and what becomes of them.

  Attributes:
    parents: [B] rows of a scene, each once.
    kept: [B, m] bool, the children that there will be.
    slots: `models.gaussian_vae.Slots` [B, m]; None: of no network.
  """

  parents: np.ndarray
  kept: np.ndarray
  slots: Any


def tell(
  network: Learned,
  scene: Gaussians,
  cameras: Camera,
  *,
  history: Sequence[lineage.Snapshot] = (),
  scale: float = 2.0,
  hints: Array | None = None,
) -> Told:
  """Gathers what is told of all.

  Args:
    network: which is told.
    scene: [N] live.
    cameras: [V] of the wanted pictures.
    history: oldest first, the last snapshot being the scene; or empty.
    scale: of the wanted pictures beside those of the newest state.
    hints: [N, 14] for `lineage_tokens.tokens`, of the newest state.
  """
  deviation = _smoothing_scales(scene.means, cameras)
  neighbors, is_neighbor = _neighbors(network, scene.means)
  trail, past = np.arange(len(scene.means))[:, None], (scene,)
  scales, phases = np.ones(1, np.float32), np.ones(1, np.float32)
  if history:
    states = list(reversed(history))[: network.num_states]
    trail = lineage.paths(history, len(states))
    past = (scene, *(state.gaussians for state in states[1:]))
    scales = np.asarray([state.scale for state in states], np.float32)
    phases = np.asarray([state.phase for state in states], np.float32)
  told = Told(
    past=past,
    trail=trail,
    codes=lineage_tokens.level_codes(scales, phases, scale * scales[0]),
    neighbors=neighbors,
    is_neighbor=is_neighbor,
    pixel_size=deviation / np.sqrt(filters.FILTER_VARIANCE),
    hints=hints,
  )
  # On the device once, not with each batch.
  return jax.tree.map(jnp.asarray, told)


_smoothing_scales = jax.jit(filters.smoothing_scales)


def _neighbors(network: Learned, means: Array) -> tuple[Array, Array]:
  if not network.window:
    return lineage_tokens.nearest(means, network.num_neighbors)
  everyone = jnp.ones(len(means), bool)
  return lineage_tokens.nearby(
    means, everyone, network.num_neighbors, window=network.window
  )


def inputs(told: Told, rows: Array) -> dict[str, Array]:
  """Those of the network for some rows [B], see `models.gaussian_vae`."""
  # Apart, so that scenes of other sizes compile no more than what picks.
  return _features(told.codes, *_seen(told, rows))


@jax.jit
def _seen(told: Told, rows: Array) -> tuple:
  """States of the rows, [B] each, what is around them, and their hints."""
  trail = told.trail[rows]
  states = [
    jax.tree.map(lambda x, some=some: x[some], state)
    for some, state in zip(jnp.maximum(trail, 0).T, told.past, strict=True)
  ]
  around = jax.tree.map(lambda x: x[told.neighbors[rows]], told.past[0])
  hints = None if told.hints is None else told.hints[rows]
  mask, is_near = trail != lineage.NONE, told.is_neighbor[rows]
  return states, mask, around, is_near, told.pixel_size[rows], hints


@jax.jit
def _features(
  codes: Array,
  states: list[Gaussians],
  mask: Array,
  around: Gaussians,
  is_near: Array,
  size: Array,
  hints: Array | None,
) -> dict[str, Array]:
  newest = lineage_tokens.canonical(states[0])
  hessian = None
  if hints is not None:
    hessian = jnp.zeros((*mask.shape, lineage_tokens.NUM_HESSIAN))
    hessian = hessian.at[:, 0].set(hints)
  lineages = _alike([newest, *states[1:]])
  return {
    'tokens': lineage_tokens.tokens(
      jax.tree.map(lambda *x: jnp.stack(x, axis=1), *lineages),
      mask,
      pixel_size=size,
      codes=jnp.broadcast_to(codes, (*mask.shape, 2)),
      hessian=hessian,
    ),
    'mask': mask,
    'neighbors': lineage_tokens.neighbor_features(
      newest, around, is_near, pixel_size=size
    ),
    'neighbor_mask': is_near,
  }


def _alike(states: Sequence[Gaussians]) -> list[Gaussians]:
  """Gives states the harmonics of the one that has most."""
  most = max(state.sh.shape[-2] for state in states)
  return [
    dataclasses.replace(
      state,
      sh=jnp.pad(state.sh, ((0, 0), (0, most - state.sh.shape[-2]), (0, 0))),
    )
    for state in states
  ]


def slots(
  key: Array, network: Learned, told: Told, rows: np.ndarray, batch_size: int
) -> Any:
  """What a network says of some rows [B], by batches of one shape.

  Returns:
    `models.gaussian_vae.Slots` [B, m]; None of no rows.
  """
  found = []
  for i, some in enumerate(_batches(rows, len(told.pixel_size), batch_size)):
    noise = jax.random.fold_in(key, i) if network.temperature else None
    said = _predict(
      network.vae, network.params, inputs(told, some), noise,
      network.temperature,
    )  # fmt: skip
    found.append(said)
  return _joined(found, len(rows)) if found else None


def _batches(
  rows: np.ndarray, num: int, batch_size: int
) -> Iterator[np.ndarray]:
  """Some rows at a time, the last one again where there are too few.

  Of one size, whatever is asked of a scene of `num`, lest each count compile.
  """
  size = min(batch_size, 1 << (max(num, len(rows)) - 1).bit_length())
  for first in range(0, len(rows), size):
    some = rows[first : first + size]
    yield np.pad(some, (0, size - len(some)), mode='edge').astype(np.int32)


@functools.partial(jax.jit, static_argnames='num')
def _joined(batches: list, num: int) -> Any:
  """The first `num` rows of all batches, one after the other."""
  return jax.tree.map(lambda *x: jnp.concatenate(x)[:num], *batches)


def families(
  key: Array,
  network: Learned,
  told: Told,
  ranked: np.ndarray,
  asked: int,
  batch_size: int,
) -> Families:
  """Asks a network for children until there are as many as were asked for.

  What the first parents drop goes to those next in rank, and the last family is
  cut to the budget: (m - 1) B are added, unless all have been asked.

  Args:
    key: randomness.
    network: of m children.
    told: of the scene.
    ranked: [N'] rows that may have children, the first choice first.
    asked: B, at most N'.
    batch_size: parents that the network sees at once.

  Returns:
    Those that were asked, of which an only child is never dropped.
  """
  num_children = network.vae.num_children
  parents, wanted = ranked[:asked], (num_children - 1) * asked
  said = slots(key, network, told, parents, batch_size)
  if num_children == 1:
    return Families(parents, np.ones((asked, 1), bool), said)
  while True:
    existence = np.asarray(said.existence)
    kept = existence >= 0
    missing = wanted - (kept.sum() - len(kept))
    if missing <= 0 or len(parents) == len(ranked):
      break
    first = len(parents)
    more = ranked[first : first + -(-missing // (num_children - 1))]
    # Its own key, so that nobody draws the same noise.
    found = slots(
      jax.random.fold_in(key, first), network, told, more, batch_size
    )
    said = jax.tree.map(lambda *x: jnp.concatenate(x), said, found)
    parents = np.concatenate([parents, more])
  # Only the last parent can have gone beyond, and it has siblings to spare.
  last = np.where(kept[-1], existence[-1], np.inf)
  kept[-1, np.argsort(last)[: max(-missing, 0)]] = False
  return Families(parents, kept, said)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _predict(vae, params, inputs, key, temperature):
  return vae.predict(params, inputs, key, temperature)


def bear(
  network: Learned, scene: Gaussians, families: Families, batch_size: int
) -> Gaussians:
  """Makes the children of families of a scene, by batches of one shape.

  Returns:
    [B, m], B at least 1; see `born`.
  """
  parents, kept, said = families
  keeps = kept.shape[1] > 1 if network.keep_mean is None else network.keep_mean
  found = []
  for some in _batches(np.arange(len(parents)), len(scene.means), batch_size):
    own = _picked(scene, parents[some])
    found.append(born(own, *_picked((said, kept), some), keep_mean=keeps))
  return _joined(found, len(parents))


@jax.jit
def _picked(tree: Any, rows: Array) -> Any:
  return jax.tree.map(lambda x: x[rows], tree)


@functools.partial(jax.jit, static_argnames='keep_mean')
def born(
  parents: Gaussians, slots: Any, kept: Array, *, keep_mean: bool
) -> Gaussians:
  """Makes the children that slots say.

  Args:
    parents: [B].
    slots: [B, m].
    kept: [B, m] bool; those that are share what the others would have.
    keep_mean: see `children.conserve`.

  Returns:
    [B, m], where not `kept` of no opacity.
  """
  return children.to_gaussians(
    unborn(parents, slots, kept, keep_mean=keep_mean),
    max_anisotropy=children.longest(parents),
  )


def unborn(
  parents: Gaussians, slots: Any, kept: Array, *, keep_mean: bool
) -> children.Children:
  """As `born`, by factors of covariances: differentiable in the slots."""
  colors = jnp.concatenate([slots.dc[:, :, None], slots.degree1], axis=2)
  return children.conserve(
    lineage_tokens.canonical(parents),
    slots.offsets,
    slots.log_covs,
    slots.opacity,
    jnp.where(kept, slots.weights, _NEVER),
    colors,
    keep_mean=keep_mean,
  )
