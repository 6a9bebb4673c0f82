"""Scores against hand arithmetic, and one value for each image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sr3d_kernels.ssim import ssim_map

from sr3d_jax import image, metrics


def _pair(*shape):
  rng = np.random.default_rng(0)
  targets = rng.random(shape)
  images = np.clip(targets + 0.1 * rng.normal(size=shape), 0, 1)
  return images.astype(np.float32), targets.astype(np.float32)


def test_psnr_of_a_constant_error_is_known():
  targets = jnp.full((2, 8, 8, 3), 0.5)
  images = targets.at[0].add(0.1).at[1].add(-0.01)
  np.testing.assert_allclose(metrics.psnr(images, targets), [20, 40], rtol=1e-5)
  assert metrics.psnr(targets[0], targets[0]) == np.inf


def test_only_trusted_pixels_count():
  images, targets = _pair(2, 16, 18, 3)
  weights = np.ones((2, 16, 18), np.float32)
  weights[..., 14:] = 0
  inner = metrics.psnr(images[..., :14, :], targets[..., :14, :])
  np.testing.assert_allclose(
    metrics.psnr(images, targets, weights), inner, rtol=1e-5
  )
  everywhere = np.ones_like(weights)
  for score in (metrics.psnr, metrics.ssim, metrics.lr_consistency_psnr):
    np.testing.assert_allclose(
      score(images, targets, everywhere), score(images, targets), rtol=1e-5
    )
    spoilt = images.copy()
    spoilt[..., 14:, :] = 0
    np.testing.assert_array_equal(
      score(spoilt, targets, weights), score(images, targets, weights)
    )
  assert np.isnan(metrics.psnr(images, targets, 0 * weights)).all()
  with pytest.raises(ValueError, match='one for each pixel'):
    metrics.psnr(images, targets, weights[..., None])


def test_a_shaved_border_counts_for_nothing():
  images, targets = _pair(2, 16, 18, 3)
  weights = np.random.default_rng(1).random((2, 16, 18), np.float32)
  inside = (..., slice(3, -3), slice(3, -3))
  np.testing.assert_allclose(
    metrics.psnr(images, targets, weights, shave=3),
    metrics.psnr(*(x[*inside, :] for x in (images, targets)), weights[inside]),
    rtol=1e-6,
  )
  spoilt = images.copy()
  spoilt[:, :2] = spoilt[:, :, -2:] = 0
  np.testing.assert_array_equal(
    metrics.psnr(spoilt, targets, shave=2),
    metrics.psnr(images, targets, shave=2),
  )
  assert (metrics.psnr(spoilt, targets, shave=1) < 20).all()


def test_a_mean_is_over_the_images_that_have_the_score():
  rows = {'a': {}, 'b': {'psnr': 20.0}, 'c': {'psnr': 30.0, 'ssim': 0.5}}
  assert metrics.means(rows) == {'psnr': 25.0, 'ssim': 0.5}
  assert metrics.means({}) == {}


@pytest.mark.parametrize(
  'score',
  [
    jax.jit(metrics.psnr),
    jax.jit(metrics.ssim),
    jax.jit(metrics.lr_consistency_psnr),
    jax.jit(lambda a, b: metrics.psnr_y(a, b, shave=2)),
    jax.jit(lambda a, b: metrics.ssim_y(a, b, shave=2)),
  ],
)
def test_a_row_alone_scores_as_in_a_batch(score):
  images, targets = _pair(3, 16, 18, 3)
  scores = score(images, targets)
  assert scores.shape == (3,)
  np.testing.assert_allclose(score(images[2], targets[2]), scores[2], rtol=1e-5)


def test_ssim_is_the_inner_part_of_the_ssim_map():
  images, targets = _pair(24, 30, 3)
  inner = ssim_map(images, targets)[5:-5, 5:-5]
  np.testing.assert_allclose(
    metrics.ssim(images, targets), inner.mean(), rtol=1e-5
  )
  np.testing.assert_allclose(metrics.ssim(images, images), 1, rtol=1e-5)


def test_psnr_y_ignores_the_border_and_rounds():
  targets = jnp.full((12, 12, 3), 100 / 255)
  images = targets.at[2:-2, 2:-2, 1].add(10.3 / 255).at[:2].set(1.0)
  # Green counts 128.553 / 255; the 0.3 of a level is rounded away.
  expected = -20 * np.log10(128.553 / 255 * 10 / 255)
  np.testing.assert_allclose(
    metrics.psnr_y(images, targets, shave=2), expected, rtol=1e-5
  )


def test_psnr_y_of_floats_rounds_nothing():
  targets = jnp.full((12, 12, 3), 100 / 255)
  images = targets.at[2:-2, 2:-2, 1].add(10.3 / 255).at[:2].set(1.0)
  # LIIF's weight of green, of the difference of RGB
  expected = -20 * np.log10(129.057 / 256 * 10.3 / 255)
  np.testing.assert_allclose(
    metrics.psnr_y(images, targets, shave=2, rounded=False), expected, rtol=1e-5
  )


def test_ssim_y_is_that_of_the_inner_luma():
  images, targets = _pair(20, 24, 3)
  inner = [
    image.rgb_to_y(image.to_float(image.to_uint8(x[3:-3, 3:-3])))
    for x in (images, targets)
  ]
  np.testing.assert_allclose(
    metrics.ssim_y(images, targets, shave=3), metrics.ssim(*inner), rtol=1e-5
  )
  with pytest.raises(ValueError, match='11 x 11'):
    metrics.ssim_y(images, targets, shave=5)


def test_an_interval_of_many_images_is_the_normal_one():
  rng = np.random.default_rng(1)
  values = 0.3 + 0.1 * rng.normal(size=400)
  low, high = metrics.bootstrap_interval(values)
  half = 1.96 * values.std() / 20
  # 10,000 resamples know a quantile's place to about two per cent of half
  np.testing.assert_allclose(low, values.mean() - half, atol=0.1 * half)
  np.testing.assert_allclose(high, values.mean() + half, atol=0.1 * half)
  assert metrics.bootstrap_interval(values) == (low, high)
  assert metrics.bootstrap_interval(np.array([0.5, 0.5])) == (0.5, 0.5)
  with pytest.raises(ValueError, match='one finite number'):
    metrics.bootstrap_interval(np.array([0.5, np.inf]))


def test_a_render_that_shrinks_to_the_photo_is_consistent():
  fine = image.gaussian_blur(_pair(32, 40, 3)[0], 2.0)
  photo = image.shrink(fine, 4)
  assert metrics.lr_consistency_psnr(fine, photo) > 80
  shifted = jnp.roll(fine, 4, axis=1)
  assert metrics.lr_consistency_psnr(shifted, photo) < 40


def test_errors_say_what_came():
  images, targets = _pair(16, 18, 3)
  with pytest.raises(ValueError, match='same shape'):
    metrics.psnr(images, targets[:8])
  with pytest.raises(ValueError, match='11 x 11'):
    metrics.ssim(images[:8], targets[:8])
  with pytest.raises(ValueError, match='shave must leave'):
    metrics.psnr_y(images, targets, shave=8)
  with pytest.raises(ValueError, match='swapped'):
    metrics.lr_consistency_psnr(images[:8], targets)
  with pytest.raises(ValueError, match='float'):
    metrics.psnr(image.to_uint8(images), image.to_uint8(targets))
