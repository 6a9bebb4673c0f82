"""A budget is spent by score, in proportion where asked, and never twice."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from sr3d_jax import filters, geometry, selection
from sr3d_jax.types import Camera, Gaussians

KEY = jax.random.key(0)


def some(num: int) -> Gaussians:
  return Gaussians(
    means=jnp.zeros((num, 3)),
    log_scales=jnp.zeros((num, 3)),
    quats=jnp.ones((num, 4)),
    opacity_logits=jnp.zeros(num),
    sh=jnp.zeros((num, 1, 3)),
  )


def draws(num: int, budget: int, scores, temperature: float) -> np.ndarray:
  """[num, B] of independent keys."""
  keys = jax.random.split(KEY, num)
  scores = jnp.asarray(scores)
  return np.stack([
    selection.select(key, scores, budget, temperature=temperature)
    for key in keys
  ])  # fmt: skip


def test_no_temperature_takes_the_best_and_the_first_of_equals():
  scores = jnp.asarray([0.2, 3.0, 0.0, 3.0, 1.0])
  chosen = selection.select(KEY, scores, 4, temperature=0.0)
  np.testing.assert_array_equal(chosen, [1, 3, 4, 0])


def test_a_temperature_of_one_draws_in_proportion():
  scores = np.array([1.0, 2.0, 0.0, 4.0, 1.0])
  found = draws(400, 2, scores, 1.0)
  counts = np.bincount(found[:, 0], minlength=5)
  assert counts[2] == 0
  seen = scores > 0
  expected = 400 * scores[seen] / scores.sum()
  assert chisquare(counts[seen], expected).pvalue > 1e-3, counts
  # The second draw, too, is in proportion to what the first has left.
  after = found[found[:, 0] == 3, 1]
  counts = np.bincount(after, minlength=5)[[0, 1, 4]]
  expected = len(after) * np.array([1, 2, 1]) / 4
  assert chisquare(counts, expected).pvalue > 1e-3, counts


def test_half_the_temperature_draws_by_the_square():
  found = draws(300, 1, [1.0, 3.0], 0.5)
  assert abs(np.mean(found == 1) - 0.9) < 0.07


def test_none_is_chosen_twice_and_the_scale_of_scores_does_not_matter():
  scores = jax.random.uniform(KEY, (50,))
  chosen = selection.select(KEY, scores, 30, temperature=1.0)
  assert len(np.unique(chosen)) == 30
  again = selection.select(KEY, 1e-6 * scores, 30, temperature=1.0)
  np.testing.assert_array_equal(chosen, again)


def test_the_order_of_gaussians_does_not_matter():
  scores = jax.random.uniform(KEY, (20,))
  turn = np.random.default_rng(0).permutation(20)
  chosen = selection.select(KEY, scores, 7, temperature=0.0)
  turned = selection.select(KEY, scores[turn], 7, temperature=0.0)
  np.testing.assert_array_equal(turn[np.asarray(turned)], chosen)


def test_worthless_ones_fill_a_budget_last_and_at_random():
  scores = jnp.asarray([0.0, 1e-9, 0.0, 5.0, 0.0])
  found = np.stack([
    selection.select(key, scores, 3, temperature=1.0)
    for key in jax.random.split(KEY, 40)
  ])  # fmt: skip
  assert (np.sort(found[:, :2]) == [1, 3]).all()
  assert set(found[:, 2]) == {0, 2, 4}


def test_the_excluded_are_never_chosen_whatever_their_score():
  scores = jnp.asarray([jnp.nan, 1.0, 9.0, 0.0])
  out = jnp.asarray([True, False, True, False])
  chosen = selection.select(KEY, scores, 2, temperature=1.0, excluded=out)
  np.testing.assert_array_equal(chosen, [1, 3])


def test_hardly_seen_faint_small_huge_and_broken_ones_are_excluded():
  gaussians = some(7)
  logits = gaussians.opacity_logits.at[1].set(-4.0)
  means = gaussians.means.at[4, 1].set(jnp.nan)
  gaussians = dataclasses.replace(gaussians, opacity_logits=logits, means=means)
  num_views = jnp.asarray([2, 3, 3, 3, 3, 3, 3])
  radii = jnp.tile(jnp.asarray([[0.1, 5.0]]), (7, 1)).at[2, 1].set(0.9)
  reach = jnp.full(7, 0.09).at[6].set(0.11)
  out = selection.excluded(gaussians, num_views, radii, reach)
  np.testing.assert_array_equal(out, [1, 1, 1, 0, 1, 0, 1])


def test_a_reach_is_over_the_distance_of_the_nearest_camera():
  gaussians = dataclasses.replace(
    some(2),
    means=jnp.asarray([[0.0, 0, 0], [0, 0, 1]]),
    log_scales=jnp.log(jnp.asarray([[0.1, 0.2, 0.3]] * 2)),
  )
  up = jnp.asarray([0.0, 1.0, 0.0])
  eyes = [jnp.asarray([0.0, 0.0, z]) for z in (-4.0, -2.0)]
  cameras = Camera(
    world_to_cam=jnp.stack(
      [geometry.look_at(eye, jnp.zeros(3), up) for eye in eyes]
    ),
    focal=jnp.full((2, 2), 40.0), center=jnp.full((2, 2), 16.0),
    width=32, height=32,
  )  # fmt: skip
  found = filters.reach(gaussians, cameras)
  np.testing.assert_allclose(found, [0.3 / 2, 0.3 / 3], rtol=1e-4)


def test_a_voxel_has_no_more_than_its_share_and_those_are_its_best():
  scores = jnp.arange(12.0) + 1
  voxels = np.array([0] * 9 + [1] * 3)
  chosen = selection.select(
    KEY, scores, 5, temperature=0.0, voxels=voxels, max_in_voxel=3
  )
  np.testing.assert_array_equal(chosen, [11, 10, 9, 8, 7])
  with pytest.raises(ValueError, match='budget 7 is more than the 6'):
    selection.select(
      KEY, scores, 7, temperature=0.0, voxels=voxels, max_in_voxel=3
    )


def test_voxels_are_four_spacings_wide():
  line = np.zeros((12, 3))
  line[:, 0] = 0.5 * np.arange(12) + 0.25
  found = selection.voxels(line)
  np.testing.assert_array_equal(found, np.repeat([0, 1, 2], 4))
  assert selection.voxels(line[:1]).tolist() == [0]
  line[3] = np.nan
  assert len(selection.voxels(line)) == 12


@pytest.mark.parametrize(
  'budget, out, message',
  [
    (0, [0, 0, 0], 'at least 1, got 0'),
    (4, [0, 0, 0], 'budget 4 is more than the 3 of 3'),
    (3, [0, 1, 0], 'budget 3 is more than the 2 of 3'),
    (1, [1, 1, 1], 'all of 3 Gaussians are excluded'),
  ],
)
def test_impossible_budgets_are_told_so(budget, out, message):
  out = jnp.asarray(out, bool)
  with pytest.raises(ValueError, match=message):
    selection.select(KEY, jnp.ones(3), budget, temperature=0.0, excluded=out)


@pytest.mark.parametrize('value', [-1.0, float('nan')])
def test_scores_that_are_none_are_told_so(value):
  with pytest.raises(ValueError, match='1 of 2 scores'):
    selection.select(KEY, jnp.asarray([1.0, value]), 1, temperature=1.0)


def test_those_beyond_a_budget_are_ranked_unless_crowds_are_thinned():
  scores = jnp.asarray([1.0, 5.0, 3.0, 4.0, 2.0])
  out = jnp.asarray([0, 0, 0, 1, 0], bool)
  line = jnp.arange(15.0).reshape(5, 3)
  given = (KEY, scores, 2, out, line)
  assert selection.ranked(*given).tolist() == [1, 2, 4, 0]
  assert selection.ranked(*given, max_in_voxel=3).tolist() == [1, 2]
  with pytest.raises(ValueError, match='budget 5 is more than the 4 of 5'):
    selection.ranked(KEY, scores, 5, out, line)
