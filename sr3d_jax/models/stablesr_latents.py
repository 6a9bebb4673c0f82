"""StableSR as a latent diffusion model: what joins its published parts."""

from typing import Any

import jax.numpy as jnp

from sr3d_jax import diffusion
from sr3d_jax.types import Array, LatentDiffusion, Network


def make(
  autoencoder: Any,
  unet: Network,
  encoder: Any,
  alpha_bars: Array,
  first_stage: Any | None = None,
  kind: str = 'eps',
) -> LatentDiffusion:
  """Joins the parts of StableSR; see `models.stablesr`.

  Its parameters are {'autoencoder', 'unet', 'encoder', 'text'}, the last with
  the 'embedding' [1, 77, D] of the empty prompt; 'first_stage' is one more
  where the two published files encode differently. Of a denoiser that predicts
  noise, the estimate is as uncertain as published where there is hardly any
  signal.

  Args:
    autoencoder: of `models.autoencoder`, with its fusion.
    unet: of `models.stablesr.make_unet`.
    encoder: of `models.stablesr.make_encoder`.
    alpha_bars: [T] of the schedule.
    first_stage: of `models.autoencoder`, gives latents where `autoencoder`'s
      encoder is good for the decoder's features alone.
    kind: what the denoiser predicts, see `diffusion`: 'eps' of stablesr_turbo
      and stablesr_000117, 'v' of stablesr_768v.
  """
  if kind not in diffusion.KINDS:
    raise ValueError(
      f'kind must be one of {", ".join(diffusion.KINDS)}, got {kind!r}: what '
      'does the denoiser predict?'
    )
  table = jnp.asarray(alpha_bars, jnp.float32)

  def init(key):
    raise ValueError(
      'the weights of StableSR are published, not drawn: convert them, see '
      'docs/weights.md'
    )

  def encode(params, images):
    posterior, features = autoencoder.encode(params['autoencoder'], images)
    if first_stage is not None:
      posterior, _ = first_stage.encode(params['first_stage'], images)
    return posterior, features

  def estimate(params, x, t, coarse):
    text = params['text']['embedding']
    text = jnp.broadcast_to(text, (len(x), *text.shape[1:]))
    maps = encoder.apply(params['encoder'], coarse, t)
    found = unet.apply(params['unet'], x, t, text, maps=maps)
    return diffusion.to_estimate(found, x, table[t], kind)

  def decode(params, latents, features=None, fidelity=0.0):
    return autoencoder.decode(
      params['autoencoder'], latents, features, fidelity
    )

  return LatentDiffusion(
    init, encode, estimate, decode, alpha_bars, autoencoder.factor
  )
