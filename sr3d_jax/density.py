"""Density control at fixed capacity: where Gaussians are born, move and die.

A slot whose opacity is at most `DEAD_OPACITY` is free. Both rules compute
`source [N]`, the slot that each slot copies, and gather parameters and moments
alike, so shapes never change under jit.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sr3d_jax import geometry
from sr3d_jax.numerics import inverse_sigmoid, safe_divide
from sr3d_jax.types import Array, Gaussians

DEAD_OPACITY = 0.005  # too faint to matter: Kerbl et al. 2023, section 5.2
FAINTEST = 1.01 * DEAD_OPACITY  # that sharing leaves, as released
DEAD_LOGIT = -20.0  # of a slot never used; sigmoid(-20) = 2e-9
SPLIT_SHRINK = 1.6  # scale of the halves: Kerbl et al. 2023, section 5.2
MAX_COPIES = 51  # of one Gaussian in one relocation, as released
MAX_FRACTION = 0.1  # of the extent: larger Gaussians are huge, as released
RESET_OPACITY = 0.01  # ceiling after an opacity reset


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class ScreenStats:
  """What the screen said since the last refinement.

  Attributes:
    gradient: [N] sum over the views that drew it of |dL/d mean2d|, in
      normalised device coordinates.
    absolute: [N] likewise of |dL/dx| + |dL/dy|, summed pixel by pixel, where
      one pixel's pull cannot hide another's; 0 unless a representation asks.
    count: [N] number of those views.
  """

  gradient: Array
  absolute: Array
  count: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Origins:
  """Where Gaussians came from: it rides with the moments, see `with_origins`.

  Attributes:
    slots: [N] int32, the slot whose Gaussian each one descends from.
  """

  slots: Array


def _is_origins(node: Any) -> bool:
  return isinstance(node, Origins)


def empty_stats(num: int) -> ScreenStats:
  """Statistics of `num` Gaussians that no view has drawn."""
  zeros = jnp.zeros(num)
  return ScreenStats(gradient=zeros, absolute=zeros, count=zeros)


def is_live(gaussians: Gaussians) -> Array:
  """[N] bool: slots that hold a Gaussian."""
  return gaussians.opacities > DEAD_OPACITY


def gather_moments(opt_state: Any, source: Array, fresh: Array) -> Any:
  """Moves optimiser moments with their Gaussians; zero where `fresh`.

  Args:
    opt_state: any pytree in which moments appear as `Gaussians`, and perhaps
      `Origins`, which copies keep.
    source: [N] the slot each slot copies.
    fresh: [N] bool.
  """

  def move(leaf: Array) -> Array:
    mask = fresh.reshape(fresh.shape + (1,) * (leaf.ndim - 1))
    return jnp.where(mask, 0.0, leaf[source])

  def follow(node: Any) -> Any:
    if isinstance(node, Gaussians):
      return jax.tree.map(move, node)
    return Origins(slots=node.slots[source]) if _is_origins(node) else node

  return jax.tree.map(
    follow,
    opt_state,
    is_leaf=lambda node: isinstance(node, Gaussians) or _is_origins(node),
  )


def with_origins(
  optimizer: optax.GradientTransformation, num: int
) -> optax.GradientTransformationExtraArgs:
  """Lets an optimiser's state say where each of `num` Gaussians came from."""
  inner = optax.with_extra_args_support(optimizer)

  def init(params: Any) -> tuple[Any, Origins]:
    return inner.init(params), Origins(slots=jnp.arange(num, dtype=jnp.int32))

  def update(updates, state, params=None, **extra):
    moments, origins = state
    updates, moments = inner.update(updates, moments, params, **extra)
    return updates, (moments, origins)

  return optax.GradientTransformationExtraArgs(init, update)


def origins(opt_state: Any) -> Array:
  """Slots [N] from which an optimiser's state says that Gaussians came."""
  nodes = jax.tree.leaves(opt_state, is_leaf=_is_origins)
  found = [node.slots for node in nodes if _is_origins(node)]
  if len(found) != 1:
    raise ValueError(
      f'the state has {len(found)} records of origins, wanted one: fit with an '
      'optimiser that went through with_origins'
    )
  return found[0]


def restart_origins(opt_state: Any) -> Any:
  """The state from which on origins are told: each slot is its own."""

  def restart(node: Any) -> Any:
    if not _is_origins(node):
      return node
    return Origins(slots=jnp.arange(len(node.slots), dtype=jnp.int32))

  return jax.tree.map(restart, opt_state, is_leaf=_is_origins)


def grow(params: Any, num: int, capacity: int) -> Any:
  """Adds free slots behind those of a representation's parameters.

  Args:
    params: any pytree of `Gaussians` and of arrays; those of `num` rows belong
      to Gaussians.
    num: slots that there are.
    capacity: slots to have.

  Returns:
    The same with `capacity` slots, the new ones dead.
  """
  if capacity < num:
    raise ValueError(
      f'{num} slots cannot grow to {capacity}: a capacity does not shrink'
    )

  def pad(leaf: Array, value: float = 0.0) -> Array:
    if leaf.shape[:1] != (num,):
      return leaf
    widths = [(0, capacity - num)] + [(0, 0)] * (leaf.ndim - 1)
    return jnp.pad(leaf, widths, constant_values=value)

  def extend(node: Any) -> Any:
    if not isinstance(node, Gaussians):
      return pad(node)
    return dataclasses.replace(
      jax.tree.map(pad, node),
      opacity_logits=pad(node.opacity_logits, DEAD_LOGIT),
      quats=pad(node.quats).at[num:, 0].set(1.0),
    )

  return jax.tree.map(
    extend, params, is_leaf=lambda node: isinstance(node, Gaussians)
  )


def shared_opacity(opacity: Array, copies: Array) -> tuple[Array, Array]:
  """What one Gaussian must become so that n copies look like it.

  o' = 1 - (1 - o)^(1/n) and s' = s o / D with
  D = sum_{m=1..n} C(n, m) (-1)^(m-1) o'^m / sqrt(m)
  (Kheradmand et al. 2024, eq. 9). The alternating sum cancels badly, so it is
  evaluated as D = 2/sqrt(pi) integral_0^inf 1 - (1 - o' e^(-t^2))^n dt, whose
  even and fast-decaying integrand the trapezoid rule sums to rounding error.

  Args:
    opacity: [N] in [0, 1).
    copies: [N] n >= 1.

  Returns:
    [N] new opacity and [N] factor on the scales.
  """
  opacity = jnp.clip(opacity, 1e-7, 1 - 1e-6)
  copies = jnp.clip(copies, 1, MAX_COPIES)
  log_transmittance = jnp.log1p(-opacity) / copies
  shared = -jnp.expm1(log_transmittance)
  step = 0.1
  t = np.arange(0, 6 + step / 2, step, dtype=np.float32)
  weights = np.full(t.shape, step * 2 / np.sqrt(np.pi), np.float32)
  weights[0] /= 2
  falloff = np.exp(-t * t)
  log_pass = jnp.log1p(-shared[:, None] * falloff)
  coverage = -jnp.expm1(copies[:, None] * log_pass) @ weights
  return shared, opacity / coverage


def relocate(
  key: Array, gaussians: Gaussians, target: Array, drawn: Gaussians
) -> tuple[Gaussians, Array, Array]:
  """Fills free slots with copies of live Gaussians, the look unchanged.

  Sources are drawn in proportion to opacity; each shares its opacity with its
  copies (Kheradmand et al. 2024, section 4.2). Which live, and how much they
  show, is asked of `drawn`: a 3D filter leaves nothing of a Gaussian far
  smaller than itself, however opaque that is.

  Args:
    key: randomness.
    gaussians: [N] learnt.
    target: [] wanted number of live Gaussians; at most N.
    drawn: [N] the same as they are rendered.

  Returns:
    The Gaussians, `source` [N], and `fresh` [N]: copies and copied alike, whose
    moments must restart.
  """
  num = gaussians.means.shape[0]
  live = is_live(drawn)
  num_live = jnp.sum(live)
  rank = jnp.cumsum(~live) - 1
  fill = ~live & (rank < target - num_live) & (num_live > 0)
  odds = jnp.cumsum(jnp.where(live, drawn.opacities, 0.0))
  draws = jax.random.uniform(key, (num,)) * odds[-1]
  pick = jnp.clip(jnp.searchsorted(odds, draws, side='right'), 0, num - 1)
  # Rounding in the cumulative sum must never pick a free slot.
  fill &= live[pick]
  source = jnp.where(fill, pick, jnp.arange(num))
  copies = 1 + jnp.zeros(num).at[pick].add(fill)
  shared, shrink = shared_opacity(gaussians.opacities, copies)
  # Sharing must not kill the faint, as they are drawn. Those keep the size that
  # their own share asks for, as released: with the raised one in eq. 9 they
  # would shrink by up to n, and vanish behind the 3D filter all the same.
  least = jnp.minimum(safe_divide(FAINTEST, drawn.opacities), 1.0)
  shared = jnp.maximum(shared, least * gaussians.opacities)
  copied = copies > 1
  parents = dataclasses.replace(
    gaussians,
    opacity_logits=jnp.where(
      copied, inverse_sigmoid(shared), gaussians.opacity_logits
    ),
    log_scales=gaussians.log_scales
    + jnp.where(copied, jnp.log(shrink), 0.0)[:, None],
  )
  return jax.tree.map(lambda x: x[source], parents), source, fill | copied


def _quantile(values: Array, mask: Array, share: Array) -> Array:
  """The quantile `share` of the masked values [N], linear between ranks."""
  last = jnp.maximum(jnp.sum(mask) - 1, 0)
  ordered = jnp.sort(jnp.where(mask, values, jnp.inf))
  place = share * last
  below = jnp.floor(place).astype(int)
  low, high = ordered[below], ordered[jnp.minimum(below + 1, last)]
  return low + jnp.where(high > low, (place - below) * (high - low), 0.0)


def _wanted(
  stats: ScreenStats, keep: Array, threshold: float, by_absolute: bool
) -> tuple[Array, Array]:
  """Which Gaussians call for another, [N] bool, and how loudly, [N].

  By absolute gradients, too, as many call as by the gradient: with r the share
  that passes the threshold of the one, that of the other is the quantile 1 - r
  (released code of Yu et al. 2024, "Gaussian Opacity Fields"; there r and the
  quantile are of all, here of those that live).
  """
  gradient = safe_divide(stats.gradient, stats.count)
  hot = keep & (gradient >= threshold)
  heat = gradient / threshold
  if by_absolute:
    absolute = safe_divide(stats.absolute, stats.count)
    share = safe_divide(jnp.sum(hot), jnp.sum(keep))
    least = _quantile(absolute, keep, 1 - share)
    hot |= keep & (absolute >= least) & (absolute > 0)
    heat = jnp.maximum(heat, safe_divide(absolute, least))
  return hot, heat


def densify(
  key: Array,
  gaussians: Gaussians,
  stats: ScreenStats,
  *,
  extent: float,
  gradient_threshold: float = 2e-4,
  by_absolute: bool = False,
  dense_fraction: float = 0.01,
  max_fraction: float | Array = MAX_FRACTION,
) -> tuple[Gaussians, Array, Array]:
  """Clones small, splits large, prunes faint and huge Gaussians.

  Kerbl et al. 2023, section 5.2. When more are wanted than slots are free,
  those that pass their threshold by the largest factor come first.

  Args:
    key: randomness.
    gaussians: [N].
    stats: since the last call.
    extent: of the scene, scene units.
    gradient_threshold: on the mean screen gradient.
    by_absolute: whether a large absolute gradient calls for more, too.
    dense_fraction: of `extent`; larger Gaussians are split, others cloned.
    max_fraction: of `extent`; larger Gaussians are pruned.

  Returns:
    The Gaussians, `source` [N] and `fresh` [N].
  """
  num = gaussians.means.shape[0]
  size = jnp.max(gaussians.scales, axis=-1)
  keep = is_live(gaussians) & (size <= max_fraction * extent)
  hot, heat = _wanted(stats, keep, gradient_threshold, by_absolute)
  num_new = jnp.minimum(jnp.sum(hot), jnp.sum(~keep))
  order = jnp.argsort(jnp.where(hot, -heat, jnp.inf))
  rank = jnp.cumsum(~keep) - 1
  fill = ~keep & (rank < num_new)
  source = jnp.where(fill, order[jnp.clip(rank, 0, num - 1)], jnp.arange(num))
  parent = jnp.zeros(num, bool).at[source].max(fill)
  halves = (fill | parent) & (size > dense_fraction * extent)[source]

  children = jax.tree.map(lambda x: x[source], gaussians)
  rotation = geometry.quat_to_rotation(children.quats)
  offset = jax.random.normal(key, (num, 3)) * children.scales
  offset = jnp.einsum('nij,nj->ni', rotation, offset)
  children = dataclasses.replace(
    children,
    means=children.means + jnp.where(halves[:, None], offset, 0.0),
    log_scales=children.log_scales
    - jnp.where(halves, np.log(SPLIT_SHRINK), 0.0)[:, None],
    opacity_logits=jnp.where(keep | fill, children.opacity_logits, DEAD_LOGIT),
  )
  return children, source, fill | halves | ~keep


def reset_opacity(gaussians: Gaussians) -> Gaussians:
  """Caps every opacity at 0.01, so that only what the photos need returns."""
  ceiling = float(np.log(RESET_OPACITY / (1 - RESET_OPACITY)))
  logits = jnp.minimum(gaussians.opacity_logits, ceiling)
  return dataclasses.replace(gaussians, opacity_logits=logits)
