"""Kernels [n, n] of the blurs that photographs suffer; each sums to 1.

Those of Real-ESRGAN (Wang et al. 2021, arXiv 2107.10833, sections 3.1 and 3.4),
with the chances and ranges of its published training. A kernel is the same when
turned by half a turn, so that correlating with it and convolving are one. Made
on the host, by NumPy and its generators.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

SIZES = tuple(range(7, 22, 2))
SHAPES = ('gaussian', 'generalised', 'plateau')
SHAPE_CHANCES = (0.70, 0.15, 0.15)
# That one of these is round, and not an ellipse.
ROUND_CHANCES = {'gaussian': 9 / 14, 'generalised': 0.8, 'plateau': 0.8}

LOW_CUTOFF = np.pi / 3  # of a sinc that may be of any size
WIDE, WIDE_LOW_CUTOFF = 13, np.pi / 5  # which kernels of 13 px have room for


class Ranges(NamedTuple):
  """What random kernels are drawn from.

  A pair is the least and the greatest of a uniform distribution.

  Attributes:
    sinc_chance: that a kernel is a sinc.
    sigmas: standard deviations of the others, px.
    gaussian_powers: β of generalised Gaussians; half of them are below 1.
    plateau_powers: β of plateaus; likewise, where that is in the range.
  """

  sinc_chance: float = 0.1
  sigmas: tuple[float, float] = (0.2, 3.0)
  gaussian_powers: tuple[float, float] = (0.5, 4.0)
  plateau_powers: tuple[float, float] = (1.0, 2.0)


def draw(rng: np.random.Generator, ranges: Ranges) -> np.ndarray:
  """A kernel [n, n] of random shape, size, width, angle and power."""
  size = int(rng.choice(SIZES))
  if rng.random() < ranges.sinc_chance:
    low = LOW_CUTOFF if size < WIDE else WIDE_LOW_CUTOFF
    return sinc(size, rng.uniform(low, np.pi))
  shape = rng.choice(SHAPES, p=SHAPE_CHANCES)
  sigmas, angle = rng.uniform(*ranges.sigmas, 2), rng.uniform(-np.pi, np.pi)
  if rng.random() < ROUND_CHANCES[shape]:
    sigmas = sigmas[[0, 0]]
  if shape == 'gaussian':
    return gaussian(size, sigmas, angle)
  if shape == 'generalised':
    return gaussian(size, sigmas, angle, _power(rng, *ranges.gaussian_powers))
  return plateau(size, sigmas, angle, _power(rng, *ranges.plateau_powers))


def draw_sinc(rng: np.random.Generator) -> np.ndarray:
  """A sinc [n, n] of random size and cutoff, none of them low."""
  size = int(rng.choice(SIZES))
  return sinc(size, rng.uniform(LOW_CUTOFF, np.pi))


def _power(rng: np.random.Generator, low: float, high: float) -> float:
  """Half of the powers are at most 1."""
  return rng.uniform(low, 1.0) if rng.random() < 0.5 else rng.uniform(1.0, high)


def gaussian(
  size: int, sigmas: tuple[float, float], angle: float, power: float = 1.0
) -> np.ndarray:
  """Generalised Gaussian, exp(-d^β / 2) of the squared distance d = xᵀ Σ⁻¹ x.

  Args:
    size: n, odd.
    sigmas: standard deviations along the axes of the ellipse, px.
    angle: of the first axis, from the columns towards the rows.
    power: β; 1 is the Gaussian, less has longer tails, more is flatter.

  Returns:
    [n, n] float32.
  """
  return _normalised(np.exp(-0.5 * _distances(size, sigmas, angle) ** power))


def plateau(
  size: int, sigmas: tuple[float, float], angle: float, power: float = 1.0
) -> np.ndarray:
  """1 / (1 + d^β), flatter in its middle than the Gaussian; see `gaussian`."""
  return _normalised(1 / (1 + _distances(size, sigmas, angle) ** power))


def sinc(size: int, cutoff: float) -> np.ndarray:
  """Ideal low pass, cut off by the square, which rings as sharpening does.

  ω J₁(ω r) / (2 π r), where J₁ is the Bessel function of the first kind.

  Args:
    size: n, odd.
    cutoff: ω, radians per px; at π what the pixels can hold along an axis.

  Returns:
    [n, n] float32, partly negative.
  """
  columns, rows = _grid(size)
  radii = np.hypot(rows, columns)
  radii[size // 2, size // 2] = 1  # of which nothing is kept
  kernel = cutoff * special.j1(cutoff * radii) / (2 * np.pi * radii)
  kernel[size // 2, size // 2] = cutoff**2 / (4 * np.pi)  # the limit
  return _normalised(kernel)


def _distances(
  size: int, sigmas: tuple[float, float], angle: float
) -> np.ndarray:
  """Squared distances [n, n] from the centre, in standard deviations."""
  columns, rows = _grid(size)
  along = np.cos(angle) * columns + np.sin(angle) * rows
  across = np.cos(angle) * rows - np.sin(angle) * columns
  return (along / sigmas[0]) ** 2 + (across / sigmas[1]) ** 2


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
  """Columns and rows [n, n], counted from the middle pixel."""
  if size < 1 or size % 2 == 0:
    raise ValueError(
      f'size must be odd and positive, got {size}: another would shift what it '
      'blurs'
    )
  offsets = np.arange(size) - size // 2.0
  return np.meshgrid(offsets, offsets)


def _normalised(kernel: np.ndarray) -> np.ndarray:
  return (kernel / kernel.sum()).astype(np.float32)
