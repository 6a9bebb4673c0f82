"""The loop of a diffusion prior: it may be told the truth at every step.

That of 3DSR (arXiv 2508.04090) without its 3D part: each step tells what the
fine views look like, and may hear what they look like in 3D before the sampler
moves on. Never injected, it samples exactly as the plain sampler.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import samplers
from sr3d_jax.types import Array, SRPrior, Views

CHOICES = {
  'noise': ('independent', 'shared', 'none', 'splatted', 'warped'),
  'state': ('carried', 'stale'),
  'update': ('eps', 'implied'),
  'encode': ('mode', 'sample'),
  'quantise': ('float', 'trunc'),
}
OF_SCENE = ('splatted', 'warped')  # noise that a scene must be there for


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
    first: the sampler's state at the start; None while its noise, a scene's,
      is unknown.
    sampler: the sampler's state now; likewise.
    believed: estimate [P, H / f, W / f, C] of the clean latents, and the noise
      or None for the one that x and the estimate imply; None at the start.
    index: of the step that `believed` is of.
  """

  key: Array
  photos: Array
  coarse: Array
  posterior: tuple[Array, Array]
  features: Any
  first: samplers.State | None
  sampler: samplers.State | None
  believed: tuple[Array, Array | None] | None = None
  index: int = 0


def make(
  parts: Any,
  sampler: samplers.Sampler,
  init: Callable,
  *,
  scale: float,
  fidelity: float | Sequence[float],
  noise: str = 'independent',
  state: str = 'carried',
  update: str = 'eps',
  encode: str = 'mode',
  quantise: str = 'float',
  at_once: bool = False,
  fields: Mapping[str, Callable] | None = None,
) -> SRPrior:
  """Makes a prior of a latent diffusion model.

  Args:
    parts: of `latent_views`.
    sampler: of `samplers`.
    init: (key) -> params.
    scale: of the enlargement.
    fidelity: how far the decoder looks at the coarse picture, 0 to 1; of all
      steps, or of each.
    noise: 'shared' starts all views from the same; 'none' from none at all, for
      a network that guesses at once; one of `OF_SCENE` from what `fields` make.
    state: 'stale' moves all views on from the noise that the last one started
      from, as published; 'carried' each from where it is. Samplers ask where
      it is only to imply the noise: with 'eps' both are one.
    update: whether to move on with the noise that the network saw, 'eps', or
      with the one 'implied' by x and the estimate, as published.
    encode: whether latents are the mean of their distribution or drawn from it.
    quantise: 'trunc' cuts what is shown to 8 bits and rounds what is injected,
      as published.
    at_once: whether all steps of the sampler are one of the prior, which saves
      decoding what nobody asks for.
    fields: {word of `OF_SCENE`: (key, gaussians, cameras, channels, **drawing)
      -> noise [V, H / f, W / f, C]}.
  """
  _check_choices(
    noise=noise, state=state, update=update, encode=encode, quantise=quantise
  )
  timesteps = sampler.timesteps
  num_steps = len(timesteps)
  field = fields[noise] if noise in OF_SCENE else None
  fidelities = _each('fidelity', fidelity, num_steps)

  def begin(params, key, views: Views) -> State:
    photos = np.asarray(views.images)
    coarse = parts.enlarge(photos)
    posterior, features = parts.encode(params, coarse)
    draw, start = jax.random.split(key)
    latents = _latents(jax.random.fold_in(draw, 0), posterior, encode)
    begun = None
    if field is None:
      begun = sampler.start(_normal(start, latents.shape, noise), latents)
      begun = jax.device_get(begun)
    return State(
      key=draw, photos=photos, coarse=coarse, posterior=posterior,
      features=features, first=begun, sampler=begun,
    )  # fmt: skip

  def couple(key, now: State, gaussians, cameras, **drawing) -> State:
    draw = jax.random.fold_in(now.key, 0)
    latents = _latents(draw, now.posterior, encode)
    if len(latents) != len(now.photos):
      raise ValueError(
        f'noise {noise!r} is of whole views, but {len(now.photos)} of them '
        f'were cut into {len(latents)} patches: set patch=None'
      )
    # Latents cover what was added at the border, too.
    height, width = now.coarse.shape[1:3]
    cameras = dataclasses.replace(cameras, width=width, height=height)
    height, width, channels = latents.shape[1:]
    drawn = field(
      key, gaussians, cameras.at_size(width, height), channels, **drawing
    )
    begun = jax.device_get(sampler.start(drawn, latents))
    return dataclasses.replace(now, first=begun, sampler=begun)

  def estimated(params, key, now: State, i: int) -> State:
    if now.sampler is None:
      raise ValueError(
        f'noise {noise!r} belongs to a scene, and the prior was told of none: '
        "couple it to one, as consolidate does, or set noise='independent'"
      )
    if i:
      now = move_on(key, now, i - 1)
    latents = _latents(jax.random.fold_in(now.key, i), now.posterior, encode)
    x = np.asarray(sampler.model_input(now.sampler, i))
    estimate = parts.estimate(params, x, timesteps[i], latents)
    a = sampler.alpha_bars[i]
    eps = (x - np.sqrt(a) * estimate) / np.sqrt(1 - a)
    believed = estimate, eps.astype(np.float32) if update == 'eps' else None
    return dataclasses.replace(now, believed=believed, index=i)

  def show(params, now: State, i: int) -> Array:
    images = parts.show(
      params, now.believed[0], now.features, now.coarse, now.photos,
      fidelities[i],
    )  # fmt: skip
    if quantise == 'trunc':
      images = np.floor(255 * images) / 255
    return jnp.asarray(images)

  def step(params, key, now: State, i: int) -> tuple[State, Array]:
    now = estimated(params, key, now, i)
    return now, show(params, now, i)

  def all_steps(params, key, now: State, i: int) -> tuple[State, Array]:
    for j in range(num_steps):
      now = estimated(params, jax.random.fold_in(key, j), now, j)
    return now, show(params, now, num_steps - 1)

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
    posterior = parts.latents(params, parts.cut(images))
    draw = jax.random.fold_in(now.key, num_steps + now.index)
    estimate = _latents(draw, posterior, encode)
    return dataclasses.replace(now, believed=(estimate, now.believed[1]))

  prior = SRPrior(init, begin, step, inject, num_steps, scale)
  if at_once:
    prior = prior._replace(step=all_steps, num_steps=1)
  return prior if field is None else prior._replace(couple=couple)


def _latents(key: Array, posterior: tuple[Array, Array], encode: str) -> Array:
  """The mean of the distributions, or a draw from each."""
  mean, std = posterior
  if encode == 'mode':
    return mean
  return mean + std * _normal(key, mean.shape, 'independent')


def _normal(key: Array, shape: tuple[int, ...], coupling: str) -> np.ndarray:
  """Unit noise [V, ...]; 'shared' is one field for all V; 'none' is 0."""
  if coupling == 'none':
    return np.zeros(shape, np.float32)
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
