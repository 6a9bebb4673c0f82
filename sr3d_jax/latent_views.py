"""A latent diffusion model over any number of pictures of any size.

Pictures are enlarged, padded and, where the autoencoder could not hold them,
cut into patches; latents are cut into tiles where the denoiser knows one size
only. Patches and tiles of all pictures form flat batches, see `batched`, so
each network is compiled once. What goes in and comes out is the host's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from sr3d_jax import color_fix, image, latent_tiles
from sr3d_jax.backproject import back_project
from sr3d_jax.batched import in_batches
from sr3d_jax.types import Array, LatentDiffusion

FIXES = {
  'none': lambda content, style: content,
  'wavelet': color_fix.wavelet,
  'adain': color_fix.adain,
}


class LatentViews(NamedTuple):
  """The parts of sampling; P patches, as many as pictures V if all are whole.

  Sides of pictures H W are those of the result, sides of patches are multiples
  of the autoencoder's factor.
  """

  enlarge: Callable  # (photos [V, h, w, 3])      -> patches [P, H', W', 3]
  cut: Callable  # (images [V, H, W, 3])          -> patches
  encode: Callable  # (params, patches)           -> (mean, std), features
  latents: Callable  # (params, patches)          -> (mean, std)
  estimate: Callable  # (params, x [P, ...], t [], coarse [P, ...]) -> latents
  show: Callable  # (params, latents, features, coarse patches, photos,
  #                 fidelity) -> images [V, H, W, 3] in [0, 1]


def make(
  model: LatentDiffusion,
  *,
  scale: float,
  tile: int | None = None,
  overlap: int = 0,
  patch: int | None = None,
  color: str = 'wavelet',
  back_projections: int = 0,
  is_published: bool = False,
  rows_per_device: int = 1,
) -> LatentViews:
  """Makes the parts.

  Args:
    model: the networks.
    scale: of the enlargement.
    tile: side of the squares of latents that the denoiser sees; None: all of a
      patch.
    overlap: of neighbouring tiles, at least.
    patch: largest side of a picture that the autoencoder sees, px; None: any.
    color: one of `FIXES`, what gives the result the coarse picture's colours.
    back_projections: steps of `backproject` on each result.
    is_published: pads and blends as 3DSR's code does: to multiples of 32, both
      sides if either must, and with windows half a pixel off centre.
    rows_per_device: patches or tiles that a device holds at a time.
  """
  if color not in FIXES:
    raise ValueError(f'color must be one of {", ".join(FIXES)}, got {color!r}')
  enlarge_all, encode, latents, estimate, decode, finish = (
    in_batches(call, rows_per_device=rows_per_device)
    for call in (
      lambda params, photos: image.enlarge(
        photos, scale, method='bicubic_torch'
      ),
      model.encode,
      lambda params, images: model.encode(params, images)[0],
      model.estimate,
      lambda params, latents, features, coarse, fidelity: FIXES[color](
        model.decode(params, latents, features, fidelity), coarse
      ),
      lambda params, images, photos: jnp.clip(
        back_project(images, photos, num_steps=back_projections), 0, 1
      ),
    )
  )

  def cut(images):
    padded = _pad(images, model.factor, tile, is_published)
    return _cut(padded, *_patches(padded.shape[1:3], patch))

  def enlarge(photos):
    return cut(np.clip(enlarge_all({}, photos), 0, 1))

  def estimate_tiles(params, x, t, coarse):
    size = x.shape[1:3]
    corners = np.zeros((1, 2), int)
    side = size
    if tile is not None:
      corners, side = latent_tiles.offsets(size, tile, overlap), (tile, tile)
    tiles = _cut(x, corners, side), _cut(coarse, corners, side)
    times = np.full(len(tiles[0]), t)
    found = estimate(params, tiles[0], times, tiles[1])
    return _blend(found, corners, side, size, is_published)

  def show(params, latents, features, coarse, photos, fidelity):
    weights = np.full((len(latents), 1, 1, 1), fidelity, np.float32)
    images = decode(params, latents, features, coarse, weights)
    height, width = (round(scale * side) for side in photos.shape[1:3])
    size = _padded((height, width), model.factor, tile, is_published)
    corners, side = _patches(size, patch)
    images = _blend(
      images, corners, side, size, is_published, patch if is_published else None
    )
    return finish({}, images[:, :height, :width], photos)

  return LatentViews(enlarge, cut, encode, latents, estimate_tiles, show)


def _padded(
  size: tuple[int, int], factor: int, tile: int | None, is_published: bool
) -> tuple[int, int]:
  """Sides after padding: multiples of `factor`, and no less than a tile."""
  if is_published:
    if tile and min(size) < tile * factor:
      raise ValueError(
        f'the result of {size[0]} x {size[1]} px is below a tile of '
        f'{tile * factor} px: published code would enlarge more than it is '
        'asked to, set is_published=False to pad it'
      )
    return image.ragged_size(size, 32, grow_both=True)
  least = factor * (tile or 1)
  return tuple(max(side, least) for side in image.ragged_size(size, factor))


def _pad(
  images: Array, factor: int, tile: int | None, is_published: bool
) -> np.ndarray:
  """Reflects pictures below and on the right, more than once if need be."""
  old = images.shape[1:3]
  new = _padded(old, factor, tile, is_published)
  pad = [(0, b - a) for a, b in zip(old, new)]
  return np.pad(np.asarray(images), [(0, 0), *pad, (0, 0)], mode='reflect')


def _patches(
  size: tuple[int, int], patch: int | None
) -> tuple[np.ndarray, tuple[int, int]]:
  """Corners and (height, width) of the patches of a picture."""
  if patch is None or max(size) <= patch:
    return np.zeros((1, 2), int), size
  overlap = round(patch * 280 / 1280)  # as published
  return latent_tiles.pixel_tiles(size, patch, overlap)


def _cut(images: Any, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """Tiles of pictures [B, H, W, C], as [B n, h, w, C] on the host."""
  return np.asarray(latent_tiles.cut(images, corners, size))


def _blend(
  tiles: np.ndarray,
  corners: np.ndarray,
  side: tuple[int, int],
  size: tuple[int, int],
  is_published: bool,
  full: int | None = None,
) -> np.ndarray:
  """Undoes `_cut`; what was not cut comes back as it is.

  `full` is the side whose window also serves for shorter tiles, as published.
  """
  if len(corners) == 1:
    return tiles
  weights = latent_tiles.window(full or side, is_symmetric=not is_published)
  return np.asarray(latent_tiles.blend(tiles, corners, size, weights))
