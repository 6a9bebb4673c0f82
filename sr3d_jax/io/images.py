"""Image files: 8 or 16 bits in, float32 in [0, 1], channels last."""

import contextlib
import io
import os
import pathlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np
from PIL import ExifTags, Image

from sr3d_jax.files import write_whole

SUFFIXES = ('.png', '.jpg', '.jpeg')

# What no longer holds for pixels that stand upright and are more or fewer.
_STALE = (
  ExifTags.Base.Orientation,
  ExifTags.Base.ImageWidth,
  ExifTags.Base.ImageLength,
)
_STALE_IN_EXIF = (
  ExifTags.Base.ExifImageWidth,
  ExifTags.Base.ExifImageHeight,
)


class Metadata(NamedTuple):
  """What a picture's file says beside its pixels.

  Attributes:
    bits: of each channel, 8 or 16.
    exif: when, where and with which camera; nothing about size or orientation.
    icc_profile: what its red, green and blue mean; empty for sRGB.
  """

  bits: int = 8
  exif: bytes = b''
  icc_profile: bytes = b''


PLAIN = Metadata()


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

  Args:
    path: a file.

  Returns:
    [H, W, 3] float32 in [0, 1], or [H, W, 4] with straight alpha where the
    file has transparency.
  """
  with _open(path) as image:
    channels = 4 if image.has_transparency_data else 3
    if _bits(path) == 16:
      levels = _decode_deep(path)[..., :channels]
    else:
      levels = np.asarray(image.convert('RGBA' if channels == 4 else 'RGB'))
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    peak = np.float32(np.iinfo(levels.dtype).max)
    return _turn_upright(levels, orientation) / peak


def load_metadata(path: str | os.PathLike) -> Metadata:
  """Reads what `load` leaves out, for the picture that is made of it.

  A profile of grey or CMYK means nothing to RGB: it is left out with a warning.
  """
  with _open(path) as image:
    exif = image.getexif()
    for tag in _STALE:
      exif.pop(tag, None)
    if ExifTags.IFD.Exif in exif:  # which asking for it would add
      details = exif.get_ifd(ExifTags.IFD.Exif)
      for tag in _STALE_IN_EXIF:
        details.pop(tag, None)
    profile = image.info.get('icc_profile') or b''
    space = profile[16:20].decode('latin-1').strip()
    if profile and space != 'RGB':
      warnings.warn(f'{path}: its {space} profile is left out', stacklevel=2)
      profile = b''
    return Metadata(
      bits=_bits(path),
      exif=exif.tobytes() if len(exif) else b'',
      icc_profile=profile,
    )


def check_target(
  path: str | os.PathLike, channels: int, metadata: Metadata = PLAIN
) -> None:
  """Raises where a file of this name could not hold such an image."""
  suffix = pathlib.Path(path).suffix.lower()
  if suffix not in SUFFIXES:
    raise ValueError(f'{path} should end in one of {", ".join(SUFFIXES)}')
  if suffix != '.png' and channels == 4:
    raise ValueError(f'{path} cannot hold transparency: write a .png')
  if suffix != '.png' and metadata.bits == 16:
    raise ValueError(f'{path} cannot hold 16 bits a channel: write a .png')


def save(
  path: str | os.PathLike, image: np.ndarray, metadata: Metadata = PLAIN
) -> None:
  """Writes an image, whole or not at all.

  Args:
    path: a .png (lossless) or .jpg file; its folder is made if need be.
    image: [H, W, 3] or [H, W, 4] float in [0, 1], clipped, or uint8.
    metadata: bits to write and what to say beside the pixels.
  """
  path = pathlib.Path(path)
  image = np.asarray(image)
  if image.ndim != 3 or image.shape[-1] not in (3, 4):
    raise ValueError(f'an image is [H, W, 3] or [H, W, 4], got {image.shape}')
  check_target(path, image.shape[-1], metadata)
  if image.dtype == np.uint8:
    image = image / np.float32(255)
  if not np.isfinite(image).all():
    raise ValueError(f'{path} was to hold an image that is not finite')
  levels = np.round((2**metadata.bits - 1) * np.clip(image, 0, 1))
  path.parent.mkdir(parents=True, exist_ok=True)
  if metadata.bits == 16:
    data = _encode_deep(levels, metadata)
  else:
    data = _encode(levels, metadata, path.suffix.lower())
  write_whole(path, data)


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[Image.Image]:
  """A Pillow image whose pixels are known to be readable."""
  try:
    with Image.open(path) as image:
      image.load()
      yield image
  except FileNotFoundError:
    raise
  except (OSError, SyntaxError, Image.DecompressionBombError) as error:
    # Pillow reports a broken PNG chunk as a SyntaxError.
    raise ValueError(f'{path} is not a readable image: {error}') from error


def _bits(path: str | os.PathLike) -> int:
  """Bits that a channel needs: 16 where a PNG's header says so."""
  with open(path, 'rb') as file:
    header = file.read(25)
  return 16 if header[:4] == b'\x89PNG' and header[24] == 16 else 8


def _decode_deep(path: str | os.PathLike) -> np.ndarray:
  """[H, W, 4] uint16 of a 16-bit PNG, of whose colours Pillow reads 8 bits."""
  codec = av.CodecContext.create('png', 'r')
  (frame,) = codec.decode(av.Packet(pathlib.Path(path).read_bytes()))
  return frame.to_ndarray(format='rgba64le')


def _encode(levels: np.ndarray, metadata: Metadata, suffix: str) -> bytes:
  """An 8-bit PNG or JPEG of [H, W, 3 or 4] levels."""
  buffer = io.BytesIO()
  Image.fromarray(levels.astype(np.uint8)).save(
    buffer,
    format='PNG' if suffix == '.png' else 'JPEG',
    quality=95,
    exif=metadata.exif,
    icc_profile=metadata.icc_profile,
  )
  return buffer.getvalue()


def _encode_deep(levels: np.ndarray, metadata: Metadata) -> bytes:
  """A 16-bit PNG, which Pillow cannot write, of [H, W, 3 or 4] levels."""
  height, width, channels = levels.shape
  rows = np.ascontiguousarray(levels, '>u2').view(np.uint8)
  rows = rows.reshape(height, -1)
  rows = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
  rows = np.pad(
    rows, ((0, 0), (1, 0)), constant_values=2
  )  # "less the row above"
  color_type = {3: 2, 4: 6}[channels]
  header = struct.pack('>2I5B', width, height, 16, color_type, 0, 0, 0)
  chunks = {b'IHDR': header}
  if metadata.icc_profile:
    chunks[b'iCCP'] = b'ICC Profile\0\0' + zlib.compress(metadata.icc_profile)
  if metadata.exif:
    chunks[b'eXIf'] = metadata.exif.removeprefix(b'Exif\0\0')
  chunks |= {b'IDAT': zlib.compress(rows.tobytes()), b'IEND': b''}
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    struct.pack('>I', len(data)) + kind + data
    + struct.pack('>I', zlib.crc32(kind + data))
    for kind, data in chunks.items()
  )  # fmt: skip


def _turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
  """Undoes an EXIF orientation, 1 to 8, of [H, W, C]."""
  if orientation in (5, 6, 7, 8):
    pixels = pixels.swapaxes(0, 1)
  rows = -1 if orientation in (3, 4, 7, 8) else 1
  columns = -1 if orientation in (2, 3, 6, 7) else 1
  return pixels[::rows, ::columns]
