"""Enlarges one picture of any kind: of 8 or 16 bits, transparent or opaque.

Colours come part by part and are kept as the levels of a file. From
`fields.parts` of a network with a halo they come in bounded memory: only the
levels, and the transparency, grow with the picture. A prior that is no field,
as the published networks of one factor are, makes the picture in one part
(`by_prior`), and its memory grows with it.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from sr3d_jax import image
from sr3d_jax.fields import Part
from sr3d_jax.io.images import MAX_PIXELS, to_levels
from sr3d_jax.types import Params, SRPrior, Views

_EXHAUSTED = 'RESOURCE_EXHAUSTED'  # as XLA says that memory is


def target_size(
  height: int, width: int, scale: float, size: tuple[int, int] | None
) -> tuple[int, int]:
  """The height and width that a picture is to have.

  Args:
    height: it has, px.
    width: likewise.
    scale: at least 1.
    size: (height, width) instead, px; the factors may differ.

  Raises:
    ValueError: it would be smaller than it is, or larger than `MAX_PIXELS`.
  """
  rows, columns = size or (scale * height, scale * width)
  if rows < height or columns < width:
    raise ValueError(
      f'size {rows},{columns} is less than its own, {height},{width} '
      '(height, width): a prior enlarges'
    )
  if rows * columns > MAX_PIXELS:
    largest = math.sqrt(MAX_PIXELS / (height * width))
    raise ValueError(
      f'{columns:,.0f} x {rows:,.0f} px would be '
      f'{rows * columns / 1e6:,.0f} megapixels, and at most '
      f'{MAX_PIXELS / 1e6:,.0f} are made: scale '
      f'{math.floor(100 * largest) / 100:.2f} is the largest for its '
      f'{width} x {height} px'
    )
  return round(rows), round(columns)


def picture(
  ask: Callable[[np.ndarray, int, int], Iterable[Part]],
  pixels: np.ndarray,
  height: int,
  width: int,
  bits: int = 8,
) -> np.ndarray:
  """Enlarges a picture; its transparency by bicubic.

  Args:
    ask: (colors [h, w, 3], height, width) -> parts of [height, width, 3].
    pixels: [h, w, 3 or 4] in [0, 1], with straight alpha.
    height: of the result, px.
    width: likewise.
    bits: of a channel, 8 or 16.

  Returns:
    [height, width, 3 or 4] uint8 or uint16, the levels of a file.

  Raises:
    ValueError: there is too little memory.
    FloatingPointError: the colours are not finite.
  """
  shape = (height, width, pixels.shape[-1])
  try:
    colors = fill_hidden(pixels)[..., :3]
    levels = gather(ask(colors, height, width), shape, bits)
    if shape[-1] == 4:
      alpha = image.resize(jnp.asarray(pixels[..., 3:]), height, width)
      levels[..., 3:] = to_levels(alpha, bits)
  except (MemoryError, jax.errors.JaxRuntimeError) as error:
    if not isinstance(error, MemoryError) and _EXHAUSTED not in str(error):
      raise
    raise ValueError(
      f'too little memory for {width} x {height} px: choose a smaller scale'
    ) from error
  return levels


def by_prior(
  prior: SRPrior, params: Params, colors: np.ndarray, height: int, width: int
) -> Iterator[Part]:
  """Enlarges [h, w, 3] to [height, width, 3], in one part.

  The prior sees the picture whole, so its memory is not bounded. It enlarges by
  its own scale; where that gives another size, the result is then resized.
  """
  key = jax.random.key(0)
  views = Views(images=jnp.asarray(colors[None]), cameras=None)
  state = prior.begin(params, key, views)
  for i in range(prior.num_steps):
    state, enlarged = prior.step(params, jax.random.fold_in(key, i), state, i)
  if enlarged.shape[1:3] != (height, width):
    enlarged = image.resize(enlarged, height, width)
  yield Part(slice(height), slice(width), np.asarray(enlarged[0]))


def fill_hidden(pixels: np.ndarray) -> np.ndarray:
  """Gives pixels of no opacity the colour of the nearest that is seen.

  Whatever colour they had would fringe the edges of what is enlarged.

  Args:
    pixels: [h, w, 3 or 4], with straight alpha.

  Returns:
    The same, if nothing is hidden or everything is.
  """
  hidden = pixels[..., 3:] == 0
  if not hidden.any() or hidden.all():
    return pixels
  rows, columns = ndimage.distance_transform_edt(
    hidden[..., 0], return_distances=False, return_indices=True
  )
  colors = pixels[rows, columns, :3]
  return np.concatenate([colors, pixels[..., 3:]], axis=-1)


def gather(
  parts: Iterable[Part], shape: tuple[int, int, int], bits: int
) -> np.ndarray:
  """Puts colours together as the levels of a file, which are all that is kept.

  Args:
    parts: of the picture, as they come.
    shape: (height, width, channels), of which the first three are filled.
    bits: of a channel, 8 or 16.

  Returns:
    [height, width, channels] uint8 or uint16.
  """
  levels = np.empty(shape, np.uint16 if bits == 16 else np.uint8)
  for rows, columns, colors in parts:
    if not np.isfinite(colors).all():
      raise FloatingPointError(
        'the network gave values that are not finite: its weights are broken, '
        'or not those of this config'
      )
    levels[rows, columns, :3] = to_levels(colors, bits)
  return levels
