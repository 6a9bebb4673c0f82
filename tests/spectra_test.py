"""Waves whose strength is known."""

import numpy as np
import pytest

from sr3d_jax import image, spectra

NOISE = np.random.default_rng(0).normal(0.5, 0.1, (120, 96, 3))


def _wave(period, axis=1):
  return 0.1 * np.sin(2 * np.pi * np.indices(NOISE.shape)[axis] / period)


def _falling(num, size):
  """Noise whose amplitude falls with the frequency, as a photograph's."""
  noise = np.random.default_rng(5).normal(size=(num, size, size, 3))
  away = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
  waves = (
    np.fft.fft2(noise, axes=(1, 2)) / np.maximum(away, 1 / size)[..., None]
  )
  found = np.fft.ifft2(waves, axes=(1, 2)).real
  return 0.5 + 0.15 * found / found.std()


def test_noise_has_no_peak_and_a_wave_one_at_its_period():
  assert spectra.peak(NOISE, 4.0) == pytest.approx(1, abs=0.3)
  for axis in (0, 1):
    waving = NOISE + _wave(4.0, axis)
    assert spectra.peak(waving, 4.0) > 20  # half of it is of the axis without
    assert spectra.peak(waving, 2.5) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize('period', [1.5, 2.0])
def test_a_wave_that_no_pixels_hold_is_not_looked_for(period):
  with pytest.raises(ValueError, match=f'more than 2 px, got .* {period:g}:'):
    spectra.peak(NOISE, period)


@pytest.mark.parametrize(
  'period, least, size',
  [(14.0, 91, 92), (2.5, 60, 61), (2.5, 60, 62), (28.0, 182, 183)],
)
def test_a_period_needs_all_the_bins_around_it(period, least, size):
  assert np.isfinite(spectra.peak(_falling(1, size)[0], period))
  with pytest.raises(ValueError, match=f'more than {least} px, got {least}:'):
    spectra.peak(np.zeros((200, least, 3)), period)


@pytest.mark.parametrize('period', [4.0, 14.0, 28.0])
def test_only_what_the_true_pictures_have_not_rises(period):
  true = _falling(3, 192)
  assert spectra.rise(true, true, period) == 1
  # as an enlargement, which loses what is fine
  blurred = np.asarray(image.gaussian_blur(true.astype(np.float32), 1.0))
  assert spectra.rise(blurred, true, period) == pytest.approx(1, abs=0.2)
  tiles = 0.15 * (np.arange(192) % period < period / 4)
  tiled = blurred + np.add.outer(tiles, tiles)[..., None]
  assert spectra.rise(tiled, true, period) > 3


def test_the_fall_of_the_spectrum_alone_moves_a_peak():
  # what `rise` is there for
  peaks = [spectra.peak(x, 28.0) for x in _falling(3, 192)]
  assert np.mean(peaks) < 0.8


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
