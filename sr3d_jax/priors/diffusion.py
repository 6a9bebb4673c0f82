"""Denoising of latents as a prior that may be told the truth at every step.

The loop is that of 3DSR (arXiv 2508.04090) without its 3D part: each step tells
what the fine views look like, and may hear what they look like in 3D before the
sampler moves on. Never injected, it samples exactly as the plain sampler.

Several keywords name where 3DSR's published code and its paper part ways;
configs/priors/ has both.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import diffusion, latent_views, samplers
from sr3d_jax.io import paths
from sr3d_jax.io import weights as weight_files
from sr3d_jax.models import autoencoder as autoencoders
from sr3d_jax.models import latent_sr
from sr3d_jax.models import unet as unets
from sr3d_jax.models.blocks import check_scale
from sr3d_jax.types import Array, LatentDiffusion, SRPrior, Views

SHIPPED = Path(__file__).parents[1] / 'weights' / 'diffusion.npz'
CHOICES = {
  'noise': ('independent', 'shared'),
  'state': ('carried', 'stale'),
  'update': ('eps', 'implied'),
  'encode': ('mode', 'sample'),
  'quantise': ('float', 'trunc'),
  'color': tuple(latent_views.FIXES),
}
# The shipped network's; see configs/train/diffusion_sr.py.
SIZES = {
  'autoencoder': {
    'channels': (48, 64),
    'patch': 2,
    'latent_channels': 12,
    'num_blocks': 1,
    'num_groups': None,
    'mid_attention': False,
    'scaling': 1.0,
    'fusion_levels': (0,),
    'fusion_growth': 16,
    'shortcut': True,
  },
  'unet': {
    'block_out_channels': (64, 96, 128),
    'layers_per_block': 1,
    'norm_num_groups': 8,
  },
}
TINY = {
  'scale': 4.0,
  'weights': None,
  'num_steps': 2,
  'sizes': {
    'autoencoder': {
      'channels': (8, 8),
      'patch': 2,
      'latent_channels': 4,
      'num_blocks': 1,
      'num_groups': None,
      'mid_attention': False,
      'scaling': 1.0,
      'fusion_levels': (0,),
      'fusion_growth': 4,
      'shortcut': True,
    },
    'unet': {
      'block_out_channels': (8, 8),
      'layers_per_block': 1,
      'norm_num_groups': 4,
    },
  },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
  """What the prior carries from step to step, in the host's memory.

  V views are P patches, as many if views are small enough to be whole.

  Attributes:
    key: of the latents that are drawn, where they are.
    photos: [V, h, w, 3] the coarse views.
    coarse: [P, H, W, 3] patches of the same, enlarged and padded.
    posterior: mean and standard deviation of the latents of `coarse`, both
      [P, H / f, W / f, C].
    features: of `coarse`, for the decoder.
    first: the sampler's state at the start.
    sampler: the sampler's state now.
    believed: estimate [P, H / f, W / f, C] of the clean latents, and the noise
      or None for the one that x and the estimate imply; None at the start.
  """

  key: Array
  photos: Array
  coarse: Array
  posterior: tuple[Array, Array]
  features: Any
  first: samplers.State
  sampler: samplers.State
  believed: tuple[Array, Array | None] | None = None


def build(
  *, autoencoder: Mapping[str, Any], unet: Mapping[str, Any]
) -> tuple[autoencoders.Autoencoder, LatentDiffusion]:
  """Makes our own network, and its autoencoder alone.

  Args:
    autoencoder: keywords of `models.autoencoder.make`.
    unet: of `models.unet.make`; what it does not say is the simplest.
  """
  coder = autoencoders.make(**autoencoder)
  levels = len(unet['block_out_channels'])
  plain = {
    'down_block_types': ('DownBlock2D',) * levels,
    'mid_block_type': None,
    'up_block_types': ('UpBlock2D',) * levels,
    'attention_head_dim': 1,
  }
  net = unets.make(
    in_channels=2 * coder.channels,
    out_channels=coder.channels,
    **plain | dict(unet),
  )
  return coder, latent_sr.make(coder, net, diffusion.scaled_linear())


def make(
  *,
  scale: float,
  weights: str | None = 'shipped',
  sizes: Mapping[str, Any] | None = None,
  num_steps: int = 4,
  timesteps: str | Sequence[int] = 'trailing',
  eta: float = 1.0,
  noise: str = 'independent',
  state: str = 'carried',
  update: str = 'eps',
  encode: str = 'mode',
  quantise: str = 'float',
  color: str = 'wavelet',
  fidelity: float | Sequence[float] = 0.5,
  back_projections: int = 0,
  patch: int | None = None,
  rows_per_device: int = 1,
) -> SRPrior:
  """Makes the prior.

  Args:
    scale: at least 1.
    weights: an .npz file of `experiments.train_diffusion_sr`, absolute or below
      the data folder; 'shipped': the one of this repository; None: untrained,
      for tests.
    sizes: {'autoencoder', 'unet'}, keywords of what the weights are for; None:
      of what is shipped.
    num_steps: calls of the network for a view.
    timesteps: how they are spaced, see `diffusion.timesteps`; or the timesteps.
    eta: share of DDPM's noise that is drawn anew at each step.
    noise: 'shared' starts all views from the same.
    state: 'stale' moves all views on from the noise that the last one started
      from, as published; 'carried' each from where it is.
    update: whether to move on with the noise that the network saw, 'eps', or
      with the one 'implied' by x and the estimate, as published.
    encode: whether latents are the mean of their distribution or drawn from it.
    quantise: 'trunc' cuts what is shown to 8 bits and rounds what is injected,
      as published.
    color: what gives the result the coarse picture's colours.
    fidelity: how far the decoder looks at the coarse picture, 0 to 1; of all
      steps, or of each.
    back_projections: steps of `backproject` on each picture that is shown.
    patch: largest side of a picture that the networks see, px, and larger ones
      are cut into overlapping patches, as published with 1280; None: any.
    rows_per_device: patches that a device holds at a time.
  """
  check_scale(scale)
  _check_choices(
    noise=noise, state=state, update=update, encode=encode,
    quantise=quantise, color=color,
  )  # fmt: skip
  sizes = SIZES if sizes is None else sizes
  _, net = build(**sizes)
  if isinstance(timesteps, str):
    timesteps = diffusion.timesteps(num_steps, spacing=timesteps)
  timesteps = np.asarray(timesteps)
  num_steps = len(timesteps)
  sampler = samplers.ddim(net.alpha_bars, timesteps, eta=eta)
  fidelities = _each('fidelity', fidelity, num_steps)
  parts = latent_views.make(
    net,
    scale=scale,
    patch=patch,
    color=color,
    back_projections=back_projections,
    rows_per_device=rows_per_device,
  )

  def init(key):
    if weights is None:
      return net.init(key)
    path = SHIPPED if weights == 'shipped' else paths.data_path(weights)
    return weight_files.restore(path, net.init)

  def begin(params, key, views: Views) -> State:
    photos = np.asarray(views.images)
    coarse = parts.enlarge(photos)
    posterior, features = parts.encode(params, coarse)
    draw, start = jax.random.split(key)
    latents = _latents(draw, posterior, encode)
    begun = sampler.start(_normal(start, latents.shape, noise), latents)
    begun = jax.device_get(begun)
    return State(
      key=draw, photos=photos, coarse=coarse, posterior=posterior,
      features=features, first=begun, sampler=begun,
    )  # fmt: skip

  def step(params, key, now: State, i: int) -> tuple[State, Array]:
    if i:
      now = move_on(key, now, i - 1)
    latents = _latents(jax.random.fold_in(now.key, i), now.posterior, encode)
    x = np.asarray(sampler.model_input(now.sampler, i))
    estimate = parts.estimate(params, x, timesteps[i], latents)
    a = sampler.alpha_bars[i]
    eps = (x - np.sqrt(a) * estimate) / np.sqrt(1 - a)
    believed = estimate, eps.astype(np.float32) if update == 'eps' else None
    images = parts.show(
      params, estimate, now.features, now.coarse, now.photos, fidelities[i]
    )
    if quantise == 'trunc':
      images = np.floor(255 * images) / 255
    return dataclasses.replace(now, believed=believed), jnp.asarray(images)

  def move_on(key, now: State, i: int) -> State:
    estimate, eps = now.believed
    before = now.sampler
    if state == 'stale':
      x = now.first.x
      before = now.first._replace(x=np.broadcast_to(x[-1:], x.shape))
    fresh = _normal(key, estimate.shape, 'independent')
    after = jax.device_get(sampler.step(before, estimate, eps, fresh, i))
    return dataclasses.replace(now, sampler=after)

  def inject(params, now: State, images: Array) -> State:
    images = np.clip(images, 0, 1)
    if quantise == 'trunc':
      images = np.round(255 * images) / 255
    posterior, _ = parts.encode(params, parts.cut(images))
    draw = jax.random.fold_in(now.key, num_steps)
    estimate = _latents(draw, posterior, encode)
    return dataclasses.replace(now, believed=(estimate, now.believed[1]))

  return SRPrior(init, begin, step, inject, num_steps, scale)


def _latents(key: Array, posterior: tuple[Array, Array], encode: str) -> Array:
  """The mean of the distributions, or a draw from each."""
  mean, std = posterior
  if encode == 'mode':
    return mean
  return mean + std * _normal(key, mean.shape, 'independent')


def _normal(key: Array, shape: tuple[int, ...], coupling: str) -> np.ndarray:
  """Unit noise [V, ...]; 'shared' is one field for all V."""
  drawn = (1, *shape[1:]) if coupling == 'shared' else shape
  return np.broadcast_to(jax.random.normal(key, drawn), shape)


def _each(name: str, value: Any, num_steps: int) -> np.ndarray:
  """[num_steps] of one value, or of one for each step."""
  values = np.atleast_1d(np.float32(value))
  if len(values) not in (1, num_steps):
    raise ValueError(
      f'{name} must be one number or one for each of {num_steps} steps, got '
      f'{value}'
    )
  return np.broadcast_to(values, (num_steps,))


def _check_choices(**chosen: str) -> None:
  for name, value in chosen.items():
    if value not in CHOICES[name]:
      raise ValueError(
        f'{name} must be one of {", ".join(CHOICES[name])}, got {value!r}'
      )
