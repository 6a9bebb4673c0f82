"""What the network of GaussianVAE pays for, as far as nothing is drawn.

All is in the whitened frame of a parent, where it is the unit Gaussian N(0, I).
The network and what makes children of its slots are arguments of `learning`.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax.gaussian_distances import bures, hellinger
from sr3d_jax.numerics import safe_divide
from sr3d_jax.types import Array, Network

FREE_BITS = 0.02  # nat a dimension, that cost nothing
ACTIVE = 0.01  # variance of a posterior mean that is not idle
MAX_SLOTS = 6  # 720 orders; 8 would have 40,320
_OFF_DIAGONAL_TWICE = np.array([1.0, 2.0, 2.0, 1.0, 2.0, 1.0])

Normal = tuple[Array, Array]  # mean and log of the deviation, each [B, L]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
  """m children of each of B parents, in its whitened frame.

  Attributes:
    means: [B, m, 3].
    factors: [B, m, 3, 3] F of the covariances F Fᵀ.
    opacity_logits: [B, m].
    dc: [B, m, 3] first harmonics.
  """

  means: Array
  factors: Array
  opacity_logits: Array
  dc: Array


def learning(
  vae: NamedTuple,
  grow: Callable,
  *,
  num_steps: int,
  beta: float = 1e-3,
  free: float = FREE_BITS,
  attribute_weight: float = 1.0,
  existence_weight: float = 0.01,
  gain_weight: float = 0.05,
  small_weight: float = 0.01,
  budget: float | None = None,
) -> Network:
  """What a VAE of lineages learns from families alone, without a renderer.

  The mean over the batch of what slots pay for their targets, and the weighted
  sum of KL(q || p), existence, the Huber loss of the gain, and regularity. z is
  drawn from the posterior.

  A batch holds the network's inputs, `targets` [B, m, F] and `target_mask`
  [B, m] for the posterior, `family`, the same targets as a `Family`, and
  perhaps `log_gain` [B] with `gain_mask` [B].

  Args:
    vae: of `models.gaussian_vae`.
    grow: (batch, slots) -> `Family` of the slots.
    num_steps: of the whole training, of which beta rises over the first 30 %.
    beta: of the KL divergence, summed over z, at last.
    free: nat of it a dimension that cost nothing.
    attribute_weight: of what slots pay.
    existence_weight: of `existence`.
    gain_weight: of the gain.
    small_weight: of `smallness` and `trust`.
    budget: see `existence`.
  """

  def loss(params, key, batch):
    context = vae.encode(params, batch)
    prior = vae.prior(params, context)
    mask = batch['target_mask']
    mean, log_std = vae.posterior(params, context, batch['targets'], mask)
    noise = jax.random.normal(key, mean.shape, mean.dtype)
    slots = vae.decode(params, context, mean + jnp.exp(log_std) * noise)
    family = grow(batch, slots)
    pairs = costs(family, batch['family'])
    paid, has_target = matched(pairs, mask, match(pairs, mask))
    divergences = kl((mean, log_std), prior)
    rest = smallness(slots.log_covs, slots.opacity) + trust(family)
    terms = {
      'attributes': (attribute_weight, jnp.mean(paid)),
      'free_kl': (
        warm_up(batch['step'], num_steps, beta),
        jnp.mean(free_bits(divergences, free)),
      ),
      'existence': (
        existence_weight,
        existence(slots.existence, has_target, budget),
      ),
      'regularity': (small_weight, jnp.mean(rest)),
    }
    if 'log_gain' in batch:
      found = vae.gain(params, context)
      terms['gain'] = gain_weight, _missed_gain(found, batch)
    scalars = {name: value for name, (_, value) in terms.items()}
    scalars['kl'] = jnp.mean(jnp.sum(divergences, axis=-1))
    scalars['active_units'] = active_units(mean)
    return sum(weight * value for weight, value in terms.values()), scalars

  return Network(init=vae.init, apply=vae.predict, loss=loss)


def _missed_gain(found: Array, batch: Mapping[str, Array]) -> Array:
  """Mean Huber loss of log gains [B], where they are known."""
  known = batch['gain_mask']
  errors = found - jnp.where(known, batch['log_gain'], 0)
  return safe_divide(
    jnp.sum(jnp.where(known, huber(errors), 0)), jnp.sum(known)
  )


def kl(posterior: Normal, prior: Normal) -> Array:
  """KL(q || p) of diagonal Gaussians, dimension by dimension: [B, L] nat.

  log σ_p - log σ_q + (σ_q² + (μ_q - μ_p)²) / (2 σ_p²) - 1/2.
  """
  (mean, log_std), (other, other_log_std) = posterior, prior
  gap = log_std - other_log_std
  shift = (mean - other) * jnp.exp(-other_log_std)
  return (jnp.exp(2 * gap) + shift**2 - 1) / 2 - gap


def free_bits(divergences: Array, free: float = FREE_BITS) -> Array:
  """Sums [B, L] nat to [B], each dimension of each sample at least `free`.

  Kingma et al. 2016, "Improved Variational Inference with Inverse
  Autoregressive Flow", section 8, but by sample, so that a row of a batch is
  what it is alone.
  """
  return jnp.sum(jnp.maximum(divergences, free), axis=-1)


def warm_up(
  step: Array, num_steps: int, peak: float = 1e-3, share: float = 0.3
) -> Array:
  """Beta: linearly from 0 to `peak` over a share of the steps, then `peak`."""
  return peak * jnp.clip(step / max(share * num_steps, 1), 0.0, 1.0)


def active_units(means: Array, threshold: float = ACTIVE) -> Array:
  """Number of dimensions of z whose posterior means [B, L] vary over inputs.

  Burda et al. 2016, "Importance Weighted Autoencoders", section 5.2.
  """
  return jnp.sum(jnp.var(means, axis=0) > threshold)


def trust(family: Family) -> Array:
  """Mean squared Hellinger distance of children to their parent, [B]."""
  still = jnp.zeros_like(family.means)
  unit = jnp.eye(3, dtype=family.factors.dtype)
  apart = hellinger(family.means, family.factors, still, unit)
  return jnp.mean(apart, axis=-1)


def costs(
  children: Family,
  targets: Family,
  *,
  opacity: float = 1.0,
  color: float = 1.0,
) -> Array:
  """What it costs each slot to be each target, [B, m, m].

  The squared Bures-Wasserstein distance, the L1 distance of the opacities'
  logits, and that of the first harmonics.

  Args:
    children: [B, m].
    targets: [B, m]; what is not there may hold anything that is finite.
    opacity: weight of the second.
    color: weight of the third.
  """
  a = jax.tree.map(lambda x: x[:, :, None], children)
  b = jax.tree.map(lambda x: x[:, None], targets)
  shapes = bures(a.means, a.factors, b.means, b.factors)
  logits = jnp.abs(a.opacity_logits - b.opacity_logits)
  colors = jnp.sum(jnp.abs(a.dc - b.dc), axis=-1)
  return shapes + opacity * logits + color * colors


def match(pairs: Array, mask: Array) -> Array:
  """Gives each slot its target so that the sum of costs is the least.

  All orders are tried. Targets that are not there cost nothing, so that they
  are left to those slots that fit nowhere.

  Args:
    pairs: [..., m, m] costs, slots by targets, m at most `MAX_SLOTS`.
    mask: [..., m] bool, which targets are there.

  Returns:
    [..., m] int32, a permutation of the targets; without a gradient.
  """
  num = pairs.shape[-1]
  if num > MAX_SLOTS:
    raise ValueError(
      f'matching tries all orders of at most {MAX_SLOTS} slots, got {num}'
    )
  pairs = jnp.where(mask[..., None, :], jax.lax.stop_gradient(pairs), 0)
  orders = np.array(list(itertools.permutations(range(num))), np.int32)
  totals = jnp.sum(pairs[..., np.arange(num), orders], axis=-1)
  return jnp.asarray(orders)[jnp.argmin(totals, axis=-1)]


def matched(pairs: Array, mask: Array, order: Array) -> tuple[Array, Array]:
  """What slots pay for the targets that they were given.

  Args:
    pairs: [..., m, m] as `match`.
    mask: [..., m] likewise.
    order: [..., m] of `match`.

  Returns:
    [...] mean cost over the targets that are there, 0 where none is; and
    [..., m] bool, which slots have one.
  """
  has_target = jnp.take_along_axis(mask, order, axis=-1)
  paid = jnp.take_along_axis(pairs, order[..., None], axis=-1)[..., 0]
  total = jnp.sum(jnp.where(has_target, paid, 0), axis=-1)
  return safe_divide(total, jnp.sum(has_target, axis=-1)), has_target


def existence(
  logits: Array, has_target: Array, budget: float | None = None
) -> Array:
  """Binary cross-entropy of slots, and a penalty for using too many, [].

  Args:
    logits: [B, m].
    has_target: [B, m] bool, as `matched`.
    budget: share of the slots that may exist in the mean over the batch; the
      square of what goes beyond is added. None: any.
  """
  signs = jnp.where(has_target, -1.0, 1.0)
  loss = jnp.mean(jax.nn.softplus(signs * logits))
  if budget is None:
    return loss
  excess = jnp.mean(jax.nn.sigmoid(logits)) - budget
  return loss + jnp.maximum(excess, 0.0) ** 2


def huber(errors: Array, delta: float = 1.0) -> Array:
  """e² / 2 up to delta, delta (|e| - delta / 2) beyond (Huber 1964)."""
  size = jnp.abs(errors)
  inside = jnp.minimum(size, delta)
  return inside * (size - inside / 2)


def smallness(log_covs: Array, opacity: Array) -> Array:
  """|M|² + eta², mean over the slots: [B].

  Args:
    log_covs: [B, m, 6] M, upper triangle row by row.
    opacity: [B, m] eta.
  """
  twice = _OFF_DIAGONAL_TWICE.astype(log_covs.dtype)
  norms = jnp.sum(twice * log_covs**2, axis=-1)
  return jnp.mean(norms + opacity**2, axis=-1)
