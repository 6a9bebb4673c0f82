"""Blur kernels weigh all light once, shift nothing and are as wide as told."""

import numpy as np
import pytest

from sr3d_jax import blur_kernels
from sr3d_jax.blur_kernels import Ranges

RINGING = Ranges(sinc_chance=1.0)
SMOOTH = Ranges(sinc_chance=0.0)


def _spreads(kernel):
  """Variances along columns and rows, and their covariance, px²."""
  rows, columns = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
  return [np.sum(kernel * x) for x in (columns**2, rows**2, columns * rows)]


@pytest.mark.parametrize('ranges', [SMOOTH, RINGING])
def test_all_kernels_sum_to_one_and_survive_half_a_turn(ranges):
  rng = np.random.default_rng(0)
  sizes = set()
  for _ in range(200):
    kernel = blur_kernels.draw(rng, ranges)
    assert kernel.dtype == np.float32 and kernel.shape == (len(kernel),) * 2
    assert np.isclose(kernel.sum(), 1, atol=1e-5)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-7)
    assert kernel.max() == kernel[len(kernel) // 2, len(kernel) // 2]
    assert (kernel.min() < 0) == (ranges is RINGING)
    sizes.add(len(kernel))
  assert sizes == set(blur_kernels.SIZES)


def test_a_gaussian_has_the_covariance_that_it_is_told():
  """Σ = R diag(σ²) Rᵀ: a swapped axis or a wrong sign of the angle shows."""
  kernel = blur_kernels.gaussian(41, (4.0, 1.5), np.pi / 6)
  turn = np.array([[np.sqrt(3), -1], [1, np.sqrt(3)]]) / 2
  wanted = turn @ np.diag([16, 2.25]) @ turn.T
  np.testing.assert_allclose(
    _spreads(kernel), [wanted[0, 0], wanted[1, 1], wanted[0, 1]], rtol=1e-3
  )


def test_powers_make_tails_and_flat_tops():
  def of(shape, power):
    return getattr(blur_kernels, shape)(21, (2.0, 2.0), 0.0, power)[10]

  for power in (0.5, 1.0, 4.0):
    gaussian, plateau = (of(shape, power) for shape in ('gaussian', 'plateau'))
    # At a standard deviation, d = 1 whatever the power.
    np.testing.assert_allclose(gaussian[12] / gaussian[10], np.exp(-0.5))
    np.testing.assert_allclose(plateau[12] / plateau[10], 0.5, rtol=1e-6)
  assert of('gaussian', 0.5)[20] > of('gaussian', 1.0)[20] > 0
  flat = of('plateau', 4.0)
  assert flat[11] > 0.99 * flat[10] and flat[13] < 0.05 * flat[10]


def test_a_wide_sinc_passes_low_frequencies_and_stops_high_ones():
  cutoff = np.pi / 2
  gains = np.abs(np.fft.fft2(blur_kernels.sinc(101, cutoff), (404, 404)))[0]
  frequencies = 2 * np.pi * np.arange(404) / 404
  low, high = frequencies < 0.8 * cutoff, frequencies > 1.2 * cutoff
  np.testing.assert_allclose(gains[low], 1, atol=0.06)
  assert gains[high & (frequencies < np.pi)].max() < 0.06


def test_widths_and_cutoffs_stay_in_their_ranges():
  rng = np.random.default_rng(1)
  narrow = Ranges(0.0, (0.3, 0.8), (1.0, 1.0), (1.0, 1.0))
  wide = Ranges(0.0, (2.0, 3.0), (1.0, 1.0), (1.0, 1.0))
  peaks = {
    ranges: [blur_kernels.draw(rng, ranges).max() for _ in range(60)]
    for ranges in (narrow, wide)
  }
  assert min(peaks[narrow]) > 0.1 and max(peaks[wide]) < 0.08
  # The peak of a sinc grows with its cutoff, which is never below π / 3.
  least = blur_kernels.sinc(21, np.pi / 3).max()
  peaks = [blur_kernels.draw_sinc(rng).max() for _ in range(60)]
  assert min(peaks) > 0.9 * least


@pytest.mark.parametrize('size', [0, 8])
def test_a_size_that_would_shift_the_picture_is_refused(size):
  with pytest.raises(ValueError, match=f'odd and positive, got {size}'):
    blur_kernels.sinc(size, 1.0)
