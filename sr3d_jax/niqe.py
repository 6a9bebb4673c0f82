"""NIQE: how far a picture's local statistics are from those of good photos.

Mittal, Soundararajan & Bovik 2013, "Making a 'Completely Blind' Image Quality
Analyzer". It sees no truth, and less is better. What is computed is what the
published tables computed, whose habits differ from the paper's text: the luma
is that of YIQ in whole levels, no border is cut, every block counts, and the
second scale is MATLAB's antialiased bicubic half of the first.

Float64 on the host: it inverts a covariance, and no gradient is wanted.
"""

import numpy as np
from scipy import ndimage, special

BLOCK = 96  # px of a block's side; what is left over right and below is cut
_LUMA = np.array([0.299, 0.587, 0.114])  # of YIQ
_TAPS = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
_TAPS /= _TAPS.sum()
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (rows, columns)
_FLAT = 1e-9  # what rounding leaves of a coefficient where all is of one level

# r(a) = G(2/a)^2 / (G(1/a) G(3/a)) of each shape a that is tried; it rises.
_SHAPES = np.linspace(0.2, 10, 9801)
_RATIOS = np.exp(
  2 * special.gammaln(2 / _SHAPES)
  - special.gammaln(1 / _SHAPES)
  - special.gammaln(3 / _SHAPES)
)


def niqe(
  images: np.ndarray, mean: np.ndarray, covariance: np.ndarray
) -> np.ndarray:
  """Distance [...] of pictures from the model of pristine ones (eq. 10).

  D = sqrt((m - n)^T ((S + T) / 2)^+ (m - n)) of the means and covariances of
  the blocks' features. It depends on the size in pixels: compare like with
  like.

  Args:
    images: [..., H, W, 3] in [0, 1]; two blocks of 96 x 96 px must fit.
    mean: [36] of pristine photographs.
    covariance: [36, 36] of them.

  Returns:
    [...]; NaN where fewer than two blocks have any texture.
  """
  images = np.asarray(images)
  _check(images.shape, mean, covariance)
  pictures = images.reshape(-1, *images.shape[-3:])
  scores = [_score(picture, mean, covariance) for picture in pictures]
  return np.reshape(scores, images.shape[:-3])


def check_size(height: int, width: int) -> None:
  """Raises where a picture is too small for a covariance of its blocks."""
  if (height // BLOCK) * (width // BLOCK) < 2:
    raise ValueError(
      f'niqe needs two blocks of {BLOCK} x {BLOCK} pixels at least, got '
      f'pictures of {height} x {width} (rows x columns): leave it out of the '
      'measures, or measure finer pictures'
    )


def features(levels: np.ndarray) -> np.ndarray:
  """Describes each block of a luma by 18 numbers at each of two scales.

  Args:
    levels: [H, W] in [0, 255].

  Returns:
    [blocks, 36]; NaN in a block that has no texture.
  """
  height, width = (size // BLOCK * BLOCK for size in levels.shape)
  levels = levels[:height, :width].astype(np.float64)
  fine = _describe(_blocks(normalised(levels), BLOCK))
  half = _halve_rows(_halve_rows(levels).T).T
  coarse = _describe(_blocks(normalised(half), BLOCK // 2))
  return np.concatenate([fine, coarse], axis=-1)


def normalised(levels: np.ndarray) -> np.ndarray:
  """Mean-subtracted, contrast-normalised coefficients [H, W] (eq. 1).

  (I - m) / (s + 1) of the mean m and deviation s under a Gaussian window of
  7 x 7 and sigma 7/6; the border pixels go on.
  """
  mean = _smooth(levels)
  deviation = np.sqrt(np.abs(_smooth(levels**2) - mean**2))
  coefficients = (levels - mean) / (deviation + 1)
  return np.where(np.abs(coefficients) < _FLAT, 0, coefficients)


def _score(
  picture: np.ndarray, mean: np.ndarray, covariance: np.ndarray
) -> float:
  levels = np.round(picture.astype(np.float64) @ _LUMA * 255)
  rows = features(levels)
  rows = rows[np.isfinite(rows).all(axis=-1)]
  if len(rows) < 2:
    return np.nan
  away = rows.mean(axis=0) - mean.ravel()
  inverse = np.linalg.pinv((np.cov(rows, rowvar=False) + covariance) / 2)
  return float(np.sqrt(away @ inverse @ away))


def _smooth(x: np.ndarray) -> np.ndarray:
  for axis in (0, 1):
    x = ndimage.correlate1d(x, _TAPS, axis, mode='nearest')
  return x


def _halve_rows(x: np.ndarray) -> np.ndarray:
  """Bicubic [H, W] -> [H / 2, W]: Keys a = -1/2, twice as wide, mirrored."""
  t = np.abs(np.arange(-3.5, 4)) / 2
  near = (1.5 * t - 2.5) * t**2 + 1
  far = ((2.5 - 0.5 * t) * t - 4) * t + 2
  taps = np.where(t < 1, near, far) / 2
  padded = np.pad(x, ((3, 3), (0, 0)), 'symmetric')
  return sum(tap * padded[k : k + len(x) : 2] for k, tap in enumerate(taps))


def _blocks(x: np.ndarray, side: int) -> np.ndarray:
  """[H, W] -> [blocks, side, side]."""
  height, width = x.shape
  x = x.reshape(height // side, side, width // side, side)
  return x.swapaxes(1, 2).reshape(-1, side, side)


def _describe(blocks: np.ndarray) -> np.ndarray:
  """[blocks, 18]: how coefficients and products of neighbours spread.

  Of the coefficients the shape and the mean width; of the products with each
  of four neighbours the shape, the mean (eq. 8) and the two widths.
  """
  shape, left, right = _fit(blocks)
  columns = [shape, (left + right) / 2]
  for shift in _NEIGHBOURS:
    # Around the block: its border is compared with the opposite one.
    shape, left, right = _fit(blocks * np.roll(blocks, shift, axis=(1, 2)))
    gammas = special.gammaln(2 / shape) - special.gammaln(1 / shape)
    columns += [shape, (right - left) * np.exp(gammas), left, right]
  return np.stack(columns, axis=-1)


def _fit(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Fits asymmetric generalised Gaussians by moments (Lasmar et al. 2009).

  Args:
    x: [blocks, h, w].

  Returns:
    Shape, left and right width, [blocks]; NaN where a side has no value.
  """
  with np.errstate(invalid='ignore', divide='ignore'):
    left, right = (
      np.sqrt(np.sum(x**2 * side, axis=(1, 2)) / np.sum(side, axis=(1, 2)))
      for side in (x < 0, x > 0)
    )
    skew = left / right
    ratio = np.mean(np.abs(x), axis=(1, 2)) ** 2 / np.mean(x**2, axis=(1, 2))
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
  shape = np.where(np.isnan(ratio), np.nan, _shape(ratio))
  width = np.exp((special.gammaln(1 / shape) - special.gammaln(3 / shape)) / 2)
  return shape, left * width, right * width


def _shape(ratio: np.ndarray) -> np.ndarray:
  """The shape of the table whose ratio is nearest."""
  after = np.clip(np.searchsorted(_RATIOS, ratio), 1, len(_RATIOS) - 1)
  is_before = ratio - _RATIOS[after - 1] <= _RATIOS[after] - ratio
  return _SHAPES[np.where(is_before, after - 1, after)]


def _check(
  shape: tuple[int, ...], mean: np.ndarray, covariance: np.ndarray
) -> None:
  if len(shape) < 3 or shape[-1] != 3:
    raise ValueError(f'niqe wants pictures [..., H, W, 3], got {shape}')
  check_size(*shape[-3:-1])
  if mean.size != 36 or covariance.shape != (36, 36):
    raise ValueError(
      'niqe compares 36 features, got a mean of '
      f'{mean.shape} and a covariance of {covariance.shape}'
    )
