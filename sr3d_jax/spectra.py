"""Waves in pictures: a lattice that shows, a grating that fades, fine detail.

Pictures are [H, W, 3]; a period is in their px, counted along rows and along
columns alike.
"""

from collections.abc import Sequence

import numpy as np

LEAK = 3  # bins beside a peak that a Hann window spreads it over


def check_period(size: int, period: float) -> None:
  """Raises where pictures lack some of the bins that `peak` looks at."""
  if period <= 2:
    raise ValueError(
      f'pixels hold waves of more than 2 px, got a period of {period:g}: look '
      'for a longer one'
    )
  least = max((2 * LEAK + 0.5) * period, 2 * LEAK / (0.5 - 1 / period))
  if size <= least:
    raise ValueError(
      f'to tell a period of {period:g} px from those around it, a picture must '
      f'have more than {least:.4g} px, got {size}: give larger ones'
    )


def rise(
  found: Sequence[np.ndarray], true: Sequence[np.ndarray], period: float
) -> float:
  """How much more a period stands out of pictures than of the true ones.

  The power of photographs falls with the frequency, and walls repeat: what
  stands out of the true pictures is nobody's fault.

  Returns:
    Geometric mean of `peak` by that of the true picture. 1: as it should be;
    a pattern of that period that the true ones have not makes it greater.
  """
  ratios = [peak(x, period) / peak(y, period) for x, y in zip(found, true)]
  return float(np.exp(np.mean(np.log(ratios))))


def peak(picture: np.ndarray, period: float) -> float:
  """Spectral power at a period by the geometric mean of that beside it.

  1 in noise whose power is even; more, or less, where the power falls.
  """
  check_period(min(picture.shape[:2]), period)
  grey = picture.mean(axis=-1)
  ratios = []
  for rows in (grey, grey.T):
    # The window would spread the mean over the first bins.
    rows = rows - rows.mean(axis=1, keepdims=True)
    waves = np.fft.rfft(rows * np.hanning(rows.shape[1]), axis=1)
    power = np.mean(np.abs(waves) ** 2, axis=0)
    place = round(rows.shape[1] / period)
    away = np.arange(LEAK, 2 * LEAK + 1)
    around = np.concatenate([place - away, place + away])
    ratios.append(power[place] / np.exp(np.mean(np.log(power[around]))))
  return float(np.mean(ratios))


def grating(size: int, cycles: float) -> np.ndarray:
  """Grey stripes, [size, size, 3]: 1/2 + 1/4 cos(2 pi cycles column)."""
  wave = 0.5 + 0.25 * np.cos(2 * np.pi * cycles * np.arange(size))
  return np.broadcast_to(wave[:, None], (size, size, 3)).astype(np.float32)


def contrast(picture: np.ndarray, cycles: float) -> float:
  """How strong a grating's stripes are in its enlargement; 1: as they were.

  Args:
    picture: of stripes, enlarged; the middle half counts.
    cycles: of the stripes a px of this picture.

  Returns:
    The amplitude of the wave that fits best, by that of `grating`.
  """
  column = np.arange(picture.shape[1])
  column = column[len(column) // 4 : -(len(column) // 4)]
  middle = picture[picture.shape[0] // 4 : -(picture.shape[0] // 4), column]
  angle = 2 * np.pi * cycles * column
  waves = np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], axis=-1)
  fitted = np.linalg.lstsq(waves, middle.mean(axis=(0, 2)), rcond=None)[0]
  return float(np.hypot(*fitted[:2]) / 0.25)


def fine_energy(picture: np.ndarray, scale: float) -> float:
  """Energy of the waves that a picture `scale` times as small cannot hold."""
  grey = picture.mean(axis=-1)
  window = np.outer(*(np.hanning(n) for n in grey.shape))
  power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
  rows, columns = (np.abs(np.fft.fftfreq(n)) > 0.5 / scale for n in grey.shape)
  return float(power[rows[:, None] | columns].sum())
