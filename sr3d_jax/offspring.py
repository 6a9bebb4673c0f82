"""What a network of lineages is told of Gaussians, and the children it names.

The inputs are those that `batches.lineages` makes for training, of a scene that
was never trained on: its own past, its neighbours, and how large a pixel of the
wanted pictures is.
"""

import dataclasses
import functools
import operator
from collections.abc import Sequence
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
  """

  vae: Any
  params: Params
  temperature: float = 0.0
  num_states: int = 4
  num_neighbors: int = 8
  keep_mean: bool | None = None


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
  trail: np.ndarray
  codes: Array
  neighbors: np.ndarray
  is_neighbor: np.ndarray
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
  deviation = filters.smoothing_scales(scene.means, cameras)
  neighbors, is_neighbor = lineage_tokens.nearest(
    scene.means, network.num_neighbors
  )
  trail, past = np.arange(len(scene.means))[:, None], (scene,)
  scales, phases = np.ones(1, np.float32), np.ones(1, np.float32)
  if history:
    states = list(reversed(history))[: network.num_states]
    trail = lineage.paths(history, len(states))
    past = (scene, *(state.gaussians for state in states[1:]))
    scales = np.asarray([state.scale for state in states], np.float32)
    phases = np.asarray([state.phase for state in states], np.float32)
  return Told(
    past=past,
    trail=trail,
    codes=lineage_tokens.level_codes(scales, phases, scale * scales[0]),
    neighbors=neighbors,
    is_neighbor=is_neighbor,
    pixel_size=deviation / np.sqrt(filters.FILTER_VARIANCE),
    hints=hints,
  )


def inputs(told: Told, rows: np.ndarray) -> dict[str, Array]:
  """Those of the network for some rows [B], see `models.gaussian_vae`."""
  trail, mask = told.trail[rows], told.trail[rows] != lineage.NONE
  places = np.maximum(trail, 0).T
  states = [
    jax.tree.map(lambda x, some=some: jnp.asarray(x)[some], state)
    for some, state in zip(places, told.past, strict=True)
  ]
  states[0] = lineage_tokens.canonical(states[0])
  hints = None
  if told.hints is not None:
    hints = jnp.zeros((*mask.shape, lineage_tokens.NUM_HESSIAN))
    hints = hints.at[:, 0].set(told.hints[rows])
  near, is_near = told.neighbors[rows], jnp.asarray(told.is_neighbor[rows])
  around = jax.tree.map(lambda x: x[near], told.past[0])
  size = told.pixel_size[rows]
  return {
    'tokens': lineage_tokens.tokens(
      jax.tree.map(lambda *x: jnp.stack(x, axis=1), *_alike(states)),
      jnp.asarray(mask),
      pixel_size=size,
      codes=jnp.broadcast_to(told.codes, (*mask.shape, 2)),
      hessian=hints,
    ),
    'mask': jnp.asarray(mask),
    'neighbors': lineage_tokens.neighbor_features(
      states[0], around, is_near, pixel_size=size
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
  """What a network says of some rows [B], by batches of few shapes.

  Returns:
    `models.gaussian_vae.Slots` [B, m]; None of no rows.
  """
  found = []
  for i, first in enumerate(range(0, len(rows), batch_size)):
    some = rows[first : first + batch_size]
    size = min(batch_size, 1 << (len(some) - 1).bit_length())
    padded = np.concatenate([some, np.repeat(some[-1:], size - len(some))])
    noise = jax.random.fold_in(key, i) if network.temperature else None
    said = _predict(
      network.vae, network.params, inputs(told, padded), noise,
      network.temperature,
    )  # fmt: skip
    found.append(jax.tree.map(operator.itemgetter(slice(len(some))), said))
  if not found:
    return None
  return jax.tree.map(lambda *x: jnp.concatenate(x), *found)


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
    unborn(parents, slots, kept, keep_mean=keep_mean)
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
