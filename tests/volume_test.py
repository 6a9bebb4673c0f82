"""Boxes, intervals and weights along rays, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from sr3d_jax import volume

LOW, HIGH = jnp.array([-1.0, -2, -3]), jnp.array([1.0, 2, 3])


@pytest.mark.parametrize(
  'origin, direction, span',
  [
    ((0, 0, -5), (0, 0, 1), (2, 8)),
    ((0, 0, -5), (0, 0, 2), (1, 4)),
    ((0, 9, 0), (0, -1, 0), (7, 11)),
    ((0.5, 0, 0), (1, 0, 0), (0.1, 0.5)),  # from inside, but for what is near
    ((-3, 0, 0), (1, 1, 0), (2, 2)),  # touches an edge
  ],
)
def test_rays_cross_the_box_where_geometry_says(origin, direction, span):
  start, stop = volume.through_box(
    jnp.array(origin, float), jnp.array(direction, float), LOW, HIGH, 0.1
  )
  np.testing.assert_allclose((start, stop), span, rtol=1e-6)


def test_rays_that_miss_the_box_have_no_way_through_it():
  origins = jnp.array([[0.0, 0, 5], [5, 0, -9], [0, 0, 4]])
  directions = jnp.array([[0.0, 0, 1], [0, 0, 1], [1, 0, 0]])
  start, stop = volume.through_box(origins, directions, LOW, HIGH, 0.1)
  np.testing.assert_array_equal(start, stop)
  assert np.isfinite(start).all()


def test_weights_of_an_even_fog_follow_beer_s_law():
  edges = jnp.array([0.0, 0.3, 1.0, 1.5])
  found = volume.weights(jnp.full(3, 2.0), jnp.diff(edges))
  np.testing.assert_allclose(
    found, -np.diff(np.exp(-2 * np.asarray(edges))), rtol=1e-5
  )


def test_what_is_behind_a_wall_adds_nothing_and_order_matters():
  found = volume.weights(jnp.array([0.0, 1e4, 5.0]), jnp.ones(3))
  np.testing.assert_allclose(found, [0, 1, 0], atol=1e-6)
  found = volume.weights(jnp.array([5.0, 1e4, 0.0]), jnp.ones(3))
  np.testing.assert_allclose(found, [1 - np.exp(-5), np.exp(-5), 0], atol=1e-6)


def test_gradients_of_weights_are_those_of_differences():
  densities, lengths = jnp.array([0.2, 1.3, 0.7]), jnp.array([0.4, 0.5, 0.6])
  pattern = jnp.array([1.0, -2.0, 0.5])
  check_grads(
    lambda x: volume.weights(x, lengths) @ pattern, (densities,), 1, rtol=1e-2
  )


def test_samples_lie_where_the_weights_do():
  coarse = jnp.zeros(10).at[6].set(1.0)
  edges = volume.resample(None, coarse, 200)
  inside = (edges >= 0.6) & (edges <= 0.7)
  assert edges.shape == (201,) and inside.mean() > 0.95
  assert edges[0] == 0 and edges[-1] == 1
  assert np.all(np.diff(edges) > 0)
  # in a box without anything they are even
  np.testing.assert_allclose(
    volume.resample(None, jnp.zeros(10), 5), np.arange(6) / 5, atol=1e-6
  )


def test_edges_are_the_inverse_of_the_distribution_function():
  coarse = jnp.array([0.1, 0.5, 0.0, 0.4])
  share = np.asarray(coarse) + volume.PADDING / 4
  cdf = np.concatenate([[0], np.cumsum(share / share.sum())])
  found = volume.resample(None, coarse, 16)
  wanted = np.interp(np.arange(17) / 16, cdf, np.arange(5) / 4)
  np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_chance_moves_inner_edges_by_less_than_half_an_interval():
  coarse = jnp.zeros((500, 4))  # even, so that edges are their own steps
  edges = volume.resample(jax.random.key(0), coarse, 8)
  moved = 8 * np.asarray(edges) - np.arange(9)
  np.testing.assert_allclose(moved[:, [0, -1]], 0, atol=1e-5)
  assert np.abs(moved).max() <= 0.5 + 1e-4
  np.testing.assert_allclose(moved[:, 1:-1].mean(axis=0), 0, atol=0.06)
  assert moved[:, 1:-1].std(axis=0).min() > 0.25
  assert np.all(np.diff(edges) >= 0)


def test_a_proposal_is_blamed_only_for_what_it_overlooks():
  edges = jnp.array([0.0, 0.3, 0.45, 1.0])  # of thirds: 0; 0 and 1; 1 and 2
  fine = jnp.array([0.0, 0.6, 0.3])
  enough = jnp.array([0.3, 0.3, 0.0])
  assert volume.excess(edges, fine, enough) == 0
  lacking = jnp.array([0.1, 0.2, 0.0])
  np.testing.assert_allclose(
    volume.excess(edges, fine, lacking),
    0.3**2 / 0.6 + 0.1**2 / 0.3,
    rtol=1e-4,
  )
  slope = jax.grad(volume.excess, 2)(edges, fine, lacking)
  assert slope[0] < 0 and slope[1] < slope[0] and slope[2] < 0
  np.testing.assert_array_equal(
    jax.grad(volume.excess, 1)(edges, fine, lacking), 0
  )


def test_a_box_leaves_strays_out_and_has_room():
  points = np.random.default_rng(0).uniform(-1, [1, 2, 3], (4000, 3))
  points[0] = 100
  low, high = volume.box_around(points)
  np.testing.assert_allclose(low, [-1.1, -1.15, -1.2], atol=0.05)
  np.testing.assert_allclose(high, [1.1, 2.15, 3.2], atol=0.05)
  with pytest.raises(ValueError, match='no points: give the corners'):
    volume.box_around(np.zeros((0, 3)))
