"""Relocation keeps the look; densification keeps its books."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import density, filters
from sr3d_jax.types import Gaussians


def some(num: int, live: int, opacity: float = 0.6) -> Gaussians:
  keys = jax.random.split(jax.random.key(3), 4)
  logits = jnp.full(num, density.DEAD_LOGIT)
  logit = math.log(opacity / (1 - opacity))
  return Gaussians(
    means=jax.random.normal(keys[0], (num, 3)),
    log_scales=-2 + 0.3 * jax.random.normal(keys[1], (num, 3)),
    quats=jax.random.normal(keys[2], (num, 4)),
    opacity_logits=logits.at[:live].set(logit),
    sh=jax.random.normal(keys[3], (num, 4, 3)),
  )


def screen_stats(gradient, absolute=0.0, count=1.0) -> density.ScreenStats:
  gradient = jnp.asarray(gradient)
  return density.ScreenStats(
    gradient=gradient,
    absolute=jnp.broadcast_to(absolute, gradient.shape),
    count=jnp.broadcast_to(count, gradient.shape),
  )


@pytest.mark.parametrize('opacity', [0.05, 0.5, 0.99])
@pytest.mark.parametrize('copies', [1, 2, 7, 20])
def test_shared_opacity_equals_the_alternating_sum(opacity, copies):
  shared, factor = density.shared_opacity(
    jnp.asarray([opacity]), jnp.asarray([copies])
  )
  exact = 1 - (1 - opacity) ** (1 / copies)
  total = sum(
    math.comb(copies, m) * (-1) ** (m - 1) * exact**m / math.sqrt(m)
    for m in range(1, copies + 1)
  )
  np.testing.assert_allclose(shared[0], exact, rtol=2e-5)
  np.testing.assert_allclose(factor[0], opacity / total, rtol=2e-4)


def test_one_copy_is_left_as_it_is():
  shared, factor = density.shared_opacity(jnp.asarray([0.3]), jnp.asarray([1]))
  np.testing.assert_allclose(shared, 0.3, rtol=1e-5)
  np.testing.assert_allclose(factor, 1.0, rtol=1e-5)


def test_relocation_reaches_its_target_and_copies_only_the_living():
  before = some(40, 10)
  after, source, fresh = density.relocate(jax.random.key(0), before, 25, before)
  assert int(jnp.sum(density.is_live(after))) == 25
  assert (np.asarray(source)[10:25] < 10).all()
  assert (np.asarray(source)[25:] == np.arange(25, 40)).all()
  np.testing.assert_array_equal(after.means, before.means[source])
  copied = np.bincount(np.asarray(source)[:25], minlength=40)[:10] > 1
  np.testing.assert_array_equal(np.asarray(fresh)[:10], copied)
  assert np.asarray(fresh)[10:25].all()
  assert not np.asarray(fresh)[25:].any()


def test_copies_together_transmit_what_the_parent_did():
  before = some(30, 5)
  after, source, _ = density.relocate(jax.random.key(0), before, 30, before)
  transmittance = np.ones(5)
  np.multiply.at(
    transmittance, np.asarray(source), 1 - np.asarray(after.opacities)
  )
  np.testing.assert_allclose(transmittance, 0.4, rtol=1e-4)


@pytest.mark.parametrize('filtered', [1.0, 0.4])
def test_relocation_reaches_its_target_with_faint_sources(filtered):
  before = some(100, 50, opacity=0.008 / filtered)
  drawn = some(100, 50, opacity=0.008)
  after, *_ = density.relocate(jax.random.key(0), before, 100, drawn)
  shown = np.asarray(after.opacities) * filtered
  assert (shown > density.DEAD_OPACITY).all()
  assert (shown < 0.00801).all()  # sharing brightens none


def test_faint_copies_stay_alive_behind_a_3d_filter():
  before = some(100, 50, opacity=0.006)
  thickness = jnp.full(100, 0.03)  # a third of the scales and less
  drawn = filters.smooth(before, thickness)
  num_live = int(jnp.sum(density.is_live(drawn)))
  assert num_live > 10
  after, source, fresh = density.relocate(
    jax.random.key(0), before, num_live + 10, drawn
  )
  after_drawn = filters.smooth(after, thickness)
  assert int(jnp.sum(density.is_live(after_drawn))) == num_live + 10
  np.testing.assert_allclose(
    after.scales[fresh], before.scales[source][fresh], rtol=0.01
  )


def test_what_is_not_drawn_is_free_however_opaque_it_was_learnt():
  before = some(12, 4, opacity=0.9)
  hidden = before.opacity_logits.at[0].set(density.DEAD_LOGIT)
  drawn = dataclasses.replace(before, opacity_logits=hidden)
  after, source, fresh = density.relocate(jax.random.key(0), before, 12, drawn)
  assert not (np.asarray(source) == 0).any()  # it is moved and never copied
  assert np.asarray(fresh)[0]
  assert np.asarray(density.is_live(after)).all()


def test_sources_are_drawn_in_proportion_to_what_shows():
  before = some(4000, 2)
  logits = before.opacity_logits.at[1].set(-2.0)  # opacity 0.119
  drawn = dataclasses.replace(before, opacity_logits=logits)
  _, source, _ = density.relocate(jax.random.key(0), before, 4000, drawn)
  share = np.mean(np.asarray(source)[2:] == 1)
  # 0.119 / (0.6 + 0.119); 4000 draws have a deviation of 0.006
  assert share == pytest.approx(0.166, abs=0.025)


def test_relocation_without_survivors_does_nothing():
  before = some(8, 0)
  after, _, fresh = density.relocate(jax.random.key(0), before, 8, before)
  assert not np.asarray(fresh).any()
  np.testing.assert_array_equal(after.means, before.means)


def test_small_are_cloned_large_are_split_huge_are_pruned():
  gaussians = some(6, 3)
  scales = jnp.asarray([0.001, 0.05, 9.0, 1.0, 1.0, 1.0])
  gaussians = Gaussians(
    means=gaussians.means,
    log_scales=jnp.log(scales)[:, None] * jnp.ones(3),
    quats=gaussians.quats,
    opacity_logits=gaussians.opacity_logits,
    sh=gaussians.sh,
  )
  stats = screen_stats([1.0, 2.0, 3.0, 0, 0, 0])
  after, source, fresh = density.densify(
    jax.random.key(0), gaussians, stats, extent=1.0
  )
  live = np.asarray(density.is_live(after))
  assert live.sum() == 4
  kinds = [int(s) for s, alive in zip(source, live, strict=True) if alive]
  assert sorted(kinds) == [0, 0, 1, 1]
  halves = np.asarray(source) == 1
  np.testing.assert_allclose(after.scales[halves & live], 0.05 / 1.6, rtol=1e-5)
  clones = (np.asarray(source) == 0) & live
  np.testing.assert_allclose(after.scales[clones], 0.001, rtol=1e-5)
  assert not np.asarray(fresh)[0]  # a cloned parent keeps its moments


def test_the_hottest_come_first_when_slots_are_few():
  gaussians = some(5, 4)
  stats = screen_stats([1.0, 4.0, 2.0, 3.0, 0])
  _, source, _ = density.densify(
    jax.random.key(0), gaussians, stats, extent=100.0
  )
  assert int(source[4]) == 1


def _by_absolute(stats, *, num=100, live=60):
  """Parents and outcome where the absolute gradient counts, too."""
  before = some(num, live)
  after, source, fresh = density.densify(
    jax.random.key(0), before, stats, extent=10.0, by_absolute=True
  )
  born = np.asarray(source) != np.arange(num)
  return set(np.asarray(source)[born].tolist()), after, source, fresh


@pytest.mark.parametrize('passing', [0.0, 0.13, 0.4])
def test_as_many_pass_by_absolute_gradients_as_by_the_gradient(passing):
  rng = np.random.default_rng(0)
  count = rng.integers(1, 5, 100).astype(np.float32)
  gradient, absolute = rng.random((2, 100)).astype(np.float32)
  threshold = np.quantile(gradient[:60], 1 - passing) if passing else 2.0
  gradient *= 2e-4 / threshold
  parents, after, source, fresh = _by_absolute(
    screen_stats(count * gradient, count * absolute, count)
  )
  share = np.mean(gradient[:60] >= 2e-4)
  least = np.quantile(absolute[:60], 1 - share)
  expected = (gradient >= 2e-4) | (absolute >= least * (1 - 1e-6))
  assert parents == set(np.flatnonzero(expected[:60]).tolist())
  # Every parent has one child; the rest of the free slots stay free.
  live = np.asarray(density.is_live(after))
  assert live[:60].all() and live.sum() == 60 + len(parents)
  moments = density.gather_moments({'mu': some(100, 60)}, source, fresh)['mu']
  born = np.asarray(source) != np.arange(100)
  assert not np.asarray(moments.means)[born].any()
  still = ~born & ~np.asarray(fresh)
  np.testing.assert_array_equal(
    moments.means[still], some(100, 60).means[still]
  )


def test_by_absolute_gradients_the_scene_at_most_doubles_within_capacity():
  stats = screen_stats(jnp.ones(100), jnp.arange(100.0))
  parents, after, *_ = _by_absolute(stats, live=30)
  assert parents == set(range(30))
  assert int(jnp.sum(density.is_live(after))) == 60
  parents, after, *_ = _by_absolute(stats, live=90)
  assert parents <= set(range(90)) and len(parents) == 10
  assert density.is_live(after).all()


def test_what_no_view_drew_calls_for_nothing():
  parents, after, *_ = _by_absolute(density.empty_stats(100))
  assert not parents
  assert int(jnp.sum(density.is_live(after))) == 60


def test_of_the_few_slots_those_farthest_past_their_threshold_take_first():
  # Of 8, two pass by the gradient, so that two pass by the absolute one: 5, 6.
  gradient = 2e-4 * jnp.asarray([3, 2, 0, 0, 0, 0, 0, 0, 0, 0])
  absolute = jnp.asarray([0, 0, 0, 0, 0, 10, 40, 0, 0, 0])
  stats = screen_stats(gradient, absolute)
  parents, *_ = _by_absolute(stats, num=10, live=8)
  assert 6 in parents and len(parents) == 2


def test_moments_move_with_their_gaussians_and_restart_where_fresh():
  moments = {'mu': some(4, 4), 'count': jnp.asarray(7)}
  source = jnp.asarray([0, 1, 2, 1])
  fresh = jnp.asarray([False, True, False, True])
  moved = density.gather_moments(moments, source, fresh)
  assert int(moved['count']) == 7
  np.testing.assert_array_equal(moved['mu'].means[2], moments['mu'].means[2])
  assert not np.asarray(moved['mu'].sh)[[1, 3]].any()


def test_reset_caps_opacity():
  after = density.reset_opacity(some(4, 2))
  np.testing.assert_allclose(after.opacities[:2], 0.01, rtol=1e-5)
  assert float(after.opacities[2]) < 1e-6
