"""SSIM: every backend against its definition, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from sr3d_kernels.ssim import BACKENDS, ssim_map


def served(names):
  """Test parameters of backends, those skipped that cannot serve here."""
  reasons = [BACKENDS[name].unsupported(dtype=np.float32) for name in names]
  return [
    pytest.param(name, marks=pytest.mark.skipif(bool(why), reason=str(why)))
    for name, why in zip(names, reasons)
  ]


EVERY = pytest.mark.parametrize('backend', served(BACKENDS))


def pair(*shape):
  rng = np.random.default_rng(0)
  targets = rng.random(shape)
  images = np.clip(targets + 0.2 * rng.normal(size=shape), 0, 1)
  return images.astype(np.float32), targets.astype(np.float32)


def definition(x, y):
  """With variances, by SciPy in float64."""

  def blur(image):
    return ndimage.gaussian_filter(
      image, (1.5, 1.5, 0), mode='constant', radius=(5, 5, 0)
    )

  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  mean_x, mean_y = blur(x), blur(y)
  var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
  covariance = blur(x * y) - mean_x * mean_y
  top = (2 * mean_x * mean_y + 1e-4) * (2 * covariance + 9e-4)
  return top / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))


SHAPES = [(1, 1, 1), (3, 40, 2), (20, 26, 3), (70, 16, 4), (41, 37, 17)]


@EVERY
@pytest.mark.parametrize('shape', SHAPES)
def test_it_equals_its_definition_up_to_the_border(backend, shape):
  images, targets = pair(*shape)
  got = ssim_map(images, targets, backend=backend)
  np.testing.assert_allclose(got, definition(images, targets), atol=2e-5)


@EVERY
def test_its_gradient_equals_finite_differences(backend):
  images, targets = pair(37, 21, 3)
  rng = np.random.default_rng(1)
  weights, step = rng.normal(size=(2, *images.shape))

  def loss(x, y):
    return jnp.vdot(weights, ssim_map(x, y, backend=backend))

  def slow(amount):
    return np.vdot(weights, definition(images + amount * step, targets))

  expected = (slow(1e-5) - slow(-1e-5)) / 2e-5
  gradient = jax.jit(jax.grad(loss))(images, targets)
  np.testing.assert_allclose(np.vdot(gradient, step), expected, rtol=1e-4)
  swapped = jax.grad(loss, argnums=1)(targets, images)
  np.testing.assert_allclose(swapped, gradient, atol=1e-5)


@pytest.mark.parametrize('backend', served(['cpu']))
@pytest.mark.parametrize('shape', SHAPES)
def test_gradients_agree_with_xla(backend, shape):
  images, targets = pair(*shape)
  weights = np.random.default_rng(1).normal(size=shape).astype(np.float32)

  def gradient(name):
    return jax.grad(
      lambda x: jnp.vdot(weights, ssim_map(x, targets, backend=name))
    )(images)

  got, wanted = gradient(backend), gradient('xla')
  # Of one pixel little but rounding is left.
  allowed = 2e-6 * np.linalg.norm(wanted) + 1e-7 * np.linalg.norm(weights)
  assert np.linalg.norm(got - wanted) <= allowed


@EVERY
def test_a_batch_is_its_images(backend):
  images, targets = pair(2, 16, 14, 3)
  run = jax.jit(lambda x, y: ssim_map(x, y, backend=backend))
  both = run(images, targets)
  np.testing.assert_allclose(both[1], run(images[1], targets[1]), atol=1e-6)
  mapped = jax.vmap(run)(images, targets)
  np.testing.assert_allclose(mapped, both, atol=1e-6)


@EVERY
@pytest.mark.parametrize('shape', [(0, 5, 6, 3), (0, 6, 3)])
def test_nothing_has_an_empty_map(backend, shape):
  images = np.zeros(shape, np.float32)
  assert ssim_map(images, images, backend=backend).shape == shape


def test_errors_say_what_to_do():
  images, targets = pair(8, 8, 3)
  with pytest.raises(ValueError, match=r'one shape .*\(8, 8, 3\)'):
    ssim_map(images, targets[1:])
  with pytest.raises(ValueError, match='unknown backend'):
    ssim_map(images, targets, backend='fast')
