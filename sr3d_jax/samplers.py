"""Samplers as iterations that may be interrupted between estimate and update.

A network looks at x and says what it believes the clean sample to be; then the
sampler moves x to the next, lower noise level. Between the two a caller may
replace the estimate, for instance by what many views agree on in 3D:

    state = sampler.start(noise)
    for i, t in enumerate(sampler.timesteps):
      x = sampler.model_input(state, i)
      prediction = network(x, t)
      estimate = to_estimate(prediction, x, sampler.alpha_bars[i], kind)
      state = sampler.step(state, estimate, None, noise, i)

All of it works under jit, with `i` static or traced. `diffusion` gives the
schedules and the meaning of `alpha_bar`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import diffusion
from sr3d_jax.types import Array


class State(NamedTuple):
  """What a sampler carries: the noisy sample and what it remembers of it."""

  x: Array  # [...]
  memory: Any  # the estimate of the step before, [...], or ()


class Sampler(NamedTuple):
  """One way down from noise; S steps.

  Attributes:
    timesteps: [S] falling; what the network is told.
    alpha_bars: [S] float64; of what the network is shown.
    start: (noise, mean=None) -> State. Without a mean x is pure noise; with
      one it is sqrt(a) mean + sqrt(1 - a) noise.
    model_input: (state, i) -> x as the network was trained to see it.
    step: (state, estimate, eps, noise, i) -> State at the next level. It
      believes `estimate`; `eps` is the noise that the network believes in, or
      None for the noise implied by x and the estimate. `noise` is a fresh unit
      normal; samplers without chance ignore it.
  """

  timesteps: np.ndarray
  alpha_bars: np.ndarray
  start: Callable
  model_input: Callable
  step: Callable


def ddim(
  alpha_bars: np.ndarray,
  timesteps: np.ndarray,
  *,
  eta: float = 0.0,
  ends: np.ndarray | None = None,
) -> Sampler:
  """Makes the sampler of Song et al. 2021.

  Args:
    alpha_bars: [T], the schedule.
    timesteps: [S] falling.
    eta: share of DDPM's noise that is drawn anew.
    ends: [S], the alpha_bar that each step ends at. None: that of the next
      timestep, and after the last one 1, where x is the estimate.

  Returns:
    The sampler.
  """
  levels, ends = _levels(alpha_bars, timesteps, ends)
  c1, c2, sigma = diffusion.posterior(levels, ends, eta=eta)
  return _linear(timesteps, levels, c1, c2, sigma)


def ddpm(
  alpha_bars: np.ndarray,
  timesteps: np.ndarray,
  *,
  variance: str = 'small',
  ends: np.ndarray | None = None,
) -> Sampler:
  """Makes the ancestral sampler of Ho et al. 2020 on the respaced chain.

  Args:
    alpha_bars: [T], the schedule.
    timesteps: [S] falling.
    variance: of the noise drawn at each step: 'small' is the posterior's,
      'large' is beta. No noise follows the last step.
    ends: see `ddim`.

  Returns:
    The sampler.
  """
  levels, ends = _levels(alpha_bars, timesteps, ends)
  c1, c2, sigma = diffusion.posterior(levels, ends)
  if variance == 'large':
    sigma = np.sqrt(1 - levels / ends)
  elif variance != 'small':
    raise ValueError(f'no variance {variance!r}: choose from small, large')
  sigma[-1] = 0.0
  return _linear(timesteps, levels, c1, c2, sigma)


def euler(
  alpha_bars: np.ndarray,
  timesteps: np.ndarray,
  *,
  ends: np.ndarray | None = None,
) -> Sampler:
  """Makes Euler's method on x / sqrt(a) (Karras et al. 2022, algorithm 1).

  dx / ds = (x - x0) / s, where s = sqrt((1 - a) / a). In other coordinates it
  is `ddim` without noise.

  Args:
    alpha_bars: [T], the schedule; above 0 at the timesteps.
    timesteps: [S] falling.
    ends: see `ddim`.

  Returns:
    The sampler. Its state holds x0 + s eps.
  """
  levels, ends = _levels(alpha_bars, timesteps, ends)
  if levels[0] <= 0:
    raise ValueError(
      'euler divides by the signal, and the first timestep has none (zero '
      'SNR): use ddim, which is the same in other coordinates'
    )
  roots, _ = diffusion.roots(levels)
  sigmas = np.sqrt(1 / levels - 1)
  ratio = jnp.asarray(np.sqrt(1 / ends - 1) / sigmas, jnp.float32)

  def start(noise, mean=None):
    return State(_begin(noise, mean, levels[0]) / roots[0], ())

  def model_input(state, i):
    return state.x * roots[i]

  def step(state, estimate, eps, noise, i):
    x = state.x
    if eps is not None:
      x = estimate + jnp.asarray(sigmas, jnp.float32)[i] * eps
    return State(estimate + ratio[i] * (x - estimate), ())

  return Sampler(np.asarray(timesteps), levels, start, model_input, step)


def dpm_solver(
  alpha_bars: np.ndarray,
  timesteps: np.ndarray,
  *,
  ends: np.ndarray | None = None,
) -> Sampler:
  """Makes DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2).

  Its state remembers the estimate before, by which it extrapolates; the first
  and the last step are of first order. Published pipelines leave the last of
  S + 1 timesteps out, since the solver reaches the end without it.

  Args:
    alpha_bars: [T], the schedule.
    timesteps: [S] falling.
    ends: see `ddim`.

  Returns:
    The sampler.
  """
  levels, ends = _levels(alpha_bars, timesteps, ends)
  shrink = np.sqrt((1 - ends) / (1 - levels))
  gain = np.sqrt(ends) - shrink * np.sqrt(levels)  # alpha' (1 - exp(-h))
  shrink, gain, mix = (
    jnp.asarray(values, jnp.float32)
    for values in (shrink, gain, _extrapolation(levels))
  )
  roots = diffusion.roots(levels)

  def start(noise, mean=None):
    return State(_begin(noise, mean, levels[0]), jnp.zeros_like(noise))

  def step(state, estimate, eps, noise, i):
    x = _recompose(state.x, estimate, eps, roots, i)
    ahead = estimate + mix[i] * (estimate - state.memory)
    return State(shrink[i] * x + gain[i] * ahead, estimate)

  return Sampler(np.asarray(timesteps), levels, start, _as_is, step)


def sample(
  denoise: Callable[[Array, Array], Array],
  sampler: Sampler,
  key: Array,
  shape: tuple[int, ...],
  *,
  kind: str = 'eps',
  mean: Array | None = None,
  guide: Callable[[Array, Array], Array] | None = None,
  update: str = 'eps',
) -> Array:
  """Samples from noise to the end.

  The start is drawn with key `fold_in(key, 0)`, the noise of step i with
  `fold_in(key, i + 1)`.

  Args:
    denoise: (x [...], timestep []) -> prediction [...].
    sampler: the way down.
    key: of all noise.
    shape: of the sample.
    kind: of the prediction, see `diffusion`.
    mean: [...], what the start leans to; None: pure noise.
    guide: (estimate, i) -> the estimate to believe instead.
    update: 'eps' goes on with the network's noise, 'implied' with the noise
      that x and the guided estimate imply.

  Returns:
    [...], the last x.
  """
  if update not in ('eps', 'implied'):
    raise ValueError(f'no update {update!r}: choose from eps, implied')
  if kind == 'eps' and sampler.alpha_bars[0] == 0:
    raise ValueError(
      'the first timestep is noise alone (zero SNR), of which a network that '
      "predicts 'eps' cannot tell x0: start lower, or predict 'v' or 'x0'"
    )
  told = jnp.asarray(sampler.timesteps)
  alpha_bars = jnp.asarray(sampler.alpha_bars, jnp.float32)

  def advance(i, state):
    x = sampler.model_input(state, i)
    prediction = denoise(x, told[i])
    estimate = diffusion.to_estimate(prediction, x, alpha_bars[i], kind)
    eps = diffusion.to_eps(prediction, x, alpha_bars[i], kind)
    estimate = estimate if guide is None else guide(estimate, i)
    noise = jax.random.normal(jax.random.fold_in(key, i + 1), shape)
    eps = eps if update == 'eps' else None
    return sampler.step(state, estimate, eps, noise, i)

  noise = jax.random.normal(jax.random.fold_in(key, 0), shape)
  state = sampler.start(noise, mean)
  return jax.lax.fori_loop(0, len(told), advance, state).x


def _levels(alpha_bars, timesteps, ends):
  """The alpha_bars that steps begin and end at, both [S]."""
  if np.any(np.diff(timesteps) >= 0):
    raise ValueError(f'timesteps must fall, got {timesteps}: reverse them?')
  levels = diffusion.alpha_bars_at(alpha_bars, timesteps)
  if ends is None:
    ends = np.append(levels[1:], 1.0)
  if np.shape(ends) != levels.shape:
    raise ValueError(
      f'ends must give one alpha_bar for each of {len(levels)} steps, got '
      f'shape {np.shape(ends)}'
    )
  return levels, np.asarray(ends, np.float64)


def _linear(timesteps, levels, c1, c2, sigma):
  """A sampler whose next x is c1 x0 + c2 x + sigma n."""
  c1, c2, spread = (jnp.asarray(c, jnp.float32) for c in (c1, c2, sigma))
  roots = diffusion.roots(levels)

  def start(noise, mean=None):
    return State(_begin(noise, mean, levels[0]), ())

  def step(state, estimate, eps, noise, i):
    x = c1[i] * estimate
    x += c2[i] * _recompose(state.x, estimate, eps, roots, i)
    return State(x + spread[i] * noise if sigma.any() else x, ())

  return Sampler(np.asarray(timesteps), levels, start, _as_is, step)


def _begin(noise, mean, level):
  return noise if mean is None else diffusion.add_noise(mean, noise, level)


def _as_is(state, i):
  return state.x


def _recompose(x, estimate, eps, roots, i):
  """The x at which a network would have seen this estimate and this noise.

  That of `diffusion.add_noise`, by the roots of all levels.
  """
  if eps is None:
    return x
  signal, spread = roots
  return signal[i] * estimate + spread[i] * eps


def _extrapolation(levels):
  """How far each step goes on from the estimate before to this one: [S].

  h / 2 h', where h is this step's change in log sqrt(a / (1 - a)) and h' that
  of the step before; 0 at the first and at the last step, and where zero SNR
  makes h' infinite.
  """
  with np.errstate(divide='ignore'):
    log_ratios = 0.5 * (np.log(levels) - np.log1p(-levels))
  widths = np.diff(log_ratios)
  mix = np.zeros_like(levels)
  mix[1:-1] = 0.5 * widths[1:] / widths[:-1]
  return mix
