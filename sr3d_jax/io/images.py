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
from PIL import ExifTags, Image, JpegImagePlugin, PngImagePlugin

from sr3d_jax.files import write_whole

SUFFIXES = ('.png', '.jpg', '.jpeg')

# Of one picture, 6 GB of float32: phones take 0.2e9, which is more than
# `Image.open` lets pass, and a file of a few bytes may promise any number.
MAX_PIXELS = 500_000_000
_MAX_JPEG_SIDE = 65500  # px, of libjpeg
_BAND = 256  # rows turned to bytes at once, which bounds the memory it takes

# By the first bytes, whatever the file is called. A JPEG may hold further
# pictures (a phone's depth or preview): its first one is it.
_READERS = {
  b'\x89PNG\r\n\x1a\n': PngImagePlugin.PngImageFile,
  b'\xff\xd8\xff': JpegImagePlugin.JpegImageFile,
}

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
  """Paths of the PNG and JPEG files of a folder, sorted by name.

  Those of its subfolders are not among them.
  """
  folder = pathlib.Path(folder)
  if not folder.is_dir():
    raise FileNotFoundError(f'{folder} is not a folder of images')
  found = [
    path
    for path in folder.iterdir()
    if path.suffix.lower() in SUFFIXES
    and not path.name.startswith('.')
    and not path.is_dir()
  ]
  if not found:
    deeper = any(path.is_dir() for path in folder.iterdir())
    hint = ', and its subfolders are not searched' if deeper else ''
    raise FileNotFoundError(
      f'{folder} holds no {", ".join(SUFFIXES)} files{hint}'
    )
  return sorted(found)


def load(path: str | os.PathLike) -> np.ndarray:
  """Reads a PNG or JPEG the way it should be looked at.

  The EXIF orientation is applied, grey becomes RGB, a palette is resolved, and
  CMYK becomes R = (1 - C) (1 - K) and so on.

  Args:
    path: a file of at most `MAX_PIXELS`.

  Returns:
    [H, W, 3] float32 in [0, 1], or [H, W, 4] with straight alpha where the
    file has transparency.

  Raises:
    ValueError: it is no such file, is cut or broken, moves, or is too large;
      that is known before its pixels are decoded.
  """
  with _open(path) as image:
    channels = 4 if image.has_transparency_data else 3
    if _bits(path) == 16:
      levels = _decode_deep(path)[..., :channels]
    else:
      levels = np.asarray(image.convert('RGBA' if channels == 4 else 'RGB'))
    orientation = _exif(path, image).get(ExifTags.Base.Orientation, 1)
    peak = np.float32(np.iinfo(levels.dtype).max)
    return _turn_upright(levels, orientation) / peak


def load_metadata(path: str | os.PathLike) -> Metadata:
  """Reads what `load` leaves out, for the picture that is made of it.

  A profile of grey or CMYK means nothing to RGB: it is left out with a warning.
  """
  with _open(path) as image:
    exif = _exif(path, image)
    for tag in _STALE:
      exif.pop(tag, None)
    if ExifTags.IFD.Exif in exif:  # which asking for it would add
      details = exif.get_ifd(ExifTags.IFD.Exif)
      for tag in _STALE_IN_EXIF:
        details.pop(tag, None)
    return Metadata(
      bits=_bits(path),
      exif=exif.tobytes() if len(exif) else b'',
      icc_profile=_profile(path, image),
    )


def check_target(
  path: str | os.PathLike,
  shape: tuple[int, int, int],
  metadata: Metadata = PLAIN,
) -> None:
  """Raises where a file of this name could not hold [H, W, C] of that shape."""
  suffix = pathlib.Path(path).suffix.lower()
  if suffix not in SUFFIXES:
    raise ValueError(f'{path} should end in one of {", ".join(SUFFIXES)}')
  if suffix == '.png':
    return
  if shape[-1] == 4:
    raise ValueError(f'{path} cannot hold transparency: write a .png')
  if metadata.bits == 16:
    raise ValueError(f'{path} cannot hold 16 bits a channel: write a .png')
  if max(shape) > _MAX_JPEG_SIDE:
    raise ValueError(
      f'{path} cannot hold {shape[1]} x {shape[0]} px, since a side of a JPEG '
      f'is at most {_MAX_JPEG_SIDE}: write a .png'
    )


def save(
  path: str | os.PathLike, image: np.ndarray, metadata: Metadata = PLAIN
) -> None:
  """Writes an image, whole or not at all.

  Args:
    path: a .png (lossless) or .jpg file; its folder is made if need be.
    image: [H, W, 3] or [H, W, 4] float in [0, 1], clipped, or uint8, or the
      `to_levels` of these bits.
    metadata: bits to write and what to say beside the pixels.
  """
  path = pathlib.Path(path)
  image = np.asarray(image)
  if image.ndim != 3 or image.shape[-1] not in (3, 4):
    raise ValueError(f'an image is [H, W, 3] or [H, W, 4], got {image.shape}')
  check_target(path, image.shape, metadata)
  levels = _levels(path, image, metadata.bits)
  path.parent.mkdir(parents=True, exist_ok=True)
  if metadata.bits == 16:
    data = _encode_deep(levels, metadata)
  else:
    data = _encode(levels, metadata, path.suffix.lower())
  write_whole(path, data)


def to_levels(image: np.ndarray, bits: int) -> np.ndarray:
  """Rounds floats in [0, 1], clipped, to the uint8 or uint16 of a file."""
  dtype = np.uint16 if bits == 16 else np.uint8
  return np.round(np.iinfo(dtype).max * np.clip(image, 0, 1)).astype(dtype)


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[Image.Image]:
  """A Pillow image whose pixels are known to be readable."""
  with open(path, 'rb') as file:
    start = file.read(8)
    file.seek(0)
    kinds = [_READERS[magic] for magic in _READERS if start.startswith(magic)]
    if not kinds:
      what = 'is not a readable image' if start else 'is empty'
      raise ValueError(f'{path} {what}: a PNG or JPEG is wanted')
    with _naming(path):
      image = kinds[0](file)
    _check_still(path, image)
    with _naming(path):
      image.load()
    yield image


@contextlib.contextmanager
def _naming(path: str | os.PathLike) -> Iterator[None]:
  """Says of which file what its decoder finds wrong with it."""
  try:
    yield
  # SyntaxError is Pillow's of a broken header, ValueError of a bomb of text.
  except (OSError, SyntaxError, ValueError) as error:
    raise ValueError(f'{path} is not a readable image: {error}') from error


def _check_still(path: str | os.PathLike, image: Image.Image) -> None:
  """Raises where a file holds more pixels, or more pictures, than we read."""
  width, height = image.size
  if width * height > MAX_PIXELS:
    raise ValueError(
      f'{path} is {width} x {height} px, {width * height / 1e6:,.0f} '
      f'megapixels, and at most {MAX_PIXELS / 1e6:,.0f} are read: cut it into '
      'parts'
    )
  if getattr(image, 'is_animated', False):
    raise ValueError(
      f'{path} is an animation of {image.n_frames} frames: save one of them as '
      'a picture'
    )


def _exif(path: str | os.PathLike, image: Image.Image) -> Image.Exif:
  """What the camera wrote; nothing, with a warning, where that is broken."""
  try:
    return image.getexif()
  except SyntaxError:
    warnings.warn(f'{path}: its EXIF is broken and left out', stacklevel=4)
    return Image.Exif()


def _profile(path: str | os.PathLike, image: Image.Image) -> bytes:
  """The ICC profile of an image, if it still holds once the image is RGB."""
  profile = image.info.get('icc_profile') or b''
  space = profile[16:20].decode('latin-1').strip()
  if image.mode == 'CMYK':
    told = 'its CMYK is made RGB without a colour profile'
  elif profile and space != 'RGB':
    told = f'its {space} profile is left out'
  else:
    return profile
  warnings.warn(f'{path}: {told}', stacklevel=4)
  return b''


def _bits(path: str | os.PathLike) -> int:
  """Bits that a channel needs: 16 where a PNG's header says so."""
  with open(path, 'rb') as file:
    header = file.read(25)
  return 16 if header[:4] == b'\x89PNG' and header[24] == 16 else 8


def _decode_deep(path: str | os.PathLike) -> np.ndarray:
  """[H, W, 4] uint16 of a 16-bit PNG, of whose colours Pillow reads 8 bits."""
  codec = av.CodecContext.create('png', 'r')
  with _naming(path):
    (frame,) = codec.decode(av.Packet(pathlib.Path(path).read_bytes()))
  return frame.to_ndarray(format='rgba64le')


def _levels(
  path: str | os.PathLike, image: np.ndarray, bits: int
) -> np.ndarray:
  """[H, W, C] uint8 or uint16 of the floats, or bytes, that go to a file."""
  dtype = np.uint16 if bits == 16 else np.uint8
  if image.dtype == dtype:
    return image
  levels = np.empty(image.shape, dtype)
  for start in range(0, len(image), _BAND):
    band = image[start : start + _BAND]
    if band.dtype == np.uint8:
      band = band / np.float32(255)
    if not np.isfinite(band).all():
      raise ValueError(f'{path} was to hold an image that is not finite')
    levels[start : start + _BAND] = to_levels(band, bits)
  return levels


def _encode(levels: np.ndarray, metadata: Metadata, suffix: str) -> bytes:
  """An 8-bit PNG or JPEG of [H, W, 3 or 4] levels."""
  buffer = io.BytesIO()
  Image.fromarray(levels).save(
    buffer,
    format='PNG' if suffix == '.png' else 'JPEG',
    quality=95,
    subsampling=0,  # of JPEG: the colours are as fine as the rest
    exif=metadata.exif,
    icc_profile=metadata.icc_profile,
  )
  return buffer.getvalue()


def _encode_deep(levels: np.ndarray, metadata: Metadata) -> bytes:
  """A 16-bit PNG, which Pillow cannot write, of [H, W, 3 or 4] levels."""
  height, width, channels = levels.shape
  color_type = {3: 2, 4: 6}[channels]
  header = struct.pack('>2I5B', width, height, 16, color_type, 0, 0, 0)
  chunks = [(b'IHDR', header)]
  if metadata.icc_profile:
    profile = b'ICC Profile\0\0' + zlib.compress(metadata.icc_profile)
    chunks.append((b'iCCP', profile))
  if metadata.exif:
    chunks.append((b'eXIf', metadata.exif.removeprefix(b'Exif\0\0')))
  chunks += [(b'IDAT', data) for data in _deflate(levels) if data] + [
    (b'IEND', b'')
  ]
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    struct.pack('>I', len(data)) + kind + data
    + struct.pack('>I', zlib.crc32(kind + data))
    for kind, data in chunks
  )  # fmt: skip


def _deflate(levels: np.ndarray) -> Iterator[bytes]:
  """The rows of a 16-bit PNG, each "less the row above", deflated in parts."""
  compressor = zlib.compressobj()
  above = np.zeros((1, levels[0].nbytes), np.uint8)
  for start in range(0, len(levels), _BAND):
    rows = np.ascontiguousarray(levels[start : start + _BAND], '>u2')
    rows = rows.view(np.uint8).reshape(len(rows), -1)
    less = np.diff(rows, axis=0, prepend=above)
    less = np.pad(less, ((0, 0), (1, 0)), constant_values=2)
    above = rows[-1:]
    yield compressor.compress(less.tobytes())
  yield compressor.flush()


def _turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
  """Undoes an EXIF orientation, 1 to 8, of [H, W, C]."""
  if orientation in (5, 6, 7, 8):
    pixels = pixels.swapaxes(0, 1)
  rows = -1 if orientation in (3, 4, 7, 8) else 1
  columns = -1 if orientation in (2, 3, 6, 7) else 1
  return pixels[::rows, ::columns]
