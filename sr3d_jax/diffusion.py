"""Diffusion in discrete time: noise schedules, respacing, what is predicted.

A noisy sample is x = sqrt(a) x0 + sqrt(1 - a) eps with eps a unit normal; `a`
is `alpha_bar`, the cumulative product of 1 - beta (Ho et al. 2020, equation 4),
and `alpha_bars` [T] holds it for each timestep from 0 to T - 1. Schedules are
float64 NumPy arrays made once; what meets samples is float32 and may be traced.

A network's `prediction` is of one kind:
- 'eps': the noise;
- 'v': sqrt(a) eps - sqrt(1 - a) x0 (Salimans & Ho 2022, appendix D);
- 'x0': the clean sample.
"""

import jax.numpy as jnp
import numpy as np

from sr3d_jax.numerics import safe_divide
from sr3d_jax.types import Array

KINDS = ('eps', 'v', 'x0')


def scaled_linear(
  num_train: int = 1000,
  beta_start: float = 8.5e-4,
  beta_end: float = 1.2e-2,
  *,
  zero_snr: bool = False,
) -> np.ndarray:
  """Makes the alpha_bars [T] of betas whose roots grow linearly.

  The defaults are those of Stable Diffusion (Rombach et al. 2022).

  Args:
    num_train: T, the timesteps of training.
    beta_start: variance added at timestep 0.
    beta_end: variance added at timestep T - 1.
    zero_snr: whether the last timestep is to hold noise alone.

  Returns:
    [T] float64, falling.
  """
  betas = np.linspace(beta_start**0.5, beta_end**0.5, num_train) ** 2
  return _cumulate(betas, zero_snr)


def linear(
  num_train: int = 1000,
  beta_start: float = 1e-4,
  beta_end: float = 2e-2,
  *,
  zero_snr: bool = False,
) -> np.ndarray:
  """Makes the alpha_bars [T] of betas that grow linearly (Ho et al. 2020)."""
  betas = np.linspace(beta_start, beta_end, num_train)
  return _cumulate(betas, zero_snr)


def cosine(num_train: int = 1000, *, zero_snr: bool = False) -> np.ndarray:
  """Makes the alpha_bars [T] of Nichol & Dhariwal 2021, equation 17.

  A beta is at most 0.999, so that the last alpha_bar stays above 0.
  """
  times = np.arange(num_train + 1) / num_train
  levels = np.cos((times + 0.008) / 1.008 * np.pi / 2) ** 2
  betas = np.minimum(1 - levels[1:] / levels[:-1], 0.999)
  return _cumulate(betas, zero_snr)


def _cumulate(betas: np.ndarray, zero_snr: bool) -> np.ndarray:
  """Multiplies 1 - beta up; stretches the roots until the last one is 0.

  The first stays where it is (Lin et al. 2023, algorithm 1).
  """
  alpha_bars = np.cumprod(1 - betas)
  if not zero_snr:
    return alpha_bars
  roots = np.sqrt(alpha_bars)
  first, last = roots[0], roots[-1]
  return ((roots - last) * first / (first - last)) ** 2


def timesteps(
  num_steps: int, num_train: int = 1000, *, spacing: str, offset: int = 1
) -> np.ndarray:
  """Chooses the timesteps of a shorter chain.

  Four of a thousand:
  - 'leading': 751, 501, 251, 1; whole strides from `offset`, as in diffusers;
  - 'trailing': 999, 749, 499, 249; from the end, which is pure noise;
  - 'linspace': 999, 666, 333, 0; both ends, rounded;
  - 'strided': 999, 666, 333, 0; the same with the stride summed up, as improved
    diffusion and StableSR do: a half may be rounded otherwise.

  Args:
    num_steps: of the shorter chain.
    num_train: T, the timesteps of training.
    spacing: one of the above.
    offset: added to all timesteps of 'leading'.

  Returns:
    [num_steps] int, falling.
  """
  if not 1 <= num_steps <= num_train:
    raise ValueError(
      f'num_steps must lie in 1..{num_train}, the timesteps of training, got '
      f'{num_steps}: ask for fewer'
    )
  if spacing == 'leading':
    steps = np.arange(num_steps) * (num_train // num_steps) + offset
  elif spacing == 'trailing':
    steps = np.round(num_train * (1 - np.arange(num_steps) / num_steps)) - 1
  elif spacing == 'linspace':
    steps = np.linspace(0, num_train - 1, num_steps)
  elif spacing == 'strided':
    strides = np.full(num_steps - 1, (num_train - 1) / max(num_steps - 1, 1))
    steps = np.cumsum([0.0, *strides])
  else:
    raise ValueError(
      f'no spacing {spacing!r}: choose from leading, trailing, linspace or '
      'strided'
    )
  steps = np.sort(np.round(steps).astype(int))[::-1]
  if steps[0] >= num_train:
    raise ValueError(
      f'{num_steps} leading steps with offset {offset} reach timestep '
      f'{steps[0]}, and training ended at {num_train - 1}: take offset 0'
    )
  return steps


def karras_timesteps(
  alpha_bars: np.ndarray,
  num_steps: int,
  *,
  first: int,
  last: int = 0,
  rho: float = 7.0,
) -> np.ndarray:
  """Spaces noise levels by Karras et al. 2022, equation 5.

  Their s = sqrt((1 - a) / a) has a linear 1 / rho-th power.

  Args:
    alpha_bars: [T].
    num_steps: of the shorter chain.
    first: timestep of the highest level.
    last: timestep of the lowest level.
    rho: the larger, the more steps at low noise.

  Returns:
    [num_steps] falling fractions of timesteps, see `alpha_bars_at`.
  """
  levels = _log_sigmas(alpha_bars)
  ends = np.exp(levels[[first, last]] / rho)
  wanted = rho * np.log(np.linspace(*ends, num_steps))
  return np.interp(wanted, levels, np.arange(len(levels)))


def alpha_bars_at(alpha_bars: np.ndarray, steps: np.ndarray) -> np.ndarray:
  """Looks alpha_bars up; between timesteps log s is linear.

  Args:
    alpha_bars: [T].
    steps: [S] timesteps, whole or not.

  Returns:
    [S].
  """
  steps = np.asarray(steps)
  if steps.min() < 0 or steps.max() > len(alpha_bars) - 1:
    raise ValueError(
      f'timesteps must lie in 0..{len(alpha_bars) - 1}, got {steps.min()} to '
      f'{steps.max()}: was the schedule made for other timesteps?'
    )
  if np.issubdtype(steps.dtype, np.integer):
    return alpha_bars[steps]
  levels = _log_sigmas(alpha_bars)
  sigmas = np.exp(np.interp(steps, np.arange(len(levels)), levels))
  return 1 / (1 + sigmas**2)


def _log_sigmas(alpha_bars: np.ndarray) -> np.ndarray:
  if alpha_bars[-1] <= 0:
    raise ValueError(
      'a schedule that ends at zero SNR has no finite noise to signal ratio '
      'there: take whole timesteps, not fractions'
    )
  return 0.5 * np.log((1 - alpha_bars) / alpha_bars)


def posterior(
  alpha_bar: np.ndarray, end: np.ndarray, *, eta: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Coefficients of x at level `end`, given x0 and x at `alpha_bar`.

  x_end = c1 x0 + c2 x + sigma n, with n a unit normal (Song et al. 2021, DDIM,
  equations 12 and 16). eta = 1 is the posterior of DDPM (Ho et al. 2020,
  equation 7), eta = 0 moves without noise. Ending at 1, x_end is x0.

  Args:
    alpha_bar: [...], below 1.
    end: [...], at least `alpha_bar`.
    eta: how much of the posterior's noise is drawn anew.

  Returns:
    c1, c2 and sigma, each [...].
  """
  sigma = eta * np.sqrt((1 - end) / (1 - alpha_bar) * (1 - alpha_bar / end))
  c2 = np.sqrt(np.maximum(1 - end - sigma**2, 0) / (1 - alpha_bar))
  return np.sqrt(end) - c2 * np.sqrt(alpha_bar), c2, sigma


def roots(alpha_bars: np.ndarray) -> tuple[Array, Array]:
  """Finds sqrt(a) and sqrt(1 - a), [T] each: tables for a traced index."""
  signal, spread = _signal_and_noise(alpha_bars, alpha_bars)
  return signal, spread


def _signal_and_noise(alpha_bar: Array, x: Array) -> tuple[Array, Array]:
  """sqrt(a) and sqrt(1 - a), with axes to the right until x's rank."""
  # Taken before the cast: near 1 a float32 has lost the noise that NumPy's
  # float64 has. What is traced is float32 already; see `roots`.
  roots = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
  axes = tuple(range(np.ndim(alpha_bar), np.ndim(x)))
  signal, spread = (
    jnp.expand_dims(jnp.asarray(root, jnp.float32), axes) for root in roots
  )
  return signal, spread


def _check(kind: str):
  if kind not in KINDS:
    raise ValueError(f'no kind {kind!r}: choose from {", ".join(KINDS)}')


def add_noise(x0: Array, noise: Array, alpha_bar: Array) -> Array:
  """Makes x of x0 and unit noise, all [...]; alpha_bar leads: [] or [B]."""
  signal, spread = _signal_and_noise(alpha_bar, x0)
  return signal * x0 + spread * noise


def target(kind: str, x0: Array, noise: Array, alpha_bar: Array) -> Array:
  """What a network of this kind should say of `add_noise(...)`: [...]."""
  _check(kind)
  signal, spread = _signal_and_noise(alpha_bar, x0)
  v = signal * noise - spread * x0
  return {'eps': noise, 'v': v, 'x0': x0}[kind]


def to_estimate(
  prediction: Array, x: Array, alpha_bar: Array, kind: str
) -> Array:
  """Reads the clean estimate off a prediction.

  Args:
    prediction: [...], the network's.
    x: [...], what it was shown.
    alpha_bar: [] or [B], of x.
    kind: of the prediction. 'eps' says nothing where alpha_bar is 0, and the
      estimate is 0 there: `samplers.sample` refuses to start so.

  Returns:
    [...], x0 as the network believes it.
  """
  _check(kind)
  signal, spread = _signal_and_noise(alpha_bar, x)
  if kind == 'x0':
    return prediction
  if kind == 'v':
    return signal * x - spread * prediction
  return safe_divide(x - spread * prediction, signal)


def to_eps(prediction: Array, x: Array, alpha_bar: Array, kind: str) -> Array:
  """Reads the noise off a prediction; arguments as for `to_estimate`."""
  _check(kind)
  signal, spread = _signal_and_noise(alpha_bar, x)
  if kind == 'eps':
    return prediction
  if kind == 'v':
    return signal * prediction + spread * x
  return safe_divide(x - signal * prediction, spread)
