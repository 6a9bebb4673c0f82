"""What a video network learns from: finer clips, clean frames, known flow."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from sr3d_jax import image
from sr3d_jax.types import Array, Network, VideoNetwork

EPS = 1e-6  # of the Charbonnier error, of colours in [0, 1]: BasicVSR's


def learning(
  network: VideoNetwork,
  *,
  charbonnier: float = 1.0,
  clean: float = 0.0,
  flow: float = 0.0,
  eps: float = EPS,
  terms: Sequence[Callable] = (),
) -> Network:
  """Makes what `train.run` trains, for batches of `batches.clips`.

  Args:
    network: of clips.
    charbonnier: weight of sqrt(d² + eps²) between enlarged and fine clips
      (BasicVSR).
    clean: of the mean absolute error between cleaned clips and the fine ones
      shrunk by area (RealBasicVSR).
    flow: of the mean distance, coarse px, between the flow that is found and
      the true one, where that is known. Without it alignment is learnt from the
      fine clips alone.
    eps: of the Charbonnier error. Errors far below it count squared, so that
      what is uncertain becomes its mean; far above it, whose median.
    terms: what else is asked of the enlarged clips, see `video_terms`.

  Returns:
    init, apply: (params, clips [B, T, H, W, 3]) -> [B, T, sH, sW, 3], loss.
  """
  weights = charbonnier, clean, flow
  if min(weights) < 0 or not (max(weights) or terms):
    raise ValueError(
      'weights of losses are at least 0, and one is more, got charbonnier '
      f'{charbonnier}, clean {clean}, flow {flow}'
    )

  def apply(params, clips):
    return network.enlarge(params, network.clean(params, clips))

  def loss(params, key, batch):
    del key
    lr, hr = batch['lr'], batch['hr']
    total, scalars = 0.0, {}
    # Flow alone costs a tenth of all.
    if charbonnier or clean or terms:
      cleaned = network.clean(params, lr)
    if charbonnier or terms:
      fine = network.enlarge(params, cleaned)
      squares = (fine - hr) ** 2
      # A black clip is met exactly by a network that has not learnt yet.
      errors = jnp.maximum(jnp.mean(squares, (1, 2, 3, 4)), EPS**2)
      scalars['charbonnier'] = jnp.mean(jnp.sqrt(squares + eps**2) - eps)
      scalars['psnr'] = jnp.mean(-10 * jnp.log10(errors))
      total += charbonnier * scalars['charbonnier']
    if clean:
      small = image.resize(hr, *lr.shape[-3:-1], method='area')
      scalars['clean'] = jnp.mean(jnp.abs(cleaned - small))
      total += clean * scalars['clean']
    if flow and lr.shape[1] > 1:
      scalars['flow'] = _flow_error(network, params, batch)
      total += flow * scalars['flow']
    for term in terms:
      value, found = term(params, fine, batch)
      total += value
      scalars |= found
    return total, scalars

  return Network(init=network.init, apply=apply, loss=loss)


def _flow_error(
  network: VideoNetwork, params, batch: dict[str, Array]
) -> Array:
  """Mean distance to the flow of the clips whose flow is known, coarse px."""
  lr, truth = batch['lr'], batch['flow']
  is_known = jnp.all(jnp.isfinite(truth), axis=-1)
  frames, others = (
    x.reshape(-1, *x.shape[2:]) for x in (lr[:, :-1], lr[:, 1:])
  )
  found = network.flow(params, frames, others).reshape(truth.shape)
  # No NaN may enter, not even to be multiplied by 0.
  gap = jnp.where(is_known[..., None], found - jnp.nan_to_num(truth), 1.0)
  distance = jnp.sqrt(jnp.sum(gap**2, axis=-1) + EPS**2)
  total = jnp.sum(jnp.where(is_known, distance, 0.0))
  return total / jnp.maximum(jnp.sum(is_known), 1)
