"""Predictors of errors whose law is known."""

import numpy as np
import pytest

from sr3d_jax import calibration


def _drawn(seed, weights=(2.0, 0.0)):
  """Predictors [N, 2], and squares of normal errors that they foretell."""
  rng = np.random.default_rng(seed)
  predictors = rng.uniform(size=(4000, len(weights)))
  sigma = 0.02 * np.exp(predictors @ np.array(weights) / 2)
  return predictors, (sigma * rng.normal(size=4000)) ** 2


def test_what_is_foretold_is_calibrated_on_other_pixels():
  coefficients = calibration.fit(*_drawn(0))
  assert coefficients[1:] == pytest.approx([2, 0], abs=0.4)
  predictors, squares = _drawn(1)
  expected = calibration.predict(coefficients, predictors)
  bins = calibration.reliability(expected, squares, num_bins=8)
  assert bins.shape == (8, 2) and (np.diff(bins[:, 0]) > 0).all()
  np.testing.assert_allclose(bins[:, 1] / bins[:, 0], 1, atol=0.25)
  assert calibration.slope(bins) == pytest.approx(1, abs=0.15)


def test_predictors_of_another_law_are_not_calibrated():
  coefficients = calibration.fit(*_drawn(0))
  predictors, squares = _drawn(1, weights=(0.0, 0.0))
  expected = calibration.predict(coefficients, predictors)
  assert (
    abs(calibration.slope(calibration.reliability(expected, squares))) < 0.2
  )


def test_ranks_see_order_alone():
  x = np.array([3.0, 1.0, 2.0, 5.0])
  assert calibration.rank_correlation(x, np.exp(x)) == pytest.approx(1)
  assert calibration.rank_correlation(x, -(x**3)) == pytest.approx(-1)
  assert calibration.rank_correlation(x, np.ones(4)) == 0
  # ties share a rank: 1, 2.5, 2.5, 4 against 1, 2, 3, 4
  tied = calibration.rank_correlation(np.array([0, 1, 1, 2]), np.arange(4))
  assert tied == pytest.approx(4.5 / np.sqrt(4.5 * 5))
