"""Image files: 8 or 16 bits in, float32 in [0, 1], channels last."""

import os
import pathlib

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = ('.png', '.jpg', '.jpeg')


def list_images(folder: str | os.PathLike) -> list[pathlib.Path]:
  """Paths of the PNG and JPEG files of a folder, sorted by name."""
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise FileNotFoundError(f'{folder} is not a folder of images')
  found = [
    path
    for path in folder.iterdir()
    if path.suffix.lower() in SUFFIXES and not path.name.startswith('.')
  ]
  if not found:
    raise FileNotFoundError(f'{folder} holds no {", ".join(SUFFIXES)} files')
  return sorted(found)


def load(path: str | os.PathLike) -> np.ndarray:
  """Reads a PNG or JPEG the way it should be looked at.

  The EXIF orientation is applied, grey becomes RGB and a palette is resolved.
  Grey pictures keep 16 bits; of 16-bit colour Pillow reads the upper 8.

  Args:
    path: a file.

  Returns:
    [H, W, 3] float32 in [0, 1], or [H, W, 4] with straight alpha where the
    file has transparency.
  """
  try:
    with Image.open(path) as image:
      image.load()
      return _to_array(ImageOps.exif_transpose(image))
  except FileNotFoundError:
    raise
  except (OSError, SyntaxError, Image.DecompressionBombError) as error:
    # Pillow reports a broken PNG chunk as a SyntaxError.
    raise ValueError(f'{path} is not a readable image: {error}') from error


def save(path: str | os.PathLike, image: np.ndarray) -> None:
  """Writes an image as 8 bits, whole or not at all.

  Args:
    path: a .png (lossless) or .jpg file; its folder is made if need be.
    image: [H, W, 3] or [H, W, 4] float in [0, 1], clipped, or uint8.
  """
  path = pathlib.Path(path)
  if path.suffix.lower() not in SUFFIXES:
    raise ValueError(f'{path} should end in one of {", ".join(SUFFIXES)}')
  image = np.asarray(image)
  if image.ndim != 3 or image.shape[-1] not in (3, 4):
    raise ValueError(f'an image is [H, W, 3] or [H, W, 4], got {image.shape}')
  if image.dtype != np.uint8:
    if not np.isfinite(image).all():
      raise ValueError(f'{path} was to hold an image that is not finite')
    image = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f'.{os.getpid()}.{path.name}')
  try:
    Image.fromarray(image).save(partial, quality=95)
    os.replace(partial, path)
  finally:
    partial.unlink(missing_ok=True)


def _to_array(image: Image.Image) -> np.ndarray:
  """[H, W, 3 or 4] float32 of any Pillow image."""
  if image.mode.startswith('I'):
    grey = np.asarray(image).astype(np.float32) / 65535
    return np.repeat(grey[..., None], 3, axis=-1)
  mode = 'RGBA' if image.has_transparency_data else 'RGB'
  return np.asarray(image.convert(mode), np.float32) / 255
