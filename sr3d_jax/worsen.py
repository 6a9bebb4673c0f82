"""Makes low resolution as cameras, software and the web do, for blind SR.

The model of Real-ESRGAN (Wang et al. 2021, arXiv 2107.10833): blur, resize,
noise and JPEG, twice, then ringing, with the chances and ranges of its
published training. Pictures are [H, W, 3] float32 in [0, 1] on the host; chance
comes from a NumPy generator.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import signal, sparse

from sr3d_jax import blur_kernels, image
from sr3d_jax.blur_kernels import Ranges


class Order(NamedTuple):
  """What one round of blur, resize, noise and JPEG draws from.

  A pair is the least and the greatest of a uniform distribution.

  Attributes:
    blur_chance: of blurring at all.
    blurs: their kernels.
    resize_chances: of enlarging, of shrinking and of neither.
    factors: by how much, from the least to 1 or from 1 to the greatest.
    is_antialiased: whether shrinking widens bilinear and bicubic kernels.
    gaussian_chance: that noise is Gaussian, and not Poisson's.
    deviations: of Gaussian noise, of 255.
    poisson_strengths: by which Poisson's noise is multiplied.
    grey_chance: that all channels get the same noise.
    qualities: of the JPEG, of 100; both may come.
  """

  blur_chance: float = 1.0
  blurs: Ranges = Ranges()
  resize_chances: tuple[float, float, float] = (0.2, 0.7, 0.1)
  factors: tuple[float, float] = (0.15, 1.5)
  is_antialiased: bool = False
  gaussian_chance: float = 0.5
  deviations: tuple[float, float] = (1.0, 30.0)
  poisson_strengths: tuple[float, float] = (0.05, 3.0)
  grey_chance: float = 0.4
  qualities: tuple[int, int] = (30, 95)


FIRST = Order()
SECOND = Order(
  blur_chance=0.8,
  blurs=Ranges(sigmas=(0.2, 1.5)),
  resize_chances=(0.3, 0.4, 0.3),
  factors=(0.3, 1.2),
  deviations=(1.0, 25.0),
  poisson_strengths=(0.05, 2.5),
)
# StableSR's ranges (Wang et al. 2023, arXiv 2305.07015): the blur of its first
# order, since it comes before shrinking, and the noise and JPEG of its second.
LIGHT = Order(
  blurs=Ranges(0.0, (0.2, 1.5), (0.5, 2.0), (1.0, 1.5)),
  resize_chances=(0.0, 0.0, 1.0),
  is_antialiased=True,
  deviations=(1.0, 12.0),
  poisson_strengths=(0.05, 1.0),
  qualities=(60, 100),
)

LAST_SINC_CHANCE = 0.8
METHODS = ('area', 'bilinear', 'bicubic_torch')
PHOTONS = 256
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def real(
  rng: np.random.Generator, levels: np.ndarray, height: int, width: int
) -> np.ndarray:
  """Real-ESRGAN's two orders, the last JPEG and ringing in random order.

  Args:
    rng: of all that is drawn.
    levels: [H, W, 3] uint8.
    height: of the result.
    width: of the result.

  Returns:
    [height, width, 3] uint8.
  """
  picture = worsen(rng, to_float(levels), *levels.shape[:2], FIRST)
  picture = compress(picture, _quality(rng, FIRST))
  picture = worsen(rng, picture, height, width, SECOND)
  quality = _quality(rng, SECOND)
  if rng.random() < 0.5:
    picture = compress(_ring(rng, picture, height, width), quality)
  else:
    picture = _ring(rng, compress(picture, quality), height, width)
  return to_levels(picture)


def light(
  rng: np.random.Generator, levels: np.ndarray, height: int, width: int
) -> np.ndarray:
  """One mild order, antialiased, at the size of the result; see `real`."""
  picture = worsen(rng, to_float(levels), height, width, LIGHT)
  return to_levels(compress(picture, _quality(rng, LIGHT)))


def worsen(
  rng: np.random.Generator,
  picture: np.ndarray,
  height: int,
  width: int,
  order: Order,
) -> np.ndarray:
  """Blurs, resizes to a random factor of height x width, and adds noise."""
  if rng.random() < order.blur_chance:
    picture = blur(picture, blur_kernels.draw(rng, order.blurs))
  factor = draw_factor(rng, order)
  size = (max(1, round(factor * x)) for x in (height, width))
  picture = resize(picture, *size, rng.choice(METHODS), order.is_antialiased)
  is_grey = rng.random() < order.grey_chance
  if rng.random() < order.gaussian_chance:
    return add_gaussian(rng, picture, rng.uniform(*order.deviations), is_grey)
  return add_poisson(
    rng, picture, rng.uniform(*order.poisson_strengths), is_grey
  )


def draw_factor(rng: np.random.Generator, order: Order) -> float:
  """By how much a picture is enlarged, shrunk or neither."""
  low, high = order.factors
  ranges = ((1.0, high), (low, 1.0), (1.0, 1.0))
  return rng.uniform(*ranges[rng.choice(3, p=order.resize_chances)])


def blur(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
  """Convolves each channel with [n, n]; the border is a mirror."""
  radius = len(kernel) // 2
  widths = ((radius, radius), (radius, radius), (0, 0))
  padded = np.pad(picture, widths, 'reflect')
  return signal.fftconvolve(
    padded, kernel[..., None], mode='valid', axes=(0, 1)
  )


def resize(
  picture: np.ndarray, height: int, width: int, method: str, antialias: bool
) -> np.ndarray:
  """Resizes as `image.resize` does, on the host.

  Each size is new, and would be compiled for. Few weights are not 0, and sparse
  products leave the other cores to the loop that waits for the batch.
  """
  rows, columns = (
    sparse.csr_array(image.resize_weights(old, new, method, antialias))
    for old, new in zip(picture.shape, (height, width))
  )
  tall = _mix(rows, picture)
  return _mix(columns, tall.swapaxes(0, 1)).swapaxes(0, 1)


def add_gaussian(
  rng: np.random.Generator, picture: np.ndarray, deviation: float, is_grey: bool
) -> np.ndarray:
  """Adds noise of a standard deviation of 255; clips."""
  shape = (*picture.shape[:2], 1 if is_grey else 3)
  noise = rng.standard_normal(shape, np.float32)
  return np.clip(picture + np.float32(deviation / 255) * noise, 0, 1)


def add_poisson(
  rng: np.random.Generator, picture: np.ndarray, strength: float, is_grey: bool
) -> np.ndarray:
  """Adds a multiple of the noise of counting photons; clips.

  White is as many photons as there are levels. The published code counts the
  levels of a crop, nearly always that many in its large ones; in a small crop
  of the sky a few would drown it.
  """
  mean = np.clip(picture @ LUMA[:, None] if is_grey else picture, 0, 1)
  noise = (rng.poisson(PHOTONS * mean) / PHOTONS).astype(np.float32) - mean
  return np.clip(picture + np.float32(strength) * noise, 0, 1)


def compress(picture: np.ndarray, quality: int) -> np.ndarray:
  """What a JPEG of the picture shows."""
  file = io.BytesIO()
  Image.fromarray(to_levels(picture)).save(file, format='JPEG', quality=quality)
  return to_float(np.asarray(Image.open(file)))


def to_levels(picture: np.ndarray) -> np.ndarray:
  """Clips to [0, 1] and rounds to uint8, as `image.to_uint8` on the host."""
  return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def to_float(levels: np.ndarray) -> np.ndarray:
  """Maps uint8 to float32 in [0, 1]."""
  return levels.astype(np.float32) / 255


def _mix(weights: sparse.csr_array, picture: np.ndarray) -> np.ndarray:
  """New rows [h, W, 3], of the weights [h, H] each."""
  mixed = weights @ picture.reshape(len(picture), -1)
  return mixed.reshape(len(mixed), *picture.shape[1:])


def _ring(rng, picture, height, width):
  """Brings the picture to its last size; mostly sharpens it until it rings."""
  picture = resize(picture, height, width, rng.choice(METHODS), False)
  if rng.random() >= LAST_SINC_CHANCE:
    return picture
  return blur(picture, blur_kernels.draw_sinc(rng))


def _quality(rng, order: Order) -> int:
  return int(rng.integers(order.qualities[0], order.qualities[1] + 1))
