"""Waves whose strength is known."""

import numpy as np
import pytest

from sr3d_jax import spectra

NOISE = np.random.default_rng(0).normal(0.5, 0.1, (120, 96, 3))


def _wave(period, axis=1):
  return 0.1 * np.sin(2 * np.pi * np.indices(NOISE.shape)[axis] / period)


def test_noise_has_no_peak_and_a_wave_one_at_its_period():
  assert spectra.peak(NOISE, 4.0) == pytest.approx(1, abs=0.3)
  for axis in (0, 1):
    waving = NOISE + _wave(4.0, axis)
    assert spectra.peak(waving, 4.0) > 20  # half of it is of the axis without
    assert spectra.peak(waving, 2.5) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize('period', [1.5, 2.0, 49.0])
def test_a_wave_that_no_pixels_hold_is_not_looked_for(period):
  with pytest.raises(ValueError, match=f'more than 2 and .* 48 px.*{period:g}'):
    spectra.peak(NOISE, period)


@pytest.mark.parametrize('cycles', [0.25, 0.5])
def test_a_grating_has_its_own_contrast(cycles):
  stripes = spectra.grating(20, cycles)
  assert stripes.min() == 0.25 and stripes.max() == 0.75
  np.testing.assert_array_equal(stripes[0], stripes[7])
  assert spectra.contrast(stripes, cycles) == pytest.approx(1, abs=1e-6)
  half = 0.5 + (stripes - 0.5) / 2
  assert spectra.contrast(half, cycles) == pytest.approx(0.5, abs=1e-6)


def test_an_amplitude_does_not_depend_on_where_waves_begin():
  columns = np.arange(41)  # no whole number of periods
  for phase in (0.0, 0.7, 2.0):
    wave = 0.5 + 0.1 * np.cos(2 * np.pi * 0.11 * columns + phase)
    picture = np.broadcast_to(wave[:, None], (30, 41, 3))
    assert spectra.contrast(picture, 0.11) == pytest.approx(0.4, abs=1e-6)


def test_only_waves_too_fine_for_the_small_picture_are_fine():
  # at scale 3 the small picture holds periods from 6 px on
  coarse, fine = (
    spectra.fine_energy(0.5 + _wave(period), 3.0) for period in (12.0, 4.0)
  )
  assert fine > 1e4 * coarse
  assert spectra.fine_energy(0.5 + _wave(4.0, axis=0), 3.0) == pytest.approx(
    fine, rel=0.1
  )
  halved = spectra.fine_energy(0.5 + _wave(4.0) / 2, 3.0)
  assert halved == pytest.approx(fine / 4, rel=1e-6)
