"""Compressed PLY built number by number, as the format is described."""

import numpy as np
import pytest

from sr3d_jax.io import splat_files

C0 = 0.28209479177387814
ENDS = [
  f'{end}_{x}'
  for kind in ('x y z', 'scale_x scale_y scale_z', 'r g b')
  for end in ('min', 'max')
  for x in kind.split()
]
WORDS = [f'packed_{x}' for x in ('position', 'rotation', 'scale', 'color')]


def save(path, chunks, words, codes=None, *, names=ENDS, words_as=WORDS):
  """Chunks [M, 18] of bounds, words [N, 4], codes [N, 3 (K - 1)]."""
  lines = ['ply', 'format binary_little_endian 1.0', 'comment by hand']
  lines += [f'element chunk {len(chunks)}']
  lines += [f'property float {x}' for x in names]
  lines += [f'element vertex {len(words)}']
  lines += [f'property uint {x}' for x in words_as]
  body = (
    np.asarray(chunks, '<f4').tobytes() + np.asarray(words, '<u4').tobytes()
  )
  if codes is not None:
    lines += [f'element sh {len(codes)}']
    lines += [f'property uchar f_rest_{i}' for i in range(len(codes[0]))]
    body += np.asarray(codes, np.uint8).tobytes()
  text = '\n'.join([*lines, 'end_header', ''])
  path.write_bytes(text.encode() + body)
  return path


def bounds(num_chunks):
  """[M, 18]: minima and maxima that differ from chunk to chunk."""
  low = np.arange(9.0).reshape(3, 3)
  rows = np.stack([low, low + np.array([[2], [4], [0.5]])], axis=1).reshape(
    1, 18
  )
  return rows + 100 * np.arange(num_chunks)[:, None]


UPRIGHT = 512 << 20 | 512 << 10 | 512  # the largest is w


def test_values_lie_between_the_bounds_of_their_chunk(tmp_path):
  words = np.zeros((300, 4), np.uint32)
  words[:, 1] = UPRIGHT
  words[299] = [
    2047 << 21 | 1023 << 11 | 0,
    UPRIGHT,
    0 << 21 | 341 << 11 | 2047,
    255 << 24 | 0 << 16 | 51 << 8 | 204,
  ]
  path = save(tmp_path / 'a.compressed.ply', bounds(2), words)
  gaussians = splat_files.load(path)
  np.testing.assert_array_equal(gaussians.means[255], [0, 1, 2])
  np.testing.assert_array_equal(gaussians.means[256], [100, 101, 102])
  np.testing.assert_allclose(gaussians.means[299], [102, 103, 102])
  np.testing.assert_allclose(
    gaussians.log_scales[299], [103, 104 + 4 / 3, 109], rtol=1e-6
  )
  colors = 0.5 + C0 * np.asarray(gaussians.sh[299])
  np.testing.assert_allclose(colors, [[106.5, 107, 108.1]], rtol=1e-6)
  np.testing.assert_allclose(
    gaussians.opacities[298:], [0.5 / 255, 0.8], rtol=1e-5
  )
  assert gaussians.sh.shape == (300, 1, 3)


def test_older_files_have_colours_without_bounds(tmp_path):
  words = [[0, UPRIGHT, 0, 255 << 24 | 51 << 16 | 0 << 8 | 255]]
  path = save(tmp_path / 'a.ply', bounds(1)[:, :12], words, names=ENDS[:12])
  gaussians = splat_files.load(path)
  np.testing.assert_allclose(
    0.5 + C0 * np.asarray(gaussians.sh[0]), [[1, 0.2, 0]], atol=1e-6
  )
  np.testing.assert_allclose(gaussians.opacities, 254.5 / 255, rtol=1e-6)


def test_rotations_leave_out_the_largest_of_wxyz(tmp_path):
  rng = np.random.default_rng(0)
  quats = rng.uniform(-0.9, 0.9, (8, 4))
  quats[np.arange(8), np.arange(8) % 4] = np.repeat([1.0, -1.0], 4)
  quats /= np.linalg.norm(quats, axis=1, keepdims=True)
  words = []
  for quat in quats:
    largest = int(np.abs(quat).argmax())
    word = largest
    for value in np.delete(quat, largest) * np.sign(quat[largest]):
      word = word << 10 | round((value / 2**0.5 + 0.5) * 1023)
    words.append([0, word, 0, 0])
  loaded = splat_files.load(save(tmp_path / 'a.ply', bounds(1), words)).quats
  np.testing.assert_allclose(np.linalg.norm(loaded, axis=1), 1, rtol=1e-6)
  assert np.abs((loaded * quats).sum(axis=1)).min() > 0.99999


@pytest.mark.parametrize('degree', [1, 2, 3])
def test_harmonics_are_those_of_red_then_green_then_blue(tmp_path, degree):
  count = (degree + 1) ** 2 - 1
  codes = np.arange(6 * count).reshape(2, 3 * count)
  codes[0, 0], codes[1, -1] = 0, 255
  words = 2 * [[0, UPRIGHT, 0, 0]]
  path = save(tmp_path / 'a.ply', bounds(1), words, codes)
  loaded = splat_files.load(path).sh[:, 1:]
  expected = np.empty((2, count, 3))
  for n in range(2):
    for k in range(count):
      for c in range(3):
        code = codes[n, c * count + k]
        expected[n, k, c] = -4 + 8 * (code + 0.5) / 256
  expected[0, 0, 0], expected[1, -1, 2] = -4, 4
  np.testing.assert_allclose(loaded, expected, rtol=1e-6)


def _swapped(words):
  return [x if x != 'packed_scale' else 'packed_size' for x in words]


@pytest.mark.parametrize(
  'keys, told',
  [
    (dict(words_as=_swapped(WORDS)), 'vertex lacks packed_scale of type uint'),
    (dict(names=['low_x', *ENDS[1:]]), 'chunk lacks min_x of type float'),
    (dict(chunks=bounds(2)), 'has 2 chunks for 3 splats'),
    (dict(codes=np.zeros((3, 8))), 'in its element sh, want f_rest_0 and on'),
    (dict(codes=np.zeros((2, 9))), '2 harmonics of type uint8 for 3 splats'),
    (dict(chunks=np.nan * bounds(1)), '3 of 3 splats are not finite in means'),
  ],
)
def test_what_is_wrong_is_told(tmp_path, keys, told):
  keys = {'chunks': bounds(1), 'words': 3 * [[0, UPRIGHT, 0, 0]], **keys}
  with pytest.raises(ValueError, match=told):
    splat_files.load(save(tmp_path / 'a.ply', **keys))


def test_a_file_that_was_cut_short_is_told_wherever_the_cut_is(tmp_path):
  words = 3 * [[0, UPRIGHT, 0, 0]]
  path = save(tmp_path / 'a.ply', bounds(1), words, np.zeros((3, 9)))
  whole = path.read_bytes()
  for length in range(whole.index(b'end_header\n') + 11, len(whole)):
    path.write_bytes(whole[:length])
    with pytest.raises(ValueError, match=r'promises .* cut short'):
      splat_files.load(path)
