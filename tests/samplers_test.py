"""Samplers follow the published ones and keep what theory says they keep.

Eight elements of thirty published trajectories are kept here, see
tests/fixtures/diffusion; all are compared where SR3D_DATA holds them.
"""

import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import diffusion, samplers
from sr3d_jax.io import paths

KEPT = pathlib.Path(__file__).parent / 'fixtures' / 'diffusion/reference.npz'
SCHEDULE = diffusion.scaled_linear()
STEPS = diffusion.timesteps(6, spacing='trailing')
MAKERS = {
  'ddim': samplers.ddim,
  'ddpm': samplers.ddpm,
  'euler': samplers.euler,
  'dpm_solver': samplers.dpm_solver,
}
X0 = np.linspace(-2, 2, 24, dtype=np.float32).reshape(2, 3, 4)


def _names():
  with np.load(KEPT) as file:
    return [str(name) for name in file['names']]


@pytest.fixture(scope='module', params=['kept', 'data'])
def published(request):
  """What diffusers did: {name: (timesteps, trajectory)}, start and noise."""
  if request.param == 'kept':
    with np.load(KEPT) as file:
      runs = zip(file['timesteps'], file['trajectories'])
      return dict(zip(_names(), runs)), file['start'], file['noise']
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  with np.load(paths.data_path('fixtures/diffusers_tiny/schedulers.npz')) as z:
    runs = {
      name: (z[f'out/{name}/timesteps'], z[f'out/{name}/trajectory'])
      for name in _names()
    }
    return runs, z['in/x_init_unit'], z['in/noise']


def _sampler_of(name):
  """Ours for a case of diffusers, say 'ddim_leading_eps_eta0.7'."""
  kind, spacing, _, *extras = name.split('_')
  schedule = diffusion.scaled_linear(zero_snr='rescale' in extras)
  # The solver takes one timestep more, and leaves the last one out.
  num_steps = 11 if kind == 'dpmpp2m' and spacing != 'trailing' else 10
  steps = diffusion.timesteps(num_steps, spacing=spacing)[:10]
  if 'karras' in extras:
    first, last = (901, 1) if kind == 'euler' else (999, 0)
    steps = diffusion.karras_timesteps(schedule, 10, first=first, last=last)
  if kind == 'ddim':
    # Each step ends a tenth of the training below where it began, whatever the
    # next one is told, and at timestep 0 at the latest, or noise-free.
    ends = np.where(steps >= 100, schedule[steps - 100], schedule[0])
    ends[-1] = 1.0 if 'alpha1' in extras else ends[-1]
    eta = 0.7 if 'eta0.7' in extras else 0.0
    return samplers.ddim(schedule, steps, eta=eta, ends=ends)
  if kind == 'ddpm':
    variance = 'large' if 'large' in extras else 'small'
    return samplers.ddpm(schedule, steps, variance=variance)
  return {'euler': samplers.euler, 'dpmpp2m': samplers.dpm_solver}[kind](
    schedule, steps
  )


def _follow(sampler, kind, state, told, noise, bound=np.inf):
  """The states of a run whose network says 0.1 x + 0.05 t / 1000."""
  states = [state]
  for i, t in enumerate(told):
    x = sampler.model_input(states[-1], i)
    said = 0.1 * x + 0.05 * (t / 1000)
    level = sampler.alpha_bars[i]
    estimate = diffusion.to_estimate(said, x, level, kind)
    eps = diffusion.to_eps(said, x, level, kind)
    estimate = jnp.clip(estimate, -bound, bound)
    states.append(sampler.step(states[-1], estimate, eps, noise[i], i))
  return [state.x for state in states]


@pytest.mark.parametrize('name', _names())
def test_trajectories_are_those_of_diffusers(published, name):
  runs, start, noise = published
  told, trajectory = runs[name]
  sampler = _sampler_of(name)
  # It rounds the solver's Karras timesteps for the network alone.
  atol = 0.5 if name.startswith('dpm') and 'karras' in name else 2e-4
  np.testing.assert_allclose(sampler.timesteps, told, atol=atol)
  # Euler starts from the noise of its level, or, leading, from pure noise.
  mean = 0.0 if 'euler' in name and 'leading' not in name else None
  state = sampler.start(start, mean)
  kind, bound = name.split('_')[2], 1.0 if 'clip' in name else np.inf
  found = _follow(sampler, kind, state, told, noise, bound)
  if 'fixed_large' in name:  # diffusers ends with noise, from timestep 1
    found[-1] += np.sqrt(1 - SCHEDULE[1]) * noise[-1]
  for i, (x, expected) in enumerate(zip(found, trajectory, strict=True)):
    limit = 2e-5 * max(1, expected.std())
    np.testing.assert_allclose(x, expected, atol=limit, err_msg=f'step {i}')


def _chain(num_steps, source):
  """x0_hat, x_prev and x_prev for another x0 [S, 3, ...], inputs and noise."""
  if source == 'kept':
    with np.load(KEPT) as file:
      inputs, noise = file['chain_inputs'], file['chain_noise']
      return file[f'chain{num_steps}'], inputs, noise
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  outputs = ('x0_hat', 'x_prev', 'x_prev_from_x0_input')
  with np.load(paths.data_path('fixtures/ddpm_respaced.npz')) as z:
    steps = [
      [z[f'out/chain{num_steps}/step{i}/{name}'] for name in outputs]
      for i in reversed(range(num_steps))
    ]
    inputs = [z[f'in/chain/{k}'] for k in ('z_lr', 'x0_input', 'x_T_noise')]
    return np.array(steps), inputs, z['in/chain/step_noise']


@pytest.mark.parametrize('source', ['kept', 'data'])
@pytest.mark.parametrize('num_steps', [4, 8])
def test_ddpm_is_that_of_3dsr_also_where_told_another_estimate(
  num_steps, source
):
  expected, (coarse, other, start), noise = _chain(num_steps, source)
  steps = diffusion.timesteps(num_steps, spacing='strided')
  sampler = samplers.ddpm(SCHEDULE, steps)
  state = sampler.start(start, coarse)
  for i, t in enumerate(steps):
    eps = 0.1 * state.x + 0.3 * coarse * (t / 1000)
    level = sampler.alpha_bars[i]
    estimate = diffusion.to_estimate(eps, state.x, level, 'eps')
    told = sampler.step(state, other, None, noise[i], i).x
    state = sampler.step(state, estimate, None, noise[i], i)
    for found, wanted in zip((estimate, state.x, told), expected[i]):
      limit = 2e-5 * max(1, wanted.std())
      np.testing.assert_allclose(found, wanted, atol=limit, err_msg=f'{i}')


@pytest.mark.parametrize(
  'name, kind', [*((name, 'v') for name in MAKERS), ('ddim', 'x0')]
)
def test_a_perfect_network_is_believed_in_the_end(name, kind):
  sampler = MAKERS[name](SCHEDULE, STEPS)

  def denoise(x, t):
    level = jnp.asarray(SCHEDULE, jnp.float32)[t]
    eps = (x - jnp.sqrt(level) * X0) / jnp.sqrt(1 - level)
    return diffusion.target(kind, X0, eps, level)

  found = samplers.sample(
    denoise, sampler, jax.random.key(0), X0.shape, kind=kind
  )
  np.testing.assert_allclose(found, X0, atol=1e-4)


def _blur(x, t):
  """A network of sorts, for any kind of prediction."""
  return 0.3 * x + 0.2 * jnp.roll(x, 1, axis=-1) - t / 4000


def _sample(sampler, **options):
  options = {'kind': 'v', **options}
  return samplers.sample(_blur, sampler, jax.random.key(1), X0.shape, **options)


def test_ddim_with_all_of_its_noise_is_ddpm():
  found = _sample(samplers.ddim(SCHEDULE, STEPS, eta=1.0))
  expected = _sample(samplers.ddpm(SCHEDULE, STEPS))
  np.testing.assert_allclose(found, expected, atol=1e-5)
  assert np.abs(found - _sample(samplers.ddim(SCHEDULE, STEPS))).max() > 0.1


def test_euler_is_ddim_in_other_coordinates():
  found = _sample(samplers.euler(SCHEDULE, STEPS))
  expected = _sample(samplers.ddim(SCHEDULE, STEPS))
  np.testing.assert_allclose(found, expected, atol=1e-5)


def _error(make, num_steps):
  """Of moving x along the flow of a Gaussian of variance 1/4.

  Its clean estimate is linear in x, and the flow scales x with its spread.
  """
  fine = diffusion.karras_timesteps(
    SCHEDULE, num_steps + 1, first=950, last=50, rho=1e3
  )
  levels = diffusion.alpha_bars_at(SCHEDULE, fine)
  sampler = make(SCHEDULE, fine[:-1], ends=levels[1:])
  variances = levels / 4 + 1 - levels
  state = sampler.start(np.float32(1.0))
  for i in range(num_steps):
    estimate = np.sqrt(levels[i]) / 4 / variances[i] * state.x
    state = sampler.step(state, estimate, None, None, i)
  return abs(float(state.x) - np.sqrt(variances[-1] / variances[0]))


def test_the_solver_is_of_second_order_and_ddim_of_first():
  solver = [_error(samplers.dpm_solver, n) for n in (10, 20)]
  plain = [_error(samplers.ddim, n) for n in (10, 20)]
  assert solver[0] > 3 * solver[1]
  assert 1.6 * plain[1] < plain[0] < 2.4 * plain[1]
  assert solver[1] < plain[1] / 5


@pytest.mark.parametrize('name', MAKERS)
def test_going_on_with_the_networks_noise_says_where_x_would_have_been(name):
  """Told another estimate, either x stays or the noise does."""
  sampler = MAKERS[name](SCHEDULE, STEPS)
  noise, eps = np.random.default_rng(0).normal(size=(2, *X0.shape))
  state = sampler.start(jnp.asarray(noise, jnp.float32))
  kept = sampler.step(state, X0, eps, noise, 0)
  root = sampler.alpha_bars[0] ** 0.5 if name == 'euler' else 1.0
  x = diffusion.add_noise(X0, eps, sampler.alpha_bars[0]) / root
  moved = sampler.step(state._replace(x=x), X0, None, noise, 0)
  np.testing.assert_allclose(kept.x, moved.x, rtol=1e-5, atol=1e-5)
  implied = sampler.step(state, X0, None, noise, 0)
  assert np.abs(implied.x - kept.x).max() > 0.1


def _signal_to_noise(sampler, state, update):
  """Of each next state, relative to its level's, for one true estimate.

  x is written in a basis: the estimate, then each noise that was drawn.

  Args:
    sampler: S steps.
    state: 'carried', or 'stale': each step begins at the first x once more.
    update: 'eps' or 'implied'.

  Returns:
    [S - 1].
  """
  num_steps = len(sampler.timesteps)
  clean, first, *noise = np.eye(num_steps + 2, dtype=np.float32)
  # The stale x is made of something else, as far as this estimate is asked.
  carried = sampler.start(first, clean if state == 'carried' else 0 * clean)
  start, ratios = carried, []
  for i, level in enumerate(sampler.alpha_bars[:-1]):
    carried = carried if state == 'carried' else start
    implied = (carried.x - np.sqrt(level) * clean) / np.sqrt(1 - level)
    eps = implied if update == 'eps' else None
    carried = sampler.step(carried, clean, eps, noise[i], i)
    ratio = carried.x[0] / jnp.linalg.norm(carried.x[1:])
    end = sampler.alpha_bars[i + 1]
    ratios.append(ratio / np.sqrt(end / (1 - end)))
  return np.array(ratios)


@pytest.mark.parametrize('update', ['eps', 'implied'])
@pytest.mark.parametrize('num_steps', [4, 8, 16])
def test_a_carried_state_keeps_its_signal_to_noise(num_steps, update):
  steps = diffusion.timesteps(num_steps, spacing='strided')
  for sampler in (
    samplers.ddpm(SCHEDULE, steps),
    samplers.ddim(SCHEDULE, steps),
  ):
    found = _signal_to_noise(sampler, 'carried', update)
    np.testing.assert_allclose(found, 1, rtol=1e-4)


def test_a_stale_start_loses_signal_to_noise_the_more_steps_there_are():
  """As the released 3DSR does; the numbers are those of its analysis."""
  worst = {}
  for num_steps in (4, 8, 16):
    steps = diffusion.timesteps(num_steps, spacing='strided')
    sampler = samplers.ddpm(SCHEDULE, steps)
    found = _signal_to_noise(sampler, 'stale', 'implied')
    worst[num_steps] = found.min()
    if num_steps == 4:
      np.testing.assert_allclose(found, [0.960, 0.893, 0.998], atol=6e-4)
  assert worst[8] == pytest.approx(0.556, abs=1e-3)
  assert worst[16] == pytest.approx(0.276, abs=1e-3)


@pytest.mark.parametrize('name', MAKERS)
def test_a_start_leans_to_its_mean(name):
  sampler = MAKERS[name](SCHEDULE, STEPS)
  noise = np.ones_like(X0)
  level = sampler.alpha_bars[0]
  found = sampler.model_input(sampler.start(noise, X0), 0)
  expected = np.sqrt(level) * X0 + np.sqrt(1 - level)
  np.testing.assert_allclose(found, expected, atol=1e-6)
  found = sampler.model_input(sampler.start(noise), 0)
  np.testing.assert_allclose(found, noise, atol=1e-6)


@pytest.mark.parametrize('name', MAKERS)
def test_the_loop_is_its_steps_and_heeds_a_guide(name):
  sampler = MAKERS[name](SCHEDULE, STEPS)
  key = jax.random.key(1)

  def draw(i):
    return jax.random.normal(jax.random.fold_in(key, i), X0.shape)

  step = jax.jit(sampler.step)
  state = sampler.start(draw(0), X0)
  for i, t in enumerate(sampler.timesteps):
    x = sampler.model_input(state, i)
    said = _blur(x, t)
    estimate = diffusion.to_estimate(said, x, sampler.alpha_bars[i], 'v')
    estimate = jnp.clip(estimate, -0.1 * i, 0.1 * i)
    state = step(state, estimate, None, draw(i + 1), i)
  found = _sample(
    sampler,
    mean=X0,
    update='implied',
    guide=lambda estimate, i: jnp.clip(estimate, -0.1 * i, 0.1 * i),
  )
  np.testing.assert_allclose(found, state.x, atol=1e-5)


@pytest.mark.parametrize('name', ['ddim', 'ddpm', 'dpm_solver'])
def test_pure_noise_is_a_fine_start_for_v_and_none_for_eps(name):
  schedule = diffusion.scaled_linear(zero_snr=True)
  sampler = MAKERS[name](schedule, STEPS)
  assert sampler.alpha_bars[0] == 0
  assert np.isfinite(_sample(sampler)).all()
  with pytest.raises(
    ValueError, match=r'noise alone \(zero SNR\), .* cannot tell x0'
  ):
    _sample(sampler, kind='eps')
  with pytest.raises(ValueError, match=r'none \(zero SNR\): use ddim'):
    samplers.euler(schedule, STEPS)


@pytest.mark.parametrize(
  'call, words',
  [
    (lambda: samplers.ddim(SCHEDULE, STEPS[::-1]), 'must fall.*reverse them'),
    (lambda: samplers.ddim(SCHEDULE, [1000, 1]), r'0\.\.999, got 1 to 1000'),
    (
      lambda: samplers.euler(SCHEDULE, STEPS, ends=np.ones(5)),
      r'each of 6 steps, got shape \(5,\)',
    ),
    (
      lambda: samplers.ddpm(SCHEDULE, STEPS, variance='learnt'),
      "no variance 'learnt': choose from small, large",
    ),
    (
      lambda: _sample(samplers.ddim(SCHEDULE, STEPS), update='both'),
      "no update 'both': choose from eps, implied",
    ),
    (
      lambda: _sample(samplers.ddim(SCHEDULE, STEPS), kind='score'),
      "no kind 'score'",
    ),
  ],
)
def test_errors_say_what_to_do(call, words):
  with pytest.raises(ValueError, match=words):
    call()
