"""What became of Gaussians, as a VAE of lineages learns it and is scored by.

Between `batches.lineages`, `children` and `vae_terms`: all is in the frame of
the parent, where it is the unit Gaussian, so that no scene is needed any more.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import children, vae_terms
from sr3d_jax.models.gaussian_vae import Slots
from sr3d_jax.numerics import inverse_sigmoid
from sr3d_jax.types import Array, Gaussians, Params

OPACITIES = (1e-4, children.MAX_OPACITY)  # of a target: fainter is not drawn
_LEAST = 1e-4  # deviation of a target over its parent's
INPUTS = ('tokens', 'mask', 'neighbors', 'neighbor_mask')


def learnable(batch: Mapping[str, Any]) -> dict[str, Any]:
  """Makes what `vae_terms.learning` asks for of a batch of `batches.lineages`.

  Args:
    batch: of B parents; targets in their frames.

  Returns:
    The network's inputs, 'targets' [B, m, 22] and 'target_mask' [B, m] for the
    posterior, 'family', the same as a `Family`, and 'opacity_logits' [B],
    the parents'. Targets that are not there are the parent's place and shape.
  """
  targets = batch['targets']
  covariances = np.asarray(targets['covariances'], np.float64)
  values, vectors = np.linalg.eigh(covariances)
  deviations = np.sqrt(np.maximum(values, _LEAST**2))
  family = vae_terms.Family(
    means=np.asarray(targets['means'], np.float32),
    factors=(vectors * deviations[..., None, :]).astype(np.float32),
    opacity_logits=_logits(jnp.asarray(targets['opacities'])),
    dc=np.asarray(targets['colors'])[:, :, 0],
  )
  return {
    **{name: batch[name] for name in INPUTS},
    'targets': targets['features'],
    'target_mask': targets['mask'],
    'family': family,
    'opacity_logits': batch['parents'].opacity_logits,
  }


def grow(
  batch: Mapping[str, Array], slots: Slots, *, keep_mean: bool = True
) -> vae_terms.Family:
  """Children of slots [B, m] in the parent's frame, see `children.conserve`.

  Args:
    batch: of `learnable`.
    slots: of the network.
    keep_mean: whether the children's mean is the parent's.
  """
  num = batch['opacity_logits'].shape[0]
  parents = Gaussians(
    means=jnp.zeros((num, 3)),
    log_scales=jnp.zeros((num, 3)),
    quats=jnp.tile(jnp.array([1.0, 0, 0, 0]), (num, 1)),
    opacity_logits=batch['opacity_logits'],
    sh=jnp.zeros((num, 1, 3)),
  )
  made = children.conserve(
    parents,
    slots.offsets,
    slots.log_covs,
    slots.opacity,
    slots.weights,
    slots.dc[:, :, None],
    keep_mean=keep_mean,
  )
  return vae_terms.Family(
    means=made.means,
    factors=made.factors,
    opacity_logits=_logits(made.opacities),
    dc=made.sh[:, :, 0],
  )


def score(
  vae: NamedTuple, grow: Callable, params: Params, batch: Mapping[str, Array]
) -> dict[str, float]:
  """Tells what the network gives to parents [B] that it has not learnt.

  Attributes are paid for as in training, the mean over the parents that have
  targets. Where z tells nothing, 'shuffled' is as good as 'posterior'.

  Args:
    vae: of `models.gaussian_vae`.
    grow: (batch, slots) -> `Family`.
    params: of the network.
    batch: of `learnable`; its parents come in no order.

  Returns:
    What is paid by 'plain', the split that nothing was learnt for; by the means
    of the 'posterior' and of the 'prior'; by the 'shuffled' posterior, that of
    the next parent; 'prior_wins', the share of parents for which the prior pays
    less than plain; 'kl', nat a parent; 'active_units'.
  """
  paid, kl, means = _paid(vae, grow, params, dict(batch))
  there = np.asarray(batch['target_mask']).any(axis=-1)
  if not there.any():
    raise ValueError('all parents died out: none has a target to be scored by')
  paid = {name: np.asarray(x)[there] for name, x in paid.items()}
  return {
    **{name: float(x.mean()) for name, x in paid.items()},
    'prior_wins': float(np.mean(paid['prior'] < paid['plain'])),
    'kl': float(np.mean(kl)),
    'active_units': int(vae_terms.active_units(means)),
  }


@functools.partial(jax.jit, static_argnames=('vae', 'grow'))
def _paid(vae, grow, params, batch):
  """{name: [B]}, the divergence [B], and the posterior's means [B, L]."""
  mask = batch['target_mask']

  def pay(slots):
    pairs = vae_terms.costs(grow(batch, slots), batch['family'])
    return vae_terms.matched(pairs, mask, vae_terms.match(pairs, mask))[0]

  context = vae.encode(params, batch)
  prior = vae.prior(params, context)
  posterior = vae.posterior(params, context, batch['targets'], mask)
  others = jnp.roll(posterior[0], 1, axis=0)
  told = {'posterior': posterior[0], 'prior': prior[0], 'shuffled': others}
  slots = {name: vae.decode(params, context, z) for name, z in told.items()}
  slots['plain'] = jax.tree.map(jnp.zeros_like, slots['prior'])
  kl = jnp.sum(vae_terms.kl(posterior, prior), axis=-1)
  return {name: pay(x) for name, x in slots.items()}, kl, posterior[0]


def _logits(opacities: Array) -> Array:
  return inverse_sigmoid(jnp.clip(opacities, *OPACITIES))
