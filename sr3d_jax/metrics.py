"""Scores between images [..., H, W, C], float32 in [0, 1].

One image gives a scalar; a batch gives one value for each image. `weights`
[..., H, W], at least 0, say how far to trust each pixel; None: all count alike.
"""

from collections.abc import Mapping

import dm_pix
import jax.numpy as jnp
import numpy as np

from sr3d_jax import image
from sr3d_jax.types import Array


def psnr(
  images: Array,
  targets: Array,
  weights: Array | None = None,
  *,
  shave: int = 0,
) -> Array:
  """Peak signal-to-noise ratio [...], dB; infinite for equal images.

  -10 log10 of the mean squared error over trusted pixels; NaN where there are
  none.

  Args:
    images: [..., H, W, C].
    targets: as `images`.
    weights: [..., H, W], or None.
    shave: pixels to ignore at each border, customarily the scale.
  """
  _check(images, targets, weights)
  images, targets = (crop(x, shave) for x in (images, targets))
  if weights is None:
    return dm_pix.psnr(images, targets)
  weights = crop(weights[..., None], shave)[..., 0]
  squares = jnp.mean(jnp.square(images - targets), axis=-1)
  total = jnp.sum(weights, axis=(-2, -1))
  return -10 * jnp.log10(jnp.sum(weights * squares, axis=(-2, -1)) / total)


def ssim(images: Array, targets: Array, weights: Array | None = None) -> Array:
  """Mean structural similarity [...], as papers report it.

  11 x 11 Gaussian window of sigma 1.5 at the pixels where it fits (no padding,
  unlike `ssim_map`), K = (0.01, 0.03), mean over RGB. Pixels of weight 0
  are taken from the targets first, so that they spoil no window; they still
  count, as equal.
  """
  _check(images, targets, weights)
  if min(images.shape[-3:-1]) < 11:
    raise ValueError(
      f'ssim needs 11 x 11 pixels at least, got images of {images.shape}'
    )
  if weights is not None:
    images = jnp.where(weights[..., None] > 0, images, targets)
  return dm_pix.ssim(images, targets)


def psnr_y(
  images: Array, targets: Array, *, shave: int, rounded: bool = True
) -> Array:
  """PSNR of the luma [...], dB, by the conventions of super-resolution papers.

  Args:
    images: [..., H, W, 3].
    targets: as `images`.
    shave: pixels to ignore at each border, customarily the scale.
    rounded: whether to 8 bits first, as in EDSR, IMDN and their kin. LIIF and
      what follows it compare floats; its weights of red, green and blue,
      (65.738, 129.057, 25.064) / 256, are ours to five digits.

  Returns:
    [...], dB.
  """
  _check(images, targets)
  return dm_pix.psnr(*_lumas(images, targets, shave, rounded))


def ssim_y(images: Array, targets: Array, *, shave: int) -> Array:
  """Structural similarity [...] of lumas of 8 bits, as papers beside `psnr_y`.

  Args:
    images: [..., H, W, 3].
    targets: as `images`.
    shave: pixels to ignore at each border; 11 x 11 must remain.

  Returns:
    [...], of the window of `ssim`.
  """
  _check(images, targets)
  return ssim(*_lumas(images, targets, shave, rounded=True))


def crop(images: Array, shave: int) -> Array:
  """Takes `shave` pixels off each border of [..., H, W, C]."""
  height, width = images.shape[-3:-1]
  if not 0 <= 2 * shave < min(height, width):
    raise ValueError(
      f'shave must leave some of {height} x {width} pixels, got {shave}'
    )
  return images[..., shave : height - shave, shave : width - shave, :]


def _lumas(
  images: Array, targets: Array, shave: int, rounded: bool
) -> list[Array]:
  pair = [crop(x, shave) for x in (images, targets)]
  if rounded:
    pair = [image.to_float(image.to_uint8(x)) for x in pair]
  return [image.rgb_to_y(x) for x in pair]


def lr_consistency_psnr(
  renders: Array, lr: Array, weights: Array | None = None
) -> Array:
  """PSNR [...], dB, of fine renders, shrunk, against the photos they explain.

  Args:
    renders: [..., sH, sW, 3].
    lr: [..., H, W, 3].
    weights: [..., H, W], of the photos.
  """
  height, width = lr.shape[-3:-1]
  if renders.shape[-3] < height or renders.shape[-2] < width:
    raise ValueError(
      f'renders must be finer than the photos, got {renders.shape} for '
      f'{lr.shape}: are the arguments swapped?'
    )
  return psnr(image.resize(renders, height, width), lr, weights)


def means(rows: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
  """Averages each score over the images that have it.

  Args:
    rows: {image: {score: value}}.

  Returns:
    {score: mean}, in the order in which scores first appear.
  """
  keys = dict.fromkeys(key for row in rows.values() for key in row)
  return {
    key: float(np.mean([row[key] for row in rows.values() if key in row]))
    for key in keys
  }


def bootstrap_interval(
  differences: np.ndarray,
  *,
  level: float = 0.95,
  num_resamples: int = 10_000,
  seed: int = 0,
) -> tuple[float, float]:
  """Says how far a mean over images might move with other images.

  The percentile bootstrap (Efron & Tibshirani 1993, 13.3): images are drawn
  anew with replacement, and the middle of the means is taken.

  Args:
    differences: [I] of two methods, image by image.
    level: share of the resampled means that the interval holds.
    num_resamples: how often.
    seed: of the draws.

  Returns:
    The ends of the interval.
  """
  values = np.asarray(differences, np.float64)
  if values.ndim != 1 or not values.size or not np.isfinite(values).all():
    raise ValueError(
      'differences must be one finite number for each image, got '
      f'{values.shape} with {np.isfinite(values).sum()} finite ones'
    )
  rng = np.random.default_rng(seed)
  drawn = rng.integers(values.size, size=(num_resamples, values.size))
  tail = (1 - level) / 2
  low, high = np.quantile(values[drawn].mean(axis=1), [tail, 1 - tail])
  return float(low), float(high)


def _check(images: Array, targets: Array, weights: Array | None = None) -> None:
  if images.shape != targets.shape:
    raise ValueError(
      f'images and targets must have the same shape, got {images.shape} and '
      f'{targets.shape}: resize or crop one of them first'
    )
  if weights is not None and weights.shape != targets.shape[:-1]:
    raise ValueError(
      f'weights must be {targets.shape[:-1]}, one for each pixel, got '
      f'{weights.shape}'
    )
  for x in (images, targets):
    if not jnp.issubdtype(x.dtype, jnp.floating):
      raise ValueError(
        f'images must be float in [0, 1], got {x.dtype}: use image.to_float'
      )
