"""The choice of shapes: what each mode gives and lets learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import kernel_bank
from sr3d_jax.kernel_bank import Shapes

KEY = jax.random.key(0)
BANK = Shapes(
  jnp.array([0.3, 0.5, 0.9]),
  jnp.array([1.0, 0.4, 0.6]),
  jnp.array([0.0, 0.5, -0.25]),
  jnp.array([1.0, 0.8, 0.2]),
)
# Their softmax is 1/2, 1/3, 1/6.
SCORES = jnp.log(jnp.array([3.0, 2.0, 1.0]))


def _random(num, *shape):
  """A bank, and scores [..., num] of which the best stands out."""
  keys = jax.random.split(KEY, 5)
  bank = Shapes(*(jax.random.uniform(k, (num,)) for k in keys[:4]))
  return bank, 3 * jax.random.normal(keys[4], (*shape, num))


def _gaussian(shapes, place):
  """Opacity times the closed form, at (row, column)."""
  rr, rc, cc = jnp.moveaxis(shapes.covariances(), -1, 0)
  row, column = place
  power = cc * row**2 - 2 * rc * row * column + rr * column**2
  return shapes.opacity * jnp.exp(-power / 2 / (rr * cc - rc**2))


def test_covariances_are_those_of_the_deviations():
  found = BANK.covariances()
  assert found.shape == (3, 3)
  np.testing.assert_allclose(found[1], [0.25, 0.1, 0.16], rtol=1e-6)


def test_soft_is_the_mean_by_the_probabilities():
  found = kernel_bank.choose(SCORES, BANK, mode='soft')
  expected = [1.4 / 3, 1.0 / 2 + 0.4 / 3 + 0.1, 0.5 / 3 - 0.25 / 6, 0.8]
  np.testing.assert_allclose(jnp.stack(found)[:, 0], expected, rtol=1e-6)


def test_temperature_is_that_of_the_softmax():
  # half of it squares the odds: 9, 4, 1 of 14
  found = kernel_bank.choose(SCORES, BANK, mode='soft', temperature=0.5)
  np.testing.assert_allclose(found.opacity, [(9 + 3.2 + 0.2) / 14], rtol=1e-6)
  hot = kernel_bank.choose(SCORES, BANK, mode='soft', temperature=1e6)
  np.testing.assert_allclose(hot.opacity, [2 / 3], rtol=1e-5)


def test_argmax_takes_each_pixel_s_best():
  bank, scores = _random(6, 2, 3, 4)
  found = kernel_bank.choose(scores, bank, mode='argmax')
  best = np.argmax(scores, axis=-1)
  for ours, values in zip(found, bank):
    assert ours.shape == (2, 3, 4, 1)
    np.testing.assert_array_equal(ours[..., 0], np.asarray(values)[best])


def test_straight_through_gives_the_best_with_the_gradient_of_soft():
  bank, scores = _random(6, 5)
  hard = kernel_bank.choose(scores, bank, mode='argmax')
  found = kernel_bank.choose(scores, bank, mode='st', temperature=0.7)
  for ours, expected in zip(found, hard):
    np.testing.assert_allclose(ours, expected, atol=1e-6)
  # linear in the shapes, so that the forward value does not enter
  weights = jax.random.normal(KEY, (4, 5, 1))

  def total(scores, mode):
    shapes = kernel_bank.choose(scores, bank, mode=mode, temperature=0.7)
    return jnp.sum(weights * jnp.stack(shapes))

  through, soft = (jax.grad(total)(scores, mode) for mode in ('st', 'soft'))
  assert np.abs(soft).max() > 0.01
  np.testing.assert_allclose(through, soft, atol=1e-6)


def test_straight_through_teaches_the_shape_that_was_taken():
  bank, scores = _random(6, 5)

  def total(bank):
    return jnp.sum(kernel_bank.choose(scores, bank, mode='st').sigma_rows)

  taken = np.bincount(np.argmax(scores, axis=-1), minlength=6)
  grads = jax.grad(total)(bank).sigma_rows
  np.testing.assert_allclose(grads, taken, atol=1e-6)


@pytest.mark.parametrize('num', [1, 3, 4])
def test_a_mixture_of_few_is_the_expected_kernel(num):
  bank, scores = _random(num, 5)
  shapes = kernel_bank.choose(scores, bank, mode='mixture')
  assert shapes.opacity.shape == (5, num)
  chances = jax.nn.softmax(scores)
  for place in ((0.0, 0.0), (0.4, -0.3)):
    found = _gaussian(shapes, place).sum(-1)
    np.testing.assert_allclose(
      found, chances @ _gaussian(bank, place), rtol=1e-5
    )


def test_a_mixture_takes_the_four_most_probable_in_shares_of_one():
  bank, scores = _random(20, 5)
  bank = bank._replace(opacity=jnp.ones(20))
  found = kernel_bank.choose(scores, bank, mode='mixture', temperature=2.0)
  order = np.argsort(-np.asarray(scores), axis=-1)[:, :4]
  odds = np.exp(np.take_along_axis(np.asarray(scores), order, axis=-1) / 2)
  np.testing.assert_array_equal(found.rho, np.asarray(bank.rho)[order])
  np.testing.assert_allclose(
    found.opacity, odds / odds.sum(-1, keepdims=True), rtol=1e-5
  )
  np.testing.assert_allclose(found.opacity.sum(-1), 1, rtol=1e-6)


def test_gumbel_noise_draws_each_shape_as_often_as_it_is_probable():
  num = 20_000
  scores = jnp.broadcast_to(SCORES, (num, 3))
  found = kernel_bank.choose(scores, BANK, mode='argmax', key=KEY)
  taken = found.opacity == BANK.opacity
  # a standard error is 0.0035
  np.testing.assert_allclose(taken.mean(0), [1 / 2, 1 / 3, 1 / 6], atol=0.012)


@pytest.mark.parametrize('mode', kernel_bank.MODES)
def test_noise_comes_from_the_key_alone(mode):
  bank, scores = _random(6, 30)

  def draw(key):
    return jnp.stack(kernel_bank.choose(scores, bank, mode=mode, key=key))

  np.testing.assert_array_equal(draw(KEY), draw(KEY))
  assert np.any(draw(KEY) != draw(jax.random.key(1)))
  np.testing.assert_array_equal(draw(None), draw(None))


@pytest.mark.parametrize('mode', kernel_bank.MODES)
def test_a_pixel_s_shapes_are_its_own(mode):
  bank, scores = _random(6, 2, 3, 4)
  whole = kernel_bank.choose(scores, bank, mode=mode)
  alone = kernel_bank.choose(scores[1, 2, 3], bank, mode=mode)
  for ours, expected in zip(whole, alone):
    np.testing.assert_allclose(ours[1, 2, 3], expected, rtol=1e-6)


def test_an_unknown_mode_is_told_the_right_ones():
  with pytest.raises(
    ValueError, match="mode 'hard': choose from soft, st, mixture, argmax"
  ):
    kernel_bank.choose(SCORES, BANK, mode='hard')


def test_averaging_gives_each_place_of_a_tile_its_mean_over_the_batch():
  # One row of two tiles, the second cut to three pixels.
  values = jnp.arange(20.0).reshape(2, 1, 10, 1)
  found = kernel_bank.average_tiles(Shapes(values, 2 * values, -values, values))
  # columns 0 and 7 of both pictures: 0, 7, 10, 17; column 3: 3 and 13
  expected = [8.5, 9.5, 10.5, 8, 9, 10, 11, 8.5, 9.5, 10.5]
  for ours, factor in zip(found, (1, 2, -1, 1)):
    assert ours.shape == values.shape
    for picture in ours:
      np.testing.assert_allclose(picture[0, :, 0], factor * np.array(expected))


def test_averaging_knows_rows_from_columns():
  values = jax.random.uniform(KEY, (1, 8, 14, 2))
  found = kernel_bank.average_tiles(Shapes(*[values] * 4)).rho
  same = [values[0, r, c] for r in (0, 7) for c in (5, 12)]
  expected = sum(same) / 4
  for row, column in ((0, 5), (7, 12), (0, 12)):
    np.testing.assert_allclose(found[0, row, column], expected, rtol=1e-6)
  expected = (values[0, 3, 1] + values[0, 3, 8]) / 2
  np.testing.assert_allclose(found[0, 3, 1], expected, rtol=1e-6)


def test_a_square_bank_is_a_mesh_whose_rows_vary_slowly():
  rows, columns = kernel_bank.mesh(9, 0.2, 3.0)
  np.testing.assert_allclose(rows, np.repeat([0.2, 1.6, 3.0], 3), rtol=1e-6)
  np.testing.assert_allclose(columns, np.tile([0.2, 1.6, 3.0], 3), rtol=1e-6)


@pytest.mark.parametrize('num, side', [(1, 1), (5, 3), (10, 4), (400, 20)])
def test_another_bank_is_the_beginning_of_a_mesh(num, side):
  rows, columns = kernel_bank.mesh(num, 0.3, 0.95)
  whole = kernel_bank.mesh(side * side, 0.3, 0.95)
  assert rows.shape == columns.shape == (num,)
  np.testing.assert_array_equal(rows, whole[0][:num])
  np.testing.assert_array_equal(columns, whole[1][:num])
  assert len(set(zip(rows.tolist(), columns.tolist()))) == num
