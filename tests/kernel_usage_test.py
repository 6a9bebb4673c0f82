"""Usages of a bank with known answers."""

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import kernel_usage
from sr3d_jax.kernel_bank import Shapes


def test_perplexity_counts_shapes():
  assert kernel_usage.perplexity(jnp.full(8, 1 / 8)) == pytest.approx(8)
  assert kernel_usage.perplexity(jnp.array([0, 1.0, 0])) == pytest.approx(1)
  two = jnp.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
  np.testing.assert_allclose(kernel_usage.perplexity(two), [2, 1], rtol=1e-5)


def test_divergence_is_zero_for_equals_and_counts_nats_otherwise():
  fair, loaded = jnp.array([0.5, 0.5]), jnp.array([0.9, 0.1])
  assert kernel_usage.divergence(fair, fair) == pytest.approx(0, abs=1e-6)
  expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
  assert kernel_usage.divergence(fair, loaded) == pytest.approx(expected)
  back = kernel_usage.divergence(loaded, fair)
  assert back == pytest.approx(0.9 * np.log(1.8) + 0.1 * np.log(0.2))
  assert np.isfinite(kernel_usage.divergence(fair, jnp.array([1.0, 0.0])))


def test_shapes_that_nobody_prefers_are_not_taken():
  chances = jnp.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]])
  assert kernel_usage.num_taken(chances) == 2


def test_pixels_that_change_their_likeliest_shape_are_counted():
  chances = jnp.array([[[0.6, 0.3], [0.5, 0.4]], [[0.1, 0.2], [0.2, 0.7]]])
  other = jnp.array([[[0.5, 0.3], [0.3, 0.4]], [[0.1, 0.9], [0.2, 0.3]]])
  assert kernel_usage.flips(chances, other) == 0.25
  assert kernel_usage.flips(chances, chances) == 0


def test_anisotropy_and_spread_see_every_axis():
  sigma = jnp.array([0.3, 0.5, 0.5])
  other = jnp.array([0.6, 0.5, 0.5])
  shapes = Shapes(sigma, other, jnp.array([0.0, 0.0, 0.6]), jnp.ones(3))
  # eigenvalues of equal sigmas are in the proportion 1 + rho to 1 - rho
  np.testing.assert_allclose(
    kernel_usage.anisotropy(shapes), [2, 1, 2], rtol=1e-3
  )
  np.testing.assert_allclose(
    kernel_usage.spread(shapes), [np.sqrt(0.225), 0.5, 0.5], rtol=1e-6
  )
