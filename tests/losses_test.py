"""Losses against their definitions, written out slowly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sr3d_kernels.ssim import ssim_map

from sr3d_jax import losses


def _pair(*shape):
  rng = np.random.default_rng(0)
  targets = rng.random(shape)
  images = np.clip(targets + 0.2 * rng.normal(size=shape), 0, 1)
  return images.astype(np.float32), targets.astype(np.float32)


def test_dssim_is_a_weighted_mean_of_the_map():
  images, targets = _pair(12, 15, 2)
  weights = np.random.default_rng(1).random((12, 15)).astype(np.float32)
  values = 1 - np.asarray(ssim_map(images, targets))
  expected = np.average(values.mean(-1), weights=weights)
  got = jax.jit(losses.dssim)(images, targets, weights)
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  assert losses.dssim(images, targets, np.zeros_like(weights)) == 0


def test_photometric_mixes_l1_and_dssim():
  images, targets = _pair(16, 16, 3)
  absolute = np.abs(images - targets).mean()
  structural = 1 - np.asarray(ssim_map(images, targets)).mean()
  np.testing.assert_allclose(
    losses.photometric(images, targets),
    0.8 * absolute + 0.2 * structural,
    rtol=1e-4,
  )
  only_l1 = losses.photometric(images, targets, dssim_weight=0.0)
  np.testing.assert_allclose(only_l1, absolute, rtol=1e-6)


def test_equal_images_lose_nothing_and_give_finite_gradients():
  _, targets = _pair(14, 14, 3)
  value_and_grad = jax.jit(jax.value_and_grad(losses.photometric))
  value, gradient = value_and_grad(targets, targets)
  np.testing.assert_allclose(value, 0, atol=1e-6)
  assert np.isfinite(gradient).all()
  black = jnp.zeros((14, 14, 3))
  assert np.isfinite(value_and_grad(black, black)[1]).all()


LOSSES = [jax.jit(f) for f in (losses.l1, losses.charbonnier, losses.dssim)]


@pytest.mark.parametrize('loss', LOSSES)
def test_weights_are_relative(loss):
  images, targets = _pair(12, 12, 3)
  flat = loss(images, targets, jnp.full((12, 12), 0.25))
  np.testing.assert_allclose(flat, loss(images, targets), rtol=1e-5)


@pytest.mark.parametrize('loss', [losses.l1, losses.charbonnier])
def test_pixels_of_no_weight_do_not_count(loss):
  images, targets = _pair(12, 12, 3)
  weights = jnp.zeros((12, 12)).at[:, :5].set(1.0)
  expected = loss(images[:, :5], targets[:, :5])
  np.testing.assert_allclose(
    loss(images, targets, weights), expected, rtol=1e-5
  )


@pytest.mark.parametrize('loss', LOSSES)
def test_no_weight_at_all_gives_zero(loss):
  images, targets = _pair(12, 12, 3)
  value, gradient = jax.value_and_grad(loss)(
    images, targets, jnp.zeros((12, 12))
  )
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)


def test_charbonnier_is_l1_with_a_round_tip():
  one = jnp.full((1, 1, 1), 0.3)
  zero = jnp.zeros((1, 1, 1))
  np.testing.assert_allclose(losses.charbonnier(one, zero), 0.3, rtol=1e-4)
  np.testing.assert_allclose(
    losses.charbonnier(one, zero, epsilon=0.4), 0.5, rtol=1e-6
  )
  assert jax.grad(losses.charbonnier)(zero, zero) == 0


def test_shapes_must_agree():
  images, targets = _pair(12, 12, 3)
  with pytest.raises(ValueError, match='same shape'):
    losses.l1(images, targets[:, :5])
  with pytest.raises(ValueError, match='weights'):
    losses.photometric(images, targets, weights=jnp.ones((12, 12, 1)))
