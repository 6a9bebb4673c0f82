"""The loop of a diffusion prior: it may be told the truth at every step.

That of 3DSR (arXiv 2508.04090) without its 3D part: each step tells what the
fine views look like, and may hear what they look like in 3D before the sampler
moves on. Never injected, it samples exactly as the plain sampler.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import samplers
from sr3d_jax.types import Array, Camera, Gaussians, Params, SRPrior, Views

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
  num_steps = len(sampler.timesteps)
  loop = _Loop(
    parts,
    sampler,
    _each('fidelity', fidelity, num_steps),
    noise,
    is_stale=state == 'stale',
    keeps_noise=update == 'eps',
    encode=encode,
    is_cut=quantise == 'trunc',
    field=fields[noise] if noise in OF_SCENE else None,
  )
  prior = SRPrior(
    init,
    functools.partial(_begin, loop),
    functools.partial(_step, loop),
    functools.partial(_inject, loop),
    num_steps,
    scale,
  )
  if at_once:
    all_steps = functools.partial(_all_steps, loop)
    prior = prior._replace(step=all_steps, num_steps=1)
  if loop.field is not None:
    prior = prior._replace(couple=functools.partial(_couple, loop))
  return prior


class _Loop(NamedTuple):
  """What all steps need; the words are those of `make`."""

  parts: Any
  sampler: samplers.Sampler
  fidelities: np.ndarray  # [num_steps]
  noise: str
  is_stale: bool
  keeps_noise: bool  # whether the network's goes on, or one is implied
  encode: str
  is_cut: bool  # to 8 bits
  field: Callable | None  # that makes noise of a scene


def _begin(loop: _Loop, params: Params, key: Array, views: Views) -> State:
  """Looks at the photos, and starts from noise unless that is a scene's."""
  photos = np.asarray(views.images)
  coarse = loop.parts.enlarge(photos)
  posterior, features = loop.parts.encode(params, coarse)
  draw, start = jax.random.split(key)
  begun = State(
    key=draw, photos=photos, coarse=coarse, posterior=posterior,
    features=features, first=None, sampler=None,
  )  # fmt: skip
  if loop.field is not None:
    return begun
  return _start(loop, begun, _normal(start, posterior[0].shape, loop.noise))


def _start(loop: _Loop, now: State, noise: Array) -> State:
  """Starts the sampler from noise and the latents that step 0 is told."""
  latents = _told(loop, now, 0)
  first = jax.device_get(loop.sampler.start(noise, latents))
  return dataclasses.replace(now, first=first, sampler=first)


def _told(loop: _Loop, now: State, i: int) -> Array:
  """The latents of the coarse pictures, as step i is told them."""
  return _latents(jax.random.fold_in(now.key, i), now.posterior, loop.encode)


def _couple(
  loop: _Loop,
  key: Array,
  now: State,
  gaussians: Gaussians,
  cameras: Camera,
  **drawing: Any,
) -> State:
  """Starts from the noise that a scene has in all views."""
  num_patches, height, width, channels = now.posterior[0].shape
  if num_patches != len(now.photos):
    raise ValueError(
      f'noise {loop.noise!r} is of whole views, but {len(now.photos)} of them '
      f'were cut into {num_patches} patches: set patch=None'
    )
  # Latents cover what was added at the border, too.
  size = dict(zip(('height', 'width'), now.coarse.shape[1:3]))
  cameras = dataclasses.replace(cameras, **size).at_size(width, height)
  drawn = loop.field(key, gaussians, cameras, channels, **drawing)
  return _start(loop, now, drawn)


def _estimated(
  loop: _Loop, params: Params, key: Array, now: State, i: int
) -> State:
  """Moves on to step i, and estimates the clean latents there."""
  if now.sampler is None:
    raise ValueError(
      f'noise {loop.noise!r} belongs to a scene, and the prior was told of '
      "none: couple it to one, as consolidate does, or set noise='independent'"
    )
  if i:
    now = _moved_on(loop, key, now, i - 1)
  x = np.asarray(loop.sampler.model_input(now.sampler, i))
  t = loop.sampler.timesteps[i]
  estimate = loop.parts.estimate(params, x, t, _told(loop, now, i))
  eps = None
  if loop.keeps_noise:
    a = loop.sampler.alpha_bars[i]
    eps = (x - np.sqrt(a) * estimate) / np.sqrt(1 - a)
    eps = eps.astype(np.float32)
  return dataclasses.replace(now, believed=(estimate, eps), index=i)


def _moved_on(loop: _Loop, key: Array, now: State, i: int) -> State:
  """Moves the sampler on from step i by what is believed."""
  estimate, eps = now.believed
  before = now.sampler
  if loop.is_stale:
    x = now.first.x
    before = now.first._replace(x=np.broadcast_to(x[-1:], x.shape))
  fresh = _normal(key, estimate.shape, 'independent')
  after = loop.sampler.step(before, estimate, eps, fresh, i)
  return dataclasses.replace(now, sampler=jax.device_get(after))


def _shown(loop: _Loop, params: Params, now: State, i: int) -> Array:
  """[V, sH, sW, 3] what is believed at step i."""
  images = loop.parts.show(
    params, now.believed[0], now.features, now.coarse, now.photos,
    loop.fidelities[i],
  )  # fmt: skip
  return jnp.asarray(np.floor(255 * images) / 255 if loop.is_cut else images)


def _step(
  loop: _Loop, params: Params, key: Array, now: State, i: int
) -> tuple[State, Array]:
  now = _estimated(loop, params, key, now, i)
  return now, _shown(loop, params, now, i)


def _all_steps(
  loop: _Loop, params: Params, key: Array, now: State, i: int
) -> tuple[State, Array]:
  del i  # there is one
  last = len(loop.sampler.timesteps) - 1
  for j in range(last + 1):
    now = _estimated(loop, params, jax.random.fold_in(key, j), now, j)
  return now, _shown(loop, params, now, last)


def _inject(loop: _Loop, params: Params, now: State, images: Array) -> State:
  """Believes pictures in the place of the last estimate."""
  images = np.clip(images, 0, 1)
  if loop.is_cut:
    images = np.round(255 * images) / 255
  posterior = loop.parts.latents(params, loop.parts.cut(images))
  draw = jax.random.fold_in(now.key, len(loop.sampler.timesteps) + now.index)
  estimate = _latents(draw, posterior, loop.encode)
  return dataclasses.replace(now, believed=(estimate, now.believed[1]))


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
