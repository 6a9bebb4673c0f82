"""What GaussianVAE pays: each term against its definition, worked out apart."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from sr3d_jax import vae_terms
from sr3d_jax.vae_terms import Family


def _family(seed, batch=3, slots=4):
  keys = jax.random.split(jax.random.key(seed), 4)
  shape = (batch, slots)
  return Family(
    means=jax.random.normal(keys[0], (*shape, 3)),
    factors=0.5 * jax.random.normal(keys[1], (*shape, 3, 3)) + jnp.eye(3),
    opacity_logits=jax.random.normal(keys[2], shape),
    dc=jax.random.normal(keys[3], (*shape, 3)),
  )


def test_the_divergence_is_what_samples_say():
  q = jnp.array([[0.5, -1.0, 0.0]]), jnp.log(jnp.array([[0.3, 1.5, 1.0]]))
  p = jnp.array([[0.0, 1.0, 0.0]]), jnp.log(jnp.array([[1.2, 0.8, 1.0]]))
  z = q[0] + jnp.exp(q[1]) * jax.random.normal(jax.random.key(0), (100_000, 3))

  def log_density(normal):
    return -(((z - normal[0]) * jnp.exp(-normal[1])) ** 2) / 2 - normal[1]

  samples = np.asarray(log_density(q) - log_density(p))
  errors = samples.std(axis=0) / np.sqrt(len(samples))
  found = np.asarray(vae_terms.kl(q, p))[0]
  assert (abs(found - samples.mean(axis=0)) <= 4 * errors + 1e-6).all()
  # it is not symmetric: that of the pair swapped is another
  assert abs(vae_terms.kl(p, q)[0, 0] - found[0]) > 0.5


def test_free_bits_are_by_dimension_and_by_sample():
  divergences = jnp.array([[0.0, 0.5], [0.01, 0.01]])
  found = vae_terms.free_bits(divergences, 0.02)
  np.testing.assert_allclose(found, [0.52, 0.04], rtol=1e-6)
  slope = jax.grad(lambda x: vae_terms.free_bits(x, 0.02).sum())(divergences)
  np.testing.assert_array_equal(slope, [[0, 1], [0, 0]])


def test_beta_rises_for_three_tenths_and_stays():
  steps = jnp.array([0, 15, 30, 100])
  found = vae_terms.warm_up(steps, 100, 1e-3)
  np.testing.assert_allclose(found, [0, 5e-4, 1e-3, 1e-3], rtol=1e-6)


def test_units_are_active_if_their_means_vary_over_inputs():
  vary = jnp.linspace(-1, 1, 9)[:, None] * jnp.array([1.0, 0.1, 0.0]) + 5.0
  assert vae_terms.active_units(vary) == 1


@pytest.mark.parametrize('slots', [1, 2, 3, 4])
def test_slots_are_matched_as_by_the_hungarian_method(slots):
  pairs = np.random.default_rng(0).normal(size=(20, slots, slots)) ** 2
  mask = np.ones((20, slots), bool)
  found = vae_terms.match(jnp.asarray(pairs), jnp.asarray(mask))
  for order, table in zip(np.asarray(found), pairs):
    np.testing.assert_array_equal(order, linear_sum_assignment(table)[1])


def test_missing_targets_go_to_slots_that_fit_nowhere():
  pairs = np.random.default_rng(1).uniform(1, 2, size=(20, 4, 4))
  mask = np.arange(4) < np.arange(20)[:, None] % 5
  hidden = jnp.where(mask[:, None], pairs, jnp.nan)
  order = vae_terms.match(hidden, jnp.asarray(mask))
  assert (np.sort(order, axis=-1) == np.arange(4)).all()
  paid, has_target = vae_terms.matched(hidden, jnp.asarray(mask), order)
  np.testing.assert_array_equal(has_target.sum(-1), mask.sum(-1))
  for table, seen, cost in zip(pairs, mask, paid):
    rows, columns = linear_sum_assignment(table[:, seen])
    wanted = table[:, seen][rows, columns].mean() if seen.any() else 0.0
    assert cost == pytest.approx(wanted, rel=1e-6)


def test_more_slots_than_orders_can_be_tried_for_are_refused():
  with pytest.raises(ValueError, match='at most 6 slots, got 8'):
    vae_terms.match(jnp.zeros((8, 8)), jnp.ones(8, bool))


def test_costs_are_of_slots_by_targets():
  slots, targets = _family(0), _family(1)
  costs = jax.jit(partial(vae_terms.costs, opacity=2.0, color=3.0))
  found = costs(slots, targets)
  one = jax.tree.map(lambda x: x[2, 1], slots)
  two = jax.tree.map(lambda x: x[2, 3], targets)
  wanted = (
    vae_terms.bures(one.means, one.factors, two.means, two.factors)
    + 2 * abs(one.opacity_logits - two.opacity_logits)
    + 3 * abs(one.dc - two.dc).sum()
  )
  assert found[2, 1, 3] == pytest.approx(float(wanted), rel=1e-5)
  same = costs(slots, slots)
  np.testing.assert_allclose(jnp.diagonal(same, axis1=1, axis2=2), 0, atol=1e-5)


def test_the_order_of_slots_and_of_targets_costs_nothing():
  slots, targets = _family(2), _family(3)
  mask = jnp.array([[True] * 4, [True, False, True, False], [False] * 4])

  @jax.jit
  def paid(slots, targets, mask):
    pairs = vae_terms.costs(slots, targets)
    return vae_terms.matched(pairs, mask, vae_terms.match(pairs, mask))[0]

  order = jnp.array([2, 0, 3, 1])
  moved = jax.tree.map(lambda x: x[:, order], slots)
  other = jax.tree.map(lambda x: x[:, order], targets)
  wanted = paid(slots, targets, mask)
  np.testing.assert_allclose(paid(moved, targets, mask), wanted, rtol=1e-5)
  np.testing.assert_allclose(
    paid(slots, other, mask[:, order]), wanted, rtol=1e-5
  )
  assert wanted[2] == 0
  slope = jax.jit(jax.grad(lambda s: paid(s, targets, mask).sum()))(slots)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
  # who has no target is pulled nowhere
  np.testing.assert_array_equal(slope.means[2], 0)
  is_pulled = np.any(slope.means[1] != 0, axis=-1)
  assert is_pulled.sum() == 2


def test_existence_is_cross_entropy_and_pays_beyond_the_budget():
  logits = jnp.array([[2.0, -1.0], [0.0, 3.0]])
  real = jnp.array([[True, False], [False, True]])
  p = 1 / (1 + np.exp(-np.asarray(logits)))
  wanted = -np.mean(np.where(real, np.log(p), np.log(1 - p)))
  assert vae_terms.existence(logits, real) == pytest.approx(wanted, rel=1e-5)
  assert vae_terms.existence(logits, real, 0.9) == pytest.approx(wanted)
  beyond = wanted + (p.mean() - 0.25) ** 2
  found = vae_terms.existence(logits, real, 0.25)
  assert found == pytest.approx(beyond, rel=1e-5)


def test_huber_is_square_within_and_linear_beyond():
  errors = jnp.array([-0.5, 0.0, 3.0])
  np.testing.assert_allclose(vae_terms.huber(errors), [0.125, 0, 2.5])
  slopes = jax.vmap(jax.grad(vae_terms.huber))(errors)
  np.testing.assert_allclose(slopes, [-0.5, 0, 1])


def test_smallness_counts_what_lies_off_the_diagonal_twice():
  log_covs = jnp.arange(1.0, 7.0).reshape(1, 1, 6)
  matrix = np.array([[1, 2, 3], [2, 4, 5], [3, 5, 6]])
  found = vae_terms.smallness(log_covs, jnp.full((1, 1), 0.5))
  np.testing.assert_allclose(found, [np.sum(matrix**2) + 0.25])


def test_children_that_are_their_parent_are_trusted_wholly():
  parent = dataclasses.replace(
    _family(0), means=jnp.zeros((3, 4, 3)),
    factors=jnp.broadcast_to(jnp.eye(3), (3, 4, 3, 3)),
  )  # fmt: skip
  trust = jax.jit(vae_terms.trust)
  np.testing.assert_allclose(trust(parent), 0, atol=1e-6)
  far = dataclasses.replace(parent, means=parent.means.at[1, 0].set(30.0))
  np.testing.assert_allclose(trust(far), [0, 0.25, 0], atol=1e-6)
