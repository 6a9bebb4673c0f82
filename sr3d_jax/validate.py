"""Scores a field network on crops that are the same in every run.

Random validation crops scatter by a quarter of a decibel, and what is compared
here differs by hundredths. All crops have one size, so that a scale compiles
once.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from sr3d_jax import fields, image, metrics, textures
from sr3d_jax.degrade import frozen_pairs
from sr3d_jax.io import images as image_files
from sr3d_jax.io import paths
from sr3d_jax.types import FieldNetwork, Params

Upsampler = Callable[[np.ndarray, int, int, float], np.ndarray]
DRAWINGS = 'drawn:'  # begins the roots that need no files


def crops(
  *, roots: Iterable[str], size: int, most: int | None = None
) -> list[np.ndarray]:
  """Cuts the middle out of every photograph that is large enough.

  Args:
    roots: folders, absolute or below the data folder, and the drawings
      'drawn:text' and 'drawn:charts'.
    size: of the squares, px.
    most: of each folder, in the order of names; None: all. Of a drawing there
      are as many as this, by default one.

  Returns:
    [size, size, 3] float32 in [0, 1] each.
  """
  squares = []
  for root in roots:
    if root.startswith(DRAWINGS):
      squares += _drawn(root.removeprefix(DRAWINGS), size, most or 1)
      continue
    files = image_files.list_images(paths.data_path(root))
    photos = (image_files.load(file)[..., :3] for file in files)
    large = (p for p in photos if min(p.shape[:2]) >= size)
    squares += [_middle(p, size) for p in itertools.islice(large, most)]
  if not squares:
    raise ValueError(
      f'no photograph in {tuple(roots)} is {size} px wide and high: give '
      'others or a smaller size'
    )
  return squares


def by_bicubic(
  lr: np.ndarray, height: int, width: int, scale: float
) -> np.ndarray:
  """Enlarges as every network has to do better."""
  del scale
  return np.asarray(image.resize(lr, height, width), np.float32)


def by_network(network: FieldNetwork, params: Params) -> Upsampler:
  """Enlarges with a network."""
  return lambda lr, height, width, scale: fields.enlarge(
    network, params, lr, height, width, scale=scale
  )


def psnr(
  upsample: Upsampler,
  squares: Iterable[np.ndarray],
  scale: float,
  *,
  shrinker: str = 'pillow',
) -> list[float]:
  """PSNR of RGB of each square, dB, without a border of the scale.

  Args:
    upsample: (lr [h, w, 3], height, width, scale) -> [height, width, 3].
    squares: [H, W, 3] in [0, 1] each.
    scale: of the enlargement.
    shrinker: what makes the low resolution, see `degrade`.
  """
  border = int(np.ceil(scale))
  scores = []
  for lr, hr in frozen_pairs(squares, scale, shrinker=shrinker):
    found = np.clip(upsample(lr, *hr.shape[:2], scale), 0, 1)
    scores.append(float(metrics.psnr(found, hr, shave=border)))
  return scores


def _drawn(word: str, size: int, most: int) -> list[np.ndarray]:
  """Pages of print or charts, no two alike, the same in every run."""
  rng, sides = np.random.default_rng(0), [size + 16 * i for i in range(most)]
  if word == 'text':
    wholes = [
      textures.page(rng, (n, n), title='Field', line_height=max(8, n // 14))
      for n in sides
    ]
  elif word == 'charts':
    wholes = [textures.chart((n, n)) for n in sides]
  else:
    raise ValueError(f'unknown drawing {word!r}: choose from text, charts')
  return [x[:size, :size].astype(np.float32) / 255 for x in wholes]


def _middle(photo: np.ndarray, size: int) -> np.ndarray:
  top, left = ((n - size) // 2 for n in photo.shape[:2])
  return photo[top : top + size, left : left + size]


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
  """Mean and standard deviation over seeds; 0 for one seed."""
  spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
  return float(np.mean(values)), float(spread)
