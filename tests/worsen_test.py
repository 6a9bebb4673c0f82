"""Worsened pictures stay where they were, by chance alone, within bounds."""

import io

import numpy as np
import pytest
from PIL import Image

from sr3d_jax import blur_kernels, image, worsen
from sr3d_jax.degrade import shrink_levels

PIPELINES = (worsen.real, worsen.light)


def _noise(height, width):
  rng = np.random.default_rng(0)
  return rng.integers(256, size=(height, width, 3)).astype(np.uint8)


def _soft(size):
  """Smooth colours with an edge, as photographs have, [size, size, 3] uint8."""
  rows, columns = np.mgrid[:size, :size] / size
  waves = np.stack([rows, columns, np.sin(9 * rows * columns)], axis=-1)
  waves[columns > 0.6] *= 0.5
  return worsen.to_levels(0.1 + 0.8 * np.abs(waves))


@pytest.mark.parametrize('pipeline', PIPELINES)
def test_the_generator_decides_all_and_the_size_is_as_asked(pipeline):
  levels = _noise(41, 30)
  for shape in ((10, 7), (41, 30), (1, 2)):
    first, again, other = (
      pipeline(np.random.default_rng(seed), levels, *shape)
      for seed in (5, 5, 6)
    )
    assert first.shape == (*shape, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
  np.testing.assert_array_equal(levels, _noise(41, 30))  # was not written on


@pytest.mark.parametrize('pipeline', PIPELINES)
def test_pictures_stay_where_they_were(pipeline):
  """A bright blob, off the middle: on average nothing pulls to one side."""
  rows, columns = np.mgrid[:96, :96]
  blob = np.exp(-((rows - 39.5) ** 2 + (columns - 59.5) ** 2) / 200)
  levels = worsen.to_levels(np.repeat(blob[..., None], 3, axis=-1))
  rng = np.random.default_rng(0)
  small = np.mean([pipeline(rng, levels, 24, 24) for _ in range(40)], axis=0)
  weights = np.maximum(small.mean(axis=-1) - 25, 0)  # above noise that clips
  centre = [
    np.sum(weights * at) / np.sum(weights) for at in np.mgrid[:24, :24] + 0.5
  ]
  np.testing.assert_allclose(centre, [10, 15], atol=0.12)


def test_light_is_worse_than_clean_and_better_than_real():
  rng = np.random.default_rng(0)
  levels = _soft(64)
  clean = shrink_levels(levels, 32, 32).astype(float)
  errors = [
    [np.std(pipeline(rng, levels, 32, 32) - clean) for _ in range(24)]
    for pipeline in PIPELINES
  ]
  real, light = (np.median(e) for e in errors)
  assert 1 < light < 0.7 * real < 40
  assert np.ptp(errors[0]) > 2 * np.ptp(errors[1])


def test_blur_and_resize_keep_a_constant_and_the_border_is_a_mirror():
  rng = np.random.default_rng(0)
  flat = np.full((20, 13, 3), 0.4, np.float32)
  for _ in range(20):
    kernel = blur_kernels.draw(rng, blur_kernels.Ranges(sinc_chance=0.5))
    blurred = worsen.blur(flat, kernel)
    assert blurred.shape == flat.shape and blurred.dtype == np.float32
    np.testing.assert_allclose(blurred, flat, atol=1e-5)
  for method in worsen.METHODS:
    for shape in ((7, 30), (1, 1)):
      resized = worsen.resize(flat, *shape, method, False)
      assert resized.shape == (*shape, 3)
      np.testing.assert_allclose(resized, 0.4, atol=1e-6)


def test_blur_equals_the_sum_that_defines_it():
  picture = worsen.to_float(_noise(9, 8))
  kernel = blur_kernels.gaussian(7, (1.0, 2.5), 0.4)
  padded = np.pad(picture, ((3, 3), (3, 3), (0, 0)), 'reflect')
  wanted = sum(
    kernel[i, j] * padded[i : i + 9, j : j + 8]
    for i in range(7)
    for j in range(7)
  )
  np.testing.assert_allclose(worsen.blur(picture, kernel), wanted, atol=1e-5)


@pytest.mark.parametrize('antialias', [True, False])
@pytest.mark.parametrize('method', worsen.METHODS)
def test_resizing_on_the_host_equals_image_s(method, antialias):
  picture = worsen.to_float(_noise(11, 8))
  found = worsen.resize(picture, 5, 13, method, antialias)
  wanted = image.resize(picture, 5, 13, method=method, antialias=antialias)
  np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_noise_is_as_strong_as_told_and_grey_where_told():
  rng = np.random.default_rng(0)
  flat = np.full((80, 80, 3), 0.25, np.float32)
  # Poisson: of a mean of 0.25 in 256 photons, 8 photons, which is 1 / 32.
  for add, strength, wanted in (
    (worsen.add_gaussian, 10.0, 10 / 255),
    (worsen.add_poisson, 2.0, 2 / 32),
  ):
    for is_grey in (False, True):
      noise = add(rng, flat, strength, is_grey) - flat
      assert abs(noise.mean()) < 0.1 * wanted
      np.testing.assert_allclose(noise.std(), wanted, rtol=0.05)
      assert np.allclose(noise[..., 0], noise[..., 2], atol=1e-6) == is_grey
  bright = worsen.add_gaussian(rng, np.ones((9, 9, 3), np.float32), 30, False)
  assert bright.max() == 1
  black = np.zeros((9, 9, 3), np.float32)
  np.testing.assert_array_equal(worsen.add_poisson(rng, black, 3, False), black)


def test_factors_are_drawn_as_often_and_as_large_as_published():
  rng = np.random.default_rng(0)
  for order in (worsen.FIRST, worsen.SECOND):
    factors = np.array([worsen.draw_factor(rng, order) for _ in range(2000)])
    found = [(factors > 1).mean(), (factors < 1).mean(), (factors == 1).mean()]
    np.testing.assert_allclose(found, order.resize_chances, atol=0.04)
    np.testing.assert_allclose(
      (factors.min(), factors.max()), order.factors, atol=0.02
    )
  assert worsen.draw_factor(rng, worsen.LIGHT) == 1


def test_compression_is_jpeg_s_and_costs_more_at_lower_quality():
  picture = worsen.to_float(_soft(24))
  file = io.BytesIO()
  Image.fromarray(_soft(24)).save(file, format='JPEG', quality=40)
  found = worsen.to_levels(worsen.compress(picture, 40))
  np.testing.assert_array_equal(found, np.asarray(Image.open(file)))
  errors = [np.std(worsen.compress(picture, q) - picture) for q in (95, 60, 30)]
  assert errors == sorted(errors) and 0 < errors[0] < errors[2] < 0.1
