"""Super-resolution as denoising of latents, and how its parts are learnt.

The denoiser knows the coarse picture's latents c and how far the fine ones lie
from them, a standard deviation s for each channel, measured once. Of noisy
latents x = sqrt(a) z + sqrt(1 - a) n, those two alone give the estimate

  c + s^2 sqrt(a) / v * (x - sqrt(a) c),  v = s^2 a + 1 - a,

with an error of standard deviation s sqrt((1 - a) / v). The network sees
(x - sqrt(a) c) / sqrt(v) and c, and tells what that estimate lacks, in units of
that error: preconditioning as by Karras et al. 2022, "Elucidating the design
space of diffusion-based generative models", around c in place of 0. All that it
is asked for has variance 1, and as a start it may answer 0.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from sr3d_jax.types import Array, LatentDiffusion, Network, Params

FIRST_LOG_VARIANCE = -6.0


def make(autoencoder, unet: Network, alpha_bars: Array) -> LatentDiffusion:
  """Joins an autoencoder and a denoiser.

  Args:
    autoencoder: of `models.autoencoder`.
    unet: of `models.unet`, from twice the latents' channels to as many.
    alpha_bars: [T] of the schedule.

  Returns:
    A model whose parameters are {'autoencoder', 'unet', 'spread'}, the last [C]
    the standard deviation of fine latents about coarse ones.
  """
  table = jnp.asarray(alpha_bars, jnp.float32)

  def init(key):
    first, second = jax.random.split(key)
    return {
      'autoencoder': autoencoder.init(first),
      'unet': unet.init(second),
      'spread': jnp.ones(autoencoder.channels),
    }

  def encode(params, images):
    return autoencoder.encode(params['autoencoder'], images)

  def estimate(params, x, t, coarse):
    alpha_bar = table[t][:, None, None, None]
    seen, guess, error = _precondition(params['spread'], x, coarse, alpha_bar)
    inputs = jnp.concatenate([seen, coarse], axis=-1)
    return guess + error * unet.apply(params['unet'], inputs, t)

  def decode(params, latents, features=None, fidelity=0.0):
    return autoencoder.decode(
      params['autoencoder'], latents, features, fidelity
    )

  return LatentDiffusion(
    init, encode, estimate, decode, alpha_bars, autoencoder.factor
  )


def _precondition(
  spread: Array, x: Array, coarse: Array, alpha_bar: Array
) -> tuple[Array, Array, Array]:
  """What the network sees, the estimate without it, and that one's error."""
  variance = spread**2 * alpha_bar + 1 - alpha_bar
  apart = x - jnp.sqrt(alpha_bar) * coarse
  guess = coarse + spread**2 * jnp.sqrt(alpha_bar) / variance * apart
  error = spread * jnp.sqrt((1 - alpha_bar) / variance)
  return apart / jnp.sqrt(variance), guess, error


def autoencoding(autoencoder, *, kl_weight: float) -> Network:
  """The autoencoder as what learns to give back {'hr': [B, H, W, 3]}.

  Its loss is the mean absolute error, and `kl_weight` times the mean divergence
  of a latent's distribution from the standard normal one. Distributions start
  narrow: with the width that random weights give them, noise would drown what
  is to be learnt for thousands of steps.
  """

  def init(key):
    params = autoencoder.init(key)
    bias = params['quant_conv']['bias']
    start = bias.at[autoencoder.channels :].set(FIRST_LOG_VARIANCE)
    quant_conv = {**params['quant_conv'], 'bias': start}
    return {**params, 'quant_conv': quant_conv}

  def apply(params, images):
    (mean, _), _ = autoencoder.encode(params, images)
    return autoencoder.decode(params, mean)

  def loss(params, key, batch):
    (mean, std), _ = autoencoder.encode(params, batch['hr'])
    latents = mean + std * jax.random.normal(key, mean.shape)
    error = jnp.abs(autoencoder.decode(params, latents) - batch['hr']).mean()
    divergence = (0.5 * (mean**2 + std**2 - 1) - jnp.log(std)).mean()
    scalars = {'l1': error, 'divergence': divergence}
    return error + kl_weight * divergence, scalars

  return Network(init=init, apply=apply, loss=loss)


def measure_spread(
  model: LatentDiffusion,
  params: Params,
  batches: Sequence[Mapping[str, Array]],
) -> Array:
  """[C] how far latents of 'hr' lie from those of 'coarse', both [B, ...]."""
  encode = jax.jit(lambda images: model.encode(params, images)[0][0])
  squares = [
    jnp.square(encode(batch['hr']) - encode(batch['coarse'])).mean((0, 1, 2))
    for batch in batches
  ]
  return jnp.sqrt(jnp.stack(squares).mean(axis=0))


def denoising(
  model: LatentDiffusion, frozen: Params, *, is_regression: bool = False
) -> Network:
  """The denoiser as what learns on pairs {'hr', 'coarse': [B, H, W, 3]}.

  Its loss is the mean squared error in units of the error that is there without
  the network, so that no time and no channel counts more than another.

  Args:
    model: of `make`.
    frozen: its parameters; all but 'unet' stay.
    is_regression: whether it is shown no noisy latents and learns to guess the
      fine ones from the coarse: the same network without diffusion.
  """
  alpha_bars = jnp.asarray(model.alpha_bars, jnp.float32)

  def loss(params, key, batch):
    keys = jax.random.split(key, 4)
    fine, coarse = (
      mean + std * jax.random.normal(key, mean.shape)
      for key, name in zip(keys, ('hr', 'coarse'))
      for (mean, std) in [model.encode(frozen, batch[name])[0]]
    )
    t = _times(keys[2], len(fine), len(alpha_bars), is_regression)
    x = _noisy(keys[3], fine, coarse, alpha_bars[t], is_regression)
    found = model.estimate({**frozen, **params}, x, t, coarse)
    a = alpha_bars[t][:, None, None, None]
    _, _, error = _precondition(frozen['spread'], x, coarse, a)
    value = jnp.mean(((found - fine) / error) ** 2)
    return value, {'l2': value}

  return Network(
    init=lambda key: {'unet': model.init(key)['unet']},
    apply=lambda params, inputs: model.estimate({**frozen, **params}, *inputs),
    loss=loss,
  )


def _times(key, count, num_train, is_regression):
  """[B] timesteps; for a regression, that of noise alone."""
  if is_regression:
    return jnp.full(count, num_train - 1)
  return jax.random.randint(key, (count,), 0, num_train)


def _noisy(key, fine, coarse, alpha_bar, is_regression):
  """Noisy latents; for a regression, what says no more than the coarse ones."""
  signal = jnp.sqrt(alpha_bar)[:, None, None, None]
  if is_regression:
    return signal * coarse
  noise = jax.random.normal(key, fine.shape)
  return signal * fine + jnp.sqrt(1 - signal**2) * noise


def fusing(
  model: LatentDiffusion, frozen: Params, *, is_regression: bool = False
) -> Network:
  """The decoder's fusion as what learns on pairs {'hr', 'coarse'}.

  The fine latents are noised and estimated by the trained denoiser; the decoder
  is to give back the fine picture from that estimate and the coarse picture's
  features. The loss is the mean absolute error at fidelity 1. Train nothing but
  parameters that have `fusion_layer` in their names.
  """
  alpha_bars = jnp.asarray(model.alpha_bars, jnp.float32)

  def loss(params, key, batch):
    draw_t, draw_noise = jax.random.split(key)
    (fine, _), _ = model.encode(frozen, batch['hr'])
    (coarse, _), features = model.encode(frozen, batch['coarse'])
    t = _times(draw_t, len(fine), len(alpha_bars), is_regression)
    x = _noisy(draw_noise, fine, coarse, alpha_bars[t], is_regression)
    found = jax.lax.stop_gradient(model.estimate(frozen, x, t, coarse))
    images = model.decode({**frozen, **params}, found, features, 1.0)
    error = jnp.abs(images - batch['hr']).mean()
    return error, {'l1': error}

  return Network(
    init=lambda key: {'autoencoder': frozen['autoencoder']},
    apply=lambda params, inputs: model.decode({**frozen, **params}, *inputs),
    loss=loss,
  )
