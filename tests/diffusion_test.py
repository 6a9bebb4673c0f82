"""Schedules, respacing and kinds of prediction; the table of 3DSR's schedule.

Some of the published numbers are kept here (tests/fixtures/diffusion); all are
compared where SR3D_DATA holds them.
"""

import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import diffusion
from sr3d_jax.io import paths

KEPT = pathlib.Path(__file__).parent / 'fixtures' / 'diffusion/reference.npz'
SCHEDULE = diffusion.scaled_linear()
RNG = np.random.default_rng(0)
X0, NOISE = RNG.normal(size=(2, 3, 4, 4, 2)).astype(np.float32)

# timestep, alpha_bar, its root, the root of the rest, c1, c2, sigma
TABLE = np.array(
  [
    [0, 0.999150, 0.99957, 0.02915, 1.000000, 0, 0],
    [333, 0.534962, 0.73141, 0.68194, 0.998597, 0.001337, 0.029140],
    [666, 0.105080, 0.32416, 0.94600, 0.656755, 0.230305, 0.646197],
    [999, 0.004660, 0.06826, 0.99767, 0.311236, 0.189343, 0.926950],
  ]
)


def _respaced(num_steps):
  """Timesteps, alpha_bars, c1, c2 and sigma of a shorter chain, ascending."""
  steps = diffusion.timesteps(num_steps, spacing='strided')[::-1]
  alpha_bars = SCHEDULE[steps]
  ends = np.append(1.0, alpha_bars[:-1])
  return steps, alpha_bars, *diffusion.posterior(alpha_bars, ends)


def test_four_steps_have_the_coefficients_of_3dsr():
  steps, alpha_bars, c1, c2, sigma = _respaced(4)
  found = np.stack([steps, alpha_bars, c1, c2, sigma], axis=1)
  # the table has six digits, and comes from sums in float32
  np.testing.assert_allclose(found, TABLE[:, [0, 1, 4, 5, 6]], atol=2e-6)
  roots = np.sqrt(np.stack([alpha_bars, 1 - alpha_bars], axis=1))
  np.testing.assert_allclose(roots, TABLE[:, 2:4], atol=6e-6)
  betas = 1 - alpha_bars / np.append(1.0, alpha_bars[:-1])
  expected = [0.00085, 0.46458, 0.80357, 0.95565]
  np.testing.assert_allclose(betas, expected, atol=6e-6)


def test_schedules_are_the_published_ones():
  with np.load(KEPT) as file:
    for zero_snr, name in ((0, 'alpha_bars'), (1, 'alpha_bars_zero_snr')):
      found = diffusion.scaled_linear(zero_snr=bool(zero_snr))[::37]
      # theirs is a product of 1000 float32 factors
      np.testing.assert_allclose(found, file[name], atol=1e-6)
    for num_steps in (4, 8, 16, 50):
      found = np.stack(_respaced(num_steps), axis=1)
      np.testing.assert_allclose(found, file[f'table{num_steps}'], atol=5e-6)


@pytest.fixture(scope='module')
def arrays():
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  with np.load(paths.data_path('fixtures/ddpm_respaced.npz')) as file:
    return dict(file)


@pytest.mark.parametrize('num_steps', [4, 8, 16, 50, 200])
def test_all_respaced_tables_are_the_published_ones(arrays, num_steps):
  names = ('timesteps', 'alphas_cumprod', 'posterior_mean_coef1')
  names += ('posterior_mean_coef2', 'sigma')
  for name, found in zip(names, _respaced(num_steps)):
    expected = arrays[f'out/respaced{num_steps}/{name}']
    np.testing.assert_allclose(found, expected, atol=2e-5, err_msg=name)


def test_the_whole_schedule_is_the_published_one(arrays):
  np.testing.assert_allclose(
    SCHEDULE, arrays['out/full/alphas_cumprod'], atol=1e-6
  )
  c1, c2, sigma = diffusion.posterior(SCHEDULE, np.append(1, SCHEDULE[:-1]))
  for name, found in (
    ('posterior_mean_coef1', c1),
    ('posterior_mean_coef2', c2),
    ('posterior_variance', sigma**2),
  ):
    np.testing.assert_allclose(found, arrays[f'out/full/{name}'], atol=2e-6)


def test_pieces_of_a_step_are_the_published_ones(arrays):
  x0, noise, steps = (
    arrays[f'in/q_sample/{k}'] for k in ('x_start', 'noise', 't')
  )
  x, said, index = (
    arrays[f'in/pieces/{k}'] for k in ('x_t', 'model_out', 'idx4')
  )
  few = _respaced(4)[1][index]
  for name, found in (
    ('q_sample/full', diffusion.add_noise(x0, noise, SCHEDULE[steps])),
    ('pieces/q_sample4', diffusion.add_noise(x0, noise, few)),
    ('pieces/v_target', diffusion.target('v', x0, noise, few)),
    ('pieces/x0_from_eps', diffusion.to_estimate(said, x, few, 'eps')),
    ('pieces/x0_from_v', diffusion.to_estimate(said, x, few, 'v')),
  ):
    expected = arrays[f'out/{name}']
    limit = 1e-5 * max(1, expected.std())
    np.testing.assert_allclose(found, expected, atol=limit, err_msg=name)


def test_noise_on_coarse_pictures_is_that_of_diffusers():
  """An upscaler's second schedule, which dirties what it is shown."""
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  schedule = diffusion.scaled_linear(beta_start=1e-4, beta_end=2e-2)
  with np.load(paths.data_path('fixtures/diffusers_tiny/schedulers.npz')) as z:
    x0, noise, steps = (z[f'in/add_noise/{k}'] for k in ('x', 'noise', 't'))
    levels = SCHEDULE[steps]
    for name, found in (
      ('alphas_cumprod', SCHEDULE),
      ('lowres/alphas_cumprod', schedule),
      ('lowres/noisy', diffusion.add_noise(x0, noise, schedule[steps])),
      ('add_noise/noisy', diffusion.add_noise(x0, noise, levels)),
      ('add_noise/velocity', diffusion.target('v', x0, noise, levels)),
    ):
      expected = z[f'out/{name}']
      np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=name)


def test_other_schedules_are_those_of_their_papers():
  # 4.0e-5: the signal that Ho et al. leave at the end
  assert diffusion.linear()[-1] == pytest.approx(4.036e-5, rel=1e-3)
  times = np.array([0, 250, 500, 750])
  expected = np.cos(((times + 1) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
  start = np.cos(0.008 / 1.008 * np.pi / 2) ** 2
  np.testing.assert_allclose(diffusion.cosine()[times], expected / start)
  assert diffusion.cosine()[-1] > 0


@pytest.mark.parametrize('make', ['scaled_linear', 'linear', 'cosine'])
def test_zero_snr_keeps_the_first_level_and_ends_in_noise(make):
  make = getattr(diffusion, make)
  plain, stretched = make(), make(zero_snr=True)
  assert stretched[-1] == 0 and np.all(np.diff(stretched) < 0)
  assert stretched[0] == pytest.approx(plain[0], rel=1e-12)


@pytest.mark.parametrize(
  'spacing, expected',
  [
    ('leading', [751, 501, 251, 1]),
    ('trailing', [999, 749, 499, 249]),
    ('linspace', [999, 666, 333, 0]),
    ('strided', [999, 666, 333, 0]),
  ],
)
def test_spacings_are_those_of_their_sources(spacing, expected):
  steps = diffusion.timesteps(4, spacing=spacing)
  assert steps.tolist() == expected
  every = diffusion.timesteps(99, 99, spacing=spacing, offset=0)
  assert every.tolist() == list(range(98, -1, -1))


def test_strides_summed_up_may_round_a_half_otherwise():
  exact = diffusion.timesteps(21, spacing='linspace')
  summed = diffusion.timesteps(21, spacing='strided')
  assert exact[10] == 500 and summed[10] == 499  # 499.5 and a little less


def test_karras_levels_have_a_linear_seventh_root():
  steps = diffusion.karras_timesteps(SCHEDULE, 10, first=901, last=1)
  levels = diffusion.alpha_bars_at(SCHEDULE, steps)
  roots = np.sqrt(1 / levels - 1) ** (1 / 7)
  np.testing.assert_allclose(np.diff(roots, 2), 0, atol=1e-9)
  np.testing.assert_allclose(steps[[0, -1]], [901, 1], atol=1e-9)


def test_between_timesteps_the_level_lies_between():
  whole = diffusion.alpha_bars_at(SCHEDULE, np.array([5, 4]))
  np.testing.assert_array_equal(whole, SCHEDULE[[5, 4]])
  found = diffusion.alpha_bars_at(SCHEDULE, np.array([5.0, 4.5, 4.0]))
  np.testing.assert_allclose(found[[0, 2]], whole, rtol=1e-12)
  ratios = 1 / found - 1  # squares of s
  assert ratios[1] == pytest.approx(np.sqrt(ratios[0] * ratios[2]))


@pytest.mark.parametrize('kind', diffusion.KINDS)
@pytest.mark.parametrize('alpha_bar', [0.99915, 0.3, 0.00466])
def test_a_perfect_prediction_gives_both_back(kind, alpha_bar):
  x = diffusion.add_noise(X0, NOISE, alpha_bar)
  said = diffusion.target(kind, X0, NOISE, alpha_bar)
  estimate = diffusion.to_estimate(said, x, alpha_bar, kind)
  eps = diffusion.to_eps(said, x, alpha_bar, kind)
  # a root of 0.07 or 0.03 divides float32's last digit
  np.testing.assert_allclose(estimate, X0, atol=1e-5)
  np.testing.assert_allclose(eps, NOISE, atol=1e-5)


@pytest.mark.parametrize('kind', diffusion.KINDS)
def test_neither_end_of_the_schedule_divides_by_zero(kind):
  for alpha_bar in (0.0, 1.0):
    x = diffusion.add_noise(X0, NOISE, alpha_bar)
    said = diffusion.target(kind, X0, NOISE, alpha_bar)
    for read in (diffusion.to_estimate, diffusion.to_eps):
      found, pulled = jax.value_and_grad(
        lambda said, read=read, x=x, a=alpha_bar: read(said, x, a, kind).sum()
      )(jnp.asarray(said))
      assert np.isfinite(found) and np.isfinite(pulled).all()
  if kind != 'eps':  # v and x0 still say all of x0 where there is only noise
    said = diffusion.target(kind, X0, NOISE, 0.0)
    found = diffusion.to_estimate(said, NOISE, 0.0, kind)
    np.testing.assert_array_equal(found, X0)


def test_a_row_of_levels_is_one_level_for_each_row():
  alpha_bars = SCHEDULE[[999, 333, 0]]
  batch = jax.jit(diffusion.add_noise)(X0, NOISE, jnp.asarray(alpha_bars))
  for i, alpha_bar in enumerate(alpha_bars):
    alone = diffusion.add_noise(X0[i], NOISE[i], alpha_bar)
    np.testing.assert_allclose(batch[i], alone, atol=1e-6)


@pytest.mark.parametrize('eta', [0.0, 0.7, 1.0])
def test_the_posterior_ends_with_the_noise_of_its_level(eta):
  level, end = 0.2, 0.6
  c1, c2, sigma = diffusion.posterior(level, end, eta=eta)
  assert c1 + c2 * np.sqrt(level) == pytest.approx(np.sqrt(end))
  assert c2**2 * (1 - level) + sigma**2 == pytest.approx(1 - end)


@pytest.mark.parametrize(
  'call, words',
  [
    (lambda: diffusion.timesteps(1001, spacing='leading'), r'1\.\.1000.*1001'),
    (lambda: diffusion.timesteps(0, spacing='leading'), r'1\.\.1000.*got 0'),
    (lambda: diffusion.timesteps(4, spacing='even'), "no spacing 'even'"),
    (lambda: diffusion.timesteps(1000, spacing='leading'), 'take offset 0'),
    (
      lambda: diffusion.target('w', X0, X0, 0.5),
      "no kind 'w': choose from eps, v, x0",
    ),
    (
      lambda: diffusion.to_estimate(X0, X0, 0.5, 'epsilon'),
      "no kind 'epsilon'",
    ),
    (lambda: diffusion.to_eps(X0, X0, 0.5, 'x'), "no kind 'x'"),
    (
      lambda: diffusion.alpha_bars_at(SCHEDULE, np.array([1000, 0])),
      r'in 0\.\.999, got 0 to 1000',
    ),
    (
      lambda: diffusion.karras_timesteps(
        diffusion.scaled_linear(zero_snr=True), 4, first=999
      ),
      'ends at zero SNR',
    ),
  ],
)
def test_errors_say_what_to_do(call, words):
  with pytest.raises(ValueError, match=words):
    call()
