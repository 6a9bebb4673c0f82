"""Scores against scikit-image's, which the tables of papers were made with."""

import numpy as np
import pytest

from sr3d_jax import metrics

oracle = pytest.importorskip('skimage.metrics')


def _pair():
  rng = np.random.default_rng(0)
  target = rng.random((40, 48, 3))
  image = np.clip(target + 0.1 * rng.normal(size=target.shape), 0, 1)
  return image.astype(np.float32), target.astype(np.float32)


def test_psnr_is_that_of_scikit_image():
  image, target = _pair()
  expected = oracle.peak_signal_noise_ratio(target, image, data_range=1)
  np.testing.assert_allclose(metrics.psnr(image, target), expected, rtol=1e-6)


def test_ssim_is_that_of_scikit_image_with_the_window_of_its_paper():
  image, target = _pair()
  expected = oracle.structural_similarity(
    target,
    image,
    data_range=1,
    channel_axis=-1,
    gaussian_weights=True,
    sigma=1.5,
    use_sample_covariance=False,
  )
  np.testing.assert_allclose(metrics.ssim(image, target), expected, atol=5e-6)
