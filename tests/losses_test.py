"""Losses against their definitions, written out slowly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from sr3d_jax import losses


def _pair(*shape):
  rng = np.random.default_rng(0)
  targets = rng.random(shape)
  images = np.clip(targets + 0.2 * rng.normal(size=shape), 0, 1)
  return images.astype(np.float32), targets.astype(np.float32)


def _slow_ssim(x, y):
  """The definition, with variances, by SciPy in float64."""

  def blur(image):
    return ndimage.gaussian_filter(
      image, (1.5, 1.5, 0), mode='constant', radius=(5, 5, 0)
    )

  x, y = x.astype(np.float64), y.astype(np.float64)
  mean_x, mean_y = blur(x), blur(y)
  var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
  covariance = blur(x * y) - mean_x * mean_y
  top = (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
  return top / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))


def test_ssim_equals_its_definition_up_to_the_border():
  images, targets = _pair(20, 26, 3)
  np.testing.assert_allclose(
    losses.ssim_map(images, targets), _slow_ssim(images, targets), atol=2e-5
  )


def test_ssim_of_a_batch_is_that_of_its_images():
  images, targets = _pair(2, 16, 14, 3)
  ssim_map = jax.jit(losses.ssim_map)
  both = ssim_map(images, targets)
  alone = ssim_map(images[1], targets[1])
  np.testing.assert_allclose(both[1], alone, atol=1e-6)
  mapped = jax.vmap(ssim_map)(images, targets)
  np.testing.assert_allclose(mapped, both, atol=1e-6)


def test_gradient_of_dssim_equals_finite_differences():
  images, targets = _pair(12, 15, 2)
  weights = np.random.default_rng(1).random((12, 15))
  step = np.random.default_rng(2).normal(size=images.shape)

  def slow(x):
    values = 1 - _slow_ssim(x, targets)
    return np.sum(values * weights[..., None]) / (2 * weights.sum())

  # The map is smooth and the reference is in float64.
  expected = (slow(images + 1e-5 * step) - slow(images - 1e-5 * step)) / 2e-5
  weights = jnp.asarray(weights, jnp.float32)
  dssim = jax.jit(losses.dssim)
  gradient = jax.grad(dssim)(images, targets, weights)
  np.testing.assert_allclose(np.vdot(gradient, step), expected, rtol=1e-3)
  symmetric = jax.grad(dssim, argnums=1)(targets, images, weights)
  np.testing.assert_allclose(symmetric, gradient, atol=1e-6)


def test_photometric_mixes_l1_and_dssim():
  images, targets = _pair(16, 16, 3)
  absolute = np.abs(images - targets).mean()
  structural = 1 - _slow_ssim(images, targets).mean()
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
