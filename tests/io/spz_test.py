"""SPZ files built byte by byte, as the format is described."""

import gzip
import struct

import numpy as np
import pytest
import zstandard

from sr3d_jax import sh
from sr3d_jax.io import spz

# In the axes of the file: x right, y up, z to the back.
POSITIONS = np.array([[1.5, -2.25, 0.125], [-1, 0, 100]])
FRACTION_BITS = 12
COLORS = np.array([[0, 128, 255], [10, 20, 30]])
SCALES = [160, 0, 80]
ZSTANDARD = b'\x28\xb5\x2f\xfd'
UPRIGHT = {2: b'\x80\x80\x80', 3: struct.pack('<I', 3 << 30)}


def streams(version, rotations=None, codes=b'', alphas=(51, 204)):
  """The six streams of two splats, one after the other."""
  fixed = np.round(POSITIONS * 2**FRACTION_BITS).astype(int).ravel()
  if version == 1:
    positions = struct.pack('<6e', *POSITIONS.ravel())
  else:
    positions = b''.join(
      int(x).to_bytes(3, 'little', signed=True) for x in fixed
    )
  rotations = rotations or 2 * [UPRIGHT[max(2, min(version, 3))]]
  return [
    positions,
    bytes(alphas),
    bytes(COLORS.ravel().tolist()),
    bytes(2 * SCALES),
    b''.join(rotations),
    codes,
  ]


def legacy(version, degree=0, flags=0, extensions=b'', count=2, **keys):
  """A file of version 1 to 3 before gzip."""
  header = struct.pack('<4sII', b'NGSP', version, count)
  header += bytes([degree, FRACTION_BITS, flags, 0])
  return header + b''.join(streams(version, **keys)) + extensions


def modern(
  degree=0, flags=0, extensions=b'', version=4, drop=1, count=2, **keys
):
  """A file of version 4; `drop` is how many of the last streams it lacks."""
  plain = streams(4, **keys)[: 6 - drop]
  packed = [zstandard.ZstdCompressor().compress(x) for x in plain]
  header = struct.pack('<4sII', b'NGSP', version, count)
  header += bytes([degree, FRACTION_BITS, flags, len(packed)])
  header += struct.pack('<I12x', 32 + len(extensions)) + extensions
  sizes = [struct.pack('<QQ', len(a), len(b)) for a, b in zip(packed, plain)]
  return header + b''.join(sizes) + b''.join(packed)


FILES = {
  'gzip 1': gzip.compress(legacy(1), mtime=0),
  'raw 2': legacy(2),
  'gzip 2': gzip.compress(legacy(2), mtime=0),
  'gzip 3': gzip.compress(legacy(3), mtime=0),
  '4': modern(),
  '4, harmonics of no bytes': modern(drop=0),
}


def load(path, data):
  path.write_bytes(data)
  return spz.load(path)


@pytest.mark.parametrize('name', FILES)
def test_each_version_is_decoded_and_turned_upright(tmp_path, name):
  gaussians = load(tmp_path / 'a.spz', FILES[name])
  np.testing.assert_array_equal(gaussians.means, POSITIONS * [1, -1, -1])
  np.testing.assert_allclose(gaussians.opacities, [0.2, 0.8], rtol=1e-6)
  np.testing.assert_array_equal(gaussians.log_scales, 2 * [[0, -10, -5]])
  dc = (COLORS / 255 - 0.5) / 0.15
  np.testing.assert_allclose(gaussians.sh, dc[:, None], atol=1e-6)
  upright = np.tile([1.0, 0, 0, 0], (2, 1))
  np.testing.assert_allclose(gaussians.quats, upright, atol=1 / 127)


def random_quats():
  """[8, 4] wxyz, each entry the largest twice, of both signs."""
  rng = np.random.default_rng(0)
  quats = rng.uniform(-0.9, 0.9, (8, 4))
  quats[np.arange(8), np.arange(8) % 4] = np.repeat([1.0, -1.0], 4)
  return quats / np.linalg.norm(quats, axis=1, keepdims=True)


def three_bytes(w, *xyz):
  sign = -1 if w < 0 else 1
  return bytes(round(127.5 + sign * 127.5 * x) for x in xyz)


def four_bytes(w, x, y, z):
  entries = [x, y, z, w]
  largest = max(range(4), key=lambda i: abs(entries[i]))
  sign = -1 if entries[largest] < 0 else 1
  word = largest
  for i in set(range(4)) - {largest}:
    value = sign * entries[i]
    size = round(511 * abs(value) * 2**0.5)
    word = word << 10 | (value < 0) << 9 | size
  return struct.pack('<I', word)


@pytest.mark.parametrize('version', [2, 3, 4])
def test_rotations_are_turned_with_the_axes(tmp_path, version):
  pack = three_bytes if version == 2 else four_bytes
  write = modern if version == 4 else lambda **x: legacy(version, **x)
  quats = random_quats()
  for pair in quats.reshape(-1, 2, 4):
    data = write(rotations=[pack(*q) for q in pair])
    loaded = np.asarray(load(tmp_path / 'a.spz', data).quats)
    np.testing.assert_allclose(np.linalg.norm(loaded, axis=1), 1, rtol=1e-6)
    # A turn by pi about x on either side negates y and z of the axis. A byte
    # has steps of 1/128, which w takes up when it is small.
    cosines = np.abs((loaded * pair * [1, 1, -1, -1]).sum(axis=1))
    assert cosines.min() > (0.999 if version == 2 else 0.99999)


@pytest.mark.parametrize('degree', [1, 2, 3])
@pytest.mark.parametrize('write', [modern, lambda **x: legacy(3, **x)])
def test_harmonics_are_turned_with_the_axes(tmp_path, degree, write):
  count = (degree + 1) ** 2 - 1
  codes = np.random.default_rng(1).integers(0, 256, (2, count, 3), np.uint8)
  keys = dict(drop=0) if write is modern else {}
  data = write(degree=degree, codes=codes.tobytes(), **keys)
  dc = (COLORS / 255 - 0.5) / 0.15
  stored = np.concatenate([dc[:, None], codes / 128 - 1], axis=1)
  turned = sh.rotate(stored.astype(np.float32), np.diag([1.0, -1, -1]))
  # `rotate` fits the harmonics, in float32.
  np.testing.assert_allclose(
    load(tmp_path / 'a.spz', data).sh, turned, atol=1e-5
  )


def test_alphas_of_0_and_1_are_half_a_step_away(tmp_path):
  opacities = load(tmp_path / 'a.spz', modern(alphas=(0, 255))).opacities
  np.testing.assert_allclose(opacities, [0.5 / 255, 254.5 / 255], rtol=1e-5)


@pytest.mark.parametrize('count', [0, 1])
def test_fewer_splats_than_bytes_are_read(tmp_path, count):
  header = struct.pack('<4sII', b'NGSP', 3, count) + bytes([0, 12, 0, 0])
  data = header + bytes(20 * count)
  assert load(tmp_path / 'a.spz', data).sh.shape == (count, 1, 3)


def extension(kind, content):
  return struct.pack('<III', kind, 4, content)


@pytest.mark.parametrize('write', [modern, lambda **x: legacy(3, **x)])
def test_extensions_are_passed_over_unless_they_turn_the_axes(tmp_path, write):
  other = extension(0xADBE0002, 7)
  for axes in (0, 4):
    records = other + extension(0xADBE0003, axes)
    gaussians = load(tmp_path / 'a.spz', write(flags=2, extensions=records))
    np.testing.assert_array_equal(gaussians.means, POSITIONS * [1, -1, -1])
  records = other + extension(0xADBE0003, 6)
  with pytest.raises(ValueError, match=r'declares axes of its own .* 6'):
    load(tmp_path / 'a.spz', write(flags=2, extensions=records))


@pytest.mark.parametrize('name', FILES)
def test_a_file_that_was_cut_short_is_told_wherever_the_cut_is(tmp_path, name):
  whole = FILES[name]
  for length in range(1, len(whole)):
    # What unpacks to no bytes may be missing.
    if name.endswith('no bytes') and length > len(whole) - 10:
      continue
    with pytest.raises(ValueError, match=r'a\.spz'):
      load(tmp_path / 'a.spz', whole[:length])


@pytest.mark.parametrize(
  'data, told',
  [
    (b'PK\3\4' + bytes(20), 'not an SPZ file: 24 bytes that start with'),
    (gzip.compress(b'hello', mtime=0), 'not an SPZ file: 5 bytes'),
    (modern(version=5), 'has version 5 of SPZ, 1 to 4 are known'),
    (legacy(0), 'has version 0'),
    (modern(degree=4), 'harmonics of degree 4, at most 3'),
    (modern(degree=1), 'has 5 streams, want positions, .*, harmonics'),
    (modern(degree=1, drop=0), 'its harmonics take 0 bytes, want 18'),
    (legacy(2, count=3), 'promises 3 splats, 73 bytes, and holds 54'),
    (modern(count=4_000_000_000), 'promises 4000000000 splats in'),
    (gzip.compress(legacy(2), mtime=0)[:-12], 'cannot be unpacked'),
    (modern()[:-5], 'its rotations'),
    (modern().replace(ZSTANDARD, bytes(4), 1), 'its positions cannot'),
  ],
)
def test_what_is_wrong_is_told(tmp_path, data, told):
  with pytest.raises(ValueError, match=told):
    load(tmp_path / 'a.spz', data)
