"""SPZ of Niantic Labs: splats in 8 to 24 bits a number, compressed.

Versions 1 to 3 are one stream, gzipped or plain: a header of 16 bytes, then all
positions, alphas, colours, scales, rotations and harmonics. Version 4 has a
header of 32 bytes, the sizes of the same six, and each as a stream of
Zstandard of its own (github.com/nianticlabs/spz, README.md).

The axes of a file are x right, y up, z to the back (RUB); ours and those of a
PLY are x right, y down, z forward. So everything is turned by pi about x, as
Niantic's own converter to PLY does.
"""

import gzip
import os
import struct
import zlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import zstandard

from sr3d_jax.io import quantized
from sr3d_jax.types import Gaussians

_HEADER = struct.Struct('<4sII4B')  # degree, fraction bits, flags, streams
_MAGIC, _GZIP = b'NGSP', b'\x1f\x8b'
_STREAMS = ('positions', 'alphas', 'colors', 'scales', 'rotations', 'harmonics')
_HAS_EXTENSIONS, _AXES, _RUB = 0x2, 0xADBE0003, 4

# A turn by pi about x negates y and z, and what is odd in y and z together.
_TURN = np.array([1, -1, -1], np.float32)
_TURN_HARMONICS = np.array(
  [-1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1, 1], np.float32
)
MAX_RATIO = 1000  # of bytes unpacked to packed, beyond any scene's


def load(path: str | os.PathLike) -> Gaussians:
  """Reads splats of any version, turned to axes whose y points down.

  Alphas of 0 and 1 become finite logits, as `quantized.logits` says. The flag
  of a fit with antialiasing is passed over, and so are extensions, but for one
  that declares other axes, which is refused.

  Returns:
    [N] with harmonics of degree 0 to 3.
  """
  data = Path(path).read_bytes()
  if data[:2] == _GZIP:
    data = _gunzip(path, data)
  if data[:4] != _MAGIC or len(data) < _HEADER.size:
    raise ValueError(
      f'{path} is not an SPZ file: {len(data)} bytes that start with '
      f'{data[:16]!r}, want {_MAGIC!r} or a gzip of it.'
    )
  _, version, count, degree, bits, flags, num_streams = _HEADER.unpack_from(
    data
  )
  if not 1 <= version <= 4:
    raise ValueError(
      f'{path} has version {version} of SPZ, 1 to 4 are known: save it as one '
      'of those, or as a PLY.'
    )
  if degree > 3:
    raise ValueError(
      f'{path} has harmonics of degree {degree}, at most 3 are drawn: save it '
      'with fewer.'
    )
  widths = _widths(version, degree)
  if version == 4:
    streams = _split_v4(path, data, count, widths, num_streams, flags)
  else:
    streams = _split_legacy(path, data, count, widths, flags)
  return _decode(version, bits, *streams)


def _widths(version: int, degree: int) -> list[int]:
  """Bytes a splat of each stream."""
  position = 6 if version == 1 else 9
  rotation = 4 if version >= 3 else 3
  return [position, 1, 3, 3, rotation, 3 * ((degree + 1) ** 2 - 1)]


def _gunzip(path, data: bytes) -> bytes:
  """Undoes gzip, or tells which file is broken."""
  try:
    return gzip.decompress(data)
  except (EOFError, zlib.error, gzip.BadGzipFile) as error:
    raise ValueError(
      f'{path} starts as gzip does and cannot be unpacked ({error}): it was '
      'cut short or changed; write or fetch it again.'
    ) from error


def _unpack(path, name: str, packed: bytes, size: int) -> bytes:
  """Undoes Zstandard of one stream, whose size must be as promised."""
  try:
    reader = zstandard.ZstdDecompressor().stream_reader(packed)
    values = reader.read(size + 1) if packed else b''
  except zstandard.ZstdError as error:
    raise ValueError(
      f'{path}: its {name} cannot be unpacked ({error}): it was changed; '
      'write or fetch it again.'
    ) from error
  if len(values) != size:
    found = f'{len(values)}' if len(values) < size else 'more'
    raise ValueError(
      f'{path}: its {name} take {found} bytes, want {size}: it was cut short '
      'or changed; write or fetch it again.'
    )
  return values


def _check_axes(path, records: bytes) -> None:
  """Refuses axes other than RUB among records (type, size, content)."""
  while len(records) >= 8:
    kind, size = struct.unpack_from('<II', records)
    content, records = records[8 : 8 + size], records[8 + size :]
    if kind == _AXES and int.from_bytes(content, 'little') not in (0, _RUB):
      raise ValueError(
        f'{path} declares axes of its own (SPZ_ADOBE_coordinate_system '
        f'{int.from_bytes(content, "little")}), only RUB, {_RUB}, is read: '
        'save it without them, or as a PLY.'
      )


def _split_legacy(path, data, count, widths, flags) -> list[np.ndarray]:
  """The streams [N, width] of a file up to version 3, one after the other."""
  ends = _HEADER.size + count * np.cumsum([0, *widths])
  if len(data) < ends[-1]:
    raise ValueError(
      f'{path} promises {count} splats, {ends[-1]} bytes, and holds '
      f'{len(data)}: it was cut short; write or fetch it again.'
    )
  if flags & _HAS_EXTENSIONS:
    _check_axes(path, data[ends[-1] :])
  return [
    np.frombuffer(data[a:b], np.uint8).reshape(count, width)
    for a, b, width in zip(ends[:-1], ends[1:], widths)
  ]


def _split_v4(path, data, count, widths, num_streams, flags):
  """The streams [N, width] of a file of version 4, each on its own."""
  needed = sum(width > 0 for width in widths)
  if num_streams < needed:
    raise ValueError(
      f'{path} has {num_streams} streams, want {", ".join(_STREAMS[:needed])}.'
    )
  if count * sum(widths) > MAX_RATIO * len(data):
    raise ValueError(
      f'{path} promises {count} splats in {len(data)} bytes: its count was '
      'changed; write or fetch it again.'
    )
  (start,) = struct.unpack_from('<I', data.ljust(32, b'\0'), 16)
  end = start + 16 * num_streams
  if start < 32 or len(data) < end:
    raise ValueError(
      f'{path} promises its list of sizes at bytes {start} to {end} and holds '
      f'{len(data)}: it was cut short; write or fetch it again.'
    )
  if flags & _HAS_EXTENSIONS:
    _check_axes(path, data[32:start])
  sizes = np.frombuffer(data, '<u8', 2 * needed, start)[::2].tolist()
  streams = [np.zeros((count, width), np.uint8) for width in widths]
  for i, size in enumerate(sizes):
    packed, end = data[end : end + size], end + size
    values = _unpack(path, _STREAMS[i], packed, count * widths[i])
    streams[i] = np.frombuffer(values, np.uint8).reshape(count, widths[i])
  return streams


def _decode(
  version: int, fraction_bits: int, *streams: np.ndarray
) -> Gaussians:
  """Makes splats of the streams [N, width], in their order."""
  positions, alphas, colors, scales, rotations, codes = streams
  if version == 1:
    means = positions.view('<f2').astype(np.float32)
  else:
    means = _fixed_point(positions, fraction_bits)
  quats = _smallest_three(rotations) if version >= 3 else _no_w(rotations)
  quats[:, 1:] *= _TURN
  # Colours reach beyond [0, 1], so that harmonics may bring them back.
  dc = (colors / np.float32(255) - np.float32(0.5)) / np.float32(0.15)
  rest = (
    codes.reshape(len(codes), codes.shape[1] // 3, 3) - np.float32(128)
  ) / 128
  rest *= _TURN_HARMONICS[: rest.shape[1], None]
  return Gaussians(
    means=jnp.asarray(means * _TURN),
    log_scales=jnp.asarray(scales / np.float32(16) - 10),
    quats=jnp.asarray(quats),
    opacity_logits=jnp.asarray(quantized.logits(alphas[:, 0])),
    sh=jnp.asarray(np.concatenate([dc[:, None], rest], axis=1)),
  )


def _fixed_point(positions: np.ndarray, fraction_bits: int) -> np.ndarray:
  """[N, 3] of [N, 9] bytes: signed integers of 24 bits, scaled."""
  padded = np.zeros((len(positions), 3, 4), np.uint8)
  padded[..., 1:] = positions.reshape(-1, 3, 3)  # the sign is at the top
  return padded.view('<i4')[..., 0] * np.float32(2.0 ** -(8 + fraction_bits))


def _no_w(rotations: np.ndarray) -> np.ndarray:
  """[N, 4] wxyz of [N, 3] bytes: x, y and z in [-1, 1], with w not negative."""
  xyz = rotations / np.float32(127.5) - 1
  w = np.sqrt(np.maximum(1 - (xyz**2).sum(axis=1, keepdims=True), 0))
  return quantized.unit(np.concatenate([w, xyz], axis=1))


def _smallest_three(rotations: np.ndarray) -> np.ndarray:
  """[N, 4] wxyz of [N, 4] bytes that leave out the largest.

  From the top: 2 bits which of xyzw that is, then the others, each a sign and
  9 bits for a fraction of sqrt(1/2).
  """
  packed = rotations.view('<u4')
  fields = packed >> np.array([20, 10, 0], np.uint32)
  signs = 1 - 2 * ((fields >> 9) & 1).astype(np.float32)
  three = signs * (fields & 511) * np.float32(0.5**0.5 / 511)
  return np.roll(quantized.with_largest(three, packed[:, 0] >> 30), 1, axis=1)
