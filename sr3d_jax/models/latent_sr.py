"""Super-resolution as denoising of latents, and how its parts are learnt.

Latents are measured in the unit that matters here, channel by channel: the
standard deviation of fine ones about those c of the coarse picture. Of noisy
latents x = sqrt(a) z + sqrt(1 - a) n, with u = x - sqrt(a) c, it follows that

  c + sqrt(a) u

is the best linear estimate of z, with an error of standard deviation
sqrt(1 - a). The network sees u and c and tells what that estimate lacks, in
units of that error: the preconditioning of Karras et al. 2022, "Elucidating the
design space of diffusion-based generative models", around c in place of 0. All
that it is asked for has variance 1, and as a start it may answer 0.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import diffusion
from sr3d_jax.models.blocks import pixel_unshuffle
from sr3d_jax.types import Array, LatentDiffusion, Network, Params

FIRST_LOG_VARIANCE = -10.0


def make(autoencoder, unet: Network, alpha_bars: Array) -> LatentDiffusion:
  """Joins an autoencoder and a denoiser.

  Args:
    autoencoder: of `models.autoencoder`.
    unet: of `models.unet`, from twice the latents' channels to as many.
    alpha_bars: [T] of the schedule.

  Returns:
    A model whose parameters are {'autoencoder', 'unet', 'units'}, the last as
    `measure_units` finds it.
  """
  table = jnp.asarray(alpha_bars, jnp.float32)
  ones = jnp.ones(autoencoder.channels)

  def init(key):
    first, second = jax.random.split(key)
    return {
      'autoencoder': autoencoder.init(first),
      'unet': unet.init(second),
      'units': {'spread': ones, 'center': 0 * ones, 'size': ones},
    }

  def encode(params, images):
    (mean, std), features = autoencoder.encode(params['autoencoder'], images)
    spread = params['units']['spread']
    return (mean / spread, std / spread), features

  def estimate(params, x, t, coarse):
    signal = jnp.sqrt(table[t])[:, None, None, None]
    units = params['units']
    apart = x - signal * coarse
    seen = (coarse - units['center']) / units['size']
    inputs = jnp.concatenate([apart, seen], axis=-1)
    lacking = unet.apply(params['unet'], inputs, t)
    return coarse + signal * apart + jnp.sqrt(1 - signal**2) * lacking

  def decode(params, latents, features=None, fidelity=0.0):
    return autoencoder.decode(
      params['autoencoder'],
      latents * params['units']['spread'],
      features,
      fidelity,
    )

  return LatentDiffusion(
    init, encode, estimate, decode, alpha_bars, autoencoder.factor
  )


def measure_units(
  autoencoder, params: Params, batches: Sequence[Mapping[str, Array]]
) -> dict[str, Array]:
  """Finds the units of latents, [C] each, of pairs 'hr' and 'coarse'.

  Args:
    autoencoder: of `models.autoencoder`.
    params: its.
    batches: of pairs [B, H, W, 3].

  Returns:
    The standard deviation 'spread' of fine latents about coarse ones; the mean
    'center' and standard deviation 'size' of coarse ones, in units of it.
  """
  encode = jax.jit(lambda images: autoencoder.encode(params, images)[0][0])
  fine, coarse = (
    jnp.stack([encode(batch[name]) for batch in batches])
    for name in ('hr', 'coarse')
  )
  axes = (0, 1, 2, 3)
  spread = jnp.sqrt(jnp.square(fine - coarse).mean(axes))
  return {
    'spread': spread,
    'center': coarse.mean(axes) / spread,
    'size': coarse.std(axes) / spread,
  }


def autoencoding(
  autoencoder, *, kl_weight: float, components: tuple[Array, Array]
) -> Network:
  """The autoencoder as what learns to give back {'hr': [B, H, W, 3]}.

  Its loss is the mean absolute error, and `kl_weight` times the mean divergence
  of a latent's distribution from the standard normal one. It starts as
  `components` alone, with narrow distributions: with the width that random
  weights give them, noise would drown what is to be learnt for long.

  Args:
    autoencoder: of `models.autoencoder`, with its shortcut.
    kl_weight: see above.
    components: of `principal_components`.
  """
  channels = autoencoder.channels
  mean, basis = components

  def init(key):
    params = autoencoder.init(key)
    zeros = jax.tree.map(jnp.zeros_like, params)
    bias = zeros['quant_conv']['bias'].at[channels:].set(FIRST_LOG_VARIANCE)
    conv_out = zeros['decoder']['conv_out']
    return {
      **params,
      'quant_conv': {**zeros['quant_conv'], 'bias': bias},
      'decoder': {**params['decoder'], 'conv_out': conv_out},
      'direct_in': {'kernel': basis[None, None], 'bias': -mean @ basis},
      'direct_out': {'kernel': basis.T[None, None], 'bias': mean},
    }

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


def principal_components(
  pictures: Array, side: int, channels: int
) -> tuple[Array, Array]:
  """Finds what squares of px vary in most.

  Args:
    pictures: [B, H, W, 3] in [0, 1].
    side: of the squares, px.
    channels: C, the number of components.

  Returns:
    Mean [3 side^2] of the squares of 2 v - 1, and orthonormal components
    [3 side^2, C], in the order of `blocks.pixel_unshuffle`.
  """
  squares = pixel_unshuffle(2 * pictures - 1, side)
  squares = np.asarray(squares, np.float64).reshape(-1, 3 * side**2)
  _, vectors = np.linalg.eigh(np.cov(squares.T))
  basis = vectors[:, ::-1][:, :channels]
  mean = squares.mean(axis=0)
  return jnp.asarray(mean, jnp.float32), jnp.asarray(basis, jnp.float32)


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
    error = jnp.sqrt(1 - alpha_bars[t])[:, None, None, None]
    value = jnp.mean(jnp.square((found - fine) / error))
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
  if is_regression:
    return diffusion.add_noise(coarse, jnp.zeros_like(coarse), alpha_bar)
  noise = jax.random.normal(key, fine.shape)
  return diffusion.add_noise(fine, noise, alpha_bar)


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
