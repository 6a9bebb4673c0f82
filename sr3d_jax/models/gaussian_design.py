"""What may be chosen of the GaussianSR network, and the two ends of it.

The defaults of `Design` are the exact network: closed-form kernels in coarse
pixels, normalised, band-limited to the pixel asked for, a shape of its own for
each pixel, colours without a step anywhere. `RELEASED` is the network as its
authors released it, with its defects (D1 to D13 of the results).
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from flax.core import FrozenDict

from sr3d_jax import kernel_bank
from sr3d_jax.models import encoders

RELEASED = {
  'splat': 'tiles',
  'average': True,
  'centre': 'released',
  'units': 'hr',
  'blend': 'sum',
  'clamp': True,
  'eval_select': 'argmax',
  'noise': True,
  'kappa': 0.0,
  'cubic': -0.75,
  'head': 'grid',
  'skip': False,
  'ensemble': 'none',
}
GREATEST_SHIFT = 2  # coarse px, by which the released centres are off
WORDS = {
  'splat': ('exact', 'tiles'),
  'centre': ('half_pixel', 'released'),
  'units': ('lr', 'hr'),
  'blend': ('norm', 'sum'),
  'head': ('query', 'grid'),
  'ensemble': ('none', 'waves', 'colors'),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
  """What may be chosen; the defaults are the exact network.

  Attributes:
    encoder: section of `encoders.make`.
    num_kernels: shapes in the bank.
    gaussian_channels: of the encoder's, that are splatted; 0: none are.
    width: of the Fourier features.
    hidden: widths of the last network's layers.
    splat: 'exact': the closed form at the true position; 'tiles': as released.
    average: whether all tiles and pictures share their shapes (D1).
    centre: 'half_pixel', or 'released': some pixels off (D2).
    units: of sigma: 'lr', coarse pixels, or 'hr', fine ones times 2.5 (D3).
    blend: 'norm', or 'sum': the weights do not sum to 1 (D5).
    clamp: whether the splatted features are clipped to [0, 1] (D7).
    select: how training chooses shapes, see `kernel_bank.choose`.
    eval_select: how evaluation does; None: as training.
    temperature: of the choice.
    noise: whether a key given to `encode` draws Gumbel noise (D8), which
      training does.
    sigmas: least and greatest standard deviation, px, where units are 'lr'.
    max_rho: greatest correlation there. A needle leaves holes between pixels.
    kappa: how much of the pixel asked for widens the kernels: 1/3 is its
      variance, 0 samples points.
    radius: of the window, px; None: 3 times the greatest sigma, beyond which
      two thousandths at most are left out where units are 'lr'.
    offsets: whether kernels may leave their pixel's centre, by half a pixel.
    cubic: of the bicubic stream, see `sampling.bicubic`.
    head: 'query': features are asked for where the colour is; 'grid': on the
      whole fine grid, where two 3 x 3 convolutions follow.
    skip: whether the picture enlarged by bilinear is added.
    ensemble: what the head blends of the four pixels around: their 'waves',
      their 'colors' at four times the cost, or 'none': the nearest pixel's
      word, which steps where another becomes the nearest.
    dtype: of convolutions and dense layers; None: float32.
  """

  encoder: Mapping[str, Any] = FrozenDict(encoders.PUBLISHED)
  num_kernels: int = 100
  gaussian_channels: int = 8
  width: int = 256
  hidden: tuple[int, ...] = (256, 256, 256, 256)
  splat: str = 'exact'
  average: bool = False
  centre: str = 'half_pixel'
  units: str = 'lr'
  blend: str = 'norm'
  clamp: bool = False
  select: str = 'soft'
  eval_select: str | None = None
  temperature: float = 1.0
  noise: bool = False
  sigmas: tuple[float, float] = (0.3, 1.0)
  max_rho: float = 0.7
  kappa: float = 1 / 3
  radius: int | None = None
  offsets: bool = False
  cubic: float = -0.5
  head: str = 'query'
  skip: bool = True
  ensemble: str = 'waves'
  dtype: str | None = None


def choose(**design: Any) -> Design:
  """Makes a `Design`, whose attributes are the keywords.

  Raises:
    ValueError: no network can be of this design.
  """
  known = [field.name for field in dataclasses.fields(Design)]
  unknown = sorted(set(design) - set(known))
  if unknown:
    raise ValueError(
      f'gaussian_sr knows no {", ".join(unknown)}: choose from '
      f'{", ".join(known)}'
    )
  chosen = Design(**design)
  for option, words in WORDS.items():
    if getattr(chosen, option) not in words:
      raise ValueError(
        f'{option} must be {" or ".join(words)}, got '
        f'{getattr(chosen, option)!r}'
      )
  _check_sizes(chosen)
  return chosen


def window(design: Design) -> int:
  """Radius of what one position sums up, coarse px."""
  radius = design.radius
  if radius is None:
    radius = math.ceil(3 * design.sigmas[1])
  shift = (design.centre == 'released') * GREATEST_SHIFT
  return radius + shift + bool(design.offsets)


def _check_sizes(design: Design) -> None:
  """Raises for numbers and pairs of options that no network can have."""
  channels = encoders.make(**design.encoder).channels
  if len(design.sigmas) != 2:
    raise ValueError(f'sigmas must be two, px, got {design.sigmas}')
  low, high = design.sigmas
  modes = (design.select, design.eval_select or design.select)
  for is_wrong, message in (
    (
      not 0 <= design.gaussian_channels <= channels,
      f"gaussian_channels must be 0 to {channels}, the encoder's, got "
      f'{design.gaussian_channels}',
    ),
    (
      design.width < 2 or design.width % 2,
      f'width must be even, cosines and sines, got {design.width}',
    ),
    (
      design.num_kernels < 1 or design.temperature <= 0,
      'num_kernels must be at least 1 and temperature positive, got '
      f'{design.num_kernels} and {design.temperature}',
    ),
    (
      design.radius is not None
      and (design.radius < 1 or design.radius != int(design.radius)),
      f'radius must be a whole number from 1, or None, got {design.radius}',
    ),
    (
      design.kappa < 0,
      f'kappa must not be negative, got {design.kappa}',
    ),
    (
      not 0 < low < high,
      f'sigmas must be a least and a greater one, px, got {design.sigmas}',
    ),
    (
      not 0 <= design.max_rho < 1,
      f'max_rho must be at least 0 and below 1, got {design.max_rho}',
    ),
    (
      not set(modes) <= set(kernel_bank.MODES),
      f'select and eval_select must be of {", ".join(kernel_bank.MODES)}, got '
      f'{modes}',
    ),
    (
      design.splat == 'tiles' and ('mixture' in modes or design.offsets),
      "splat='tiles' draws one shape a pixel at its centre: leave out "
      "select='mixture' and offsets, or take splat='exact'",
    ),
  ):
    if is_wrong:
      raise ValueError(message)
