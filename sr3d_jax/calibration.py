"""Whether a network errs where it says that it may.

Predictors are what a network tells of each pixel without the truth; squares are
the squared errors there.
"""

import numpy as np


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
  """Spearman's, -1 to 1, of two [N]; 0 where one of them does not vary."""
  ranks = [_ranks(values) for values in (x, y)]
  if min(np.ptp(values) for values in ranks) == 0:
    return 0.0
  return float(np.corrcoef(*ranks)[0, 1])


def fit(predictors: np.ndarray, squares: np.ndarray) -> np.ndarray:
  """Fits squares ~ exp(b0 + b . predictors) by least squares of logarithms.

  Args:
    predictors: [N, P].
    squares: [N], at least 0.

  Returns:
    [P + 1]: b0, such that the means agree, then b.
  """
  # An error of a tenth of a level of 8 bits is none.
  logs = np.log(np.maximum(squares, (0.1 / 255) ** 2))
  center = predictors.mean(axis=0)
  slopes = np.linalg.lstsq(predictors - center, logs - logs.mean(), rcond=None)
  bare = np.concatenate([[0.0], slopes[0]])
  bare[0] = np.log(squares.mean() / predict(bare, predictors).mean())
  return bare


def predict(coefficients: np.ndarray, predictors: np.ndarray) -> np.ndarray:
  """The squares [N] that `fit`'s coefficients expect."""
  return np.exp(coefficients[0] + predictors @ coefficients[1:])


def reliability(
  expected: np.ndarray, squares: np.ndarray, *, num_bins: int = 10
) -> np.ndarray:
  """Means over equally many pixels each, by what was expected of them.

  Args:
    expected: [N].
    squares: [N] that were found.
    num_bins: of the table.

  Returns:
    [num_bins, 2] mean expected and mean found squares, rising in the first.
  """
  order = np.argsort(expected, kind='stable')
  parts = np.array_split(order, num_bins)
  return np.array([[expected[p].mean(), squares[p].mean()] for p in parts])


def slope(bins: np.ndarray) -> float:
  """Of log found over log expected squares: 1 is calibrated, 0 is blind."""
  expected, found = np.log(bins).T
  return float(np.polyfit(expected, found, 1)[0])


def _ranks(values: np.ndarray) -> np.ndarray:
  """Places in order; equal values share the mean of theirs."""
  _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
  return (np.cumsum(counts) - (counts - 1) / 2)[which]
