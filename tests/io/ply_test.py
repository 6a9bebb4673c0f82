import struct

import numpy as np
import pytest

from sr3d_jax.io import ply
from sr3d_jax.types import Gaussians


def random_gaussians(count, degree, seed=0):
  rng = np.random.default_rng(seed)

  def draw(*shape):
    return rng.normal(size=(count, *shape)).astype(np.float32)

  return Gaussians(
    means=draw(3),
    log_scales=draw(3),
    quats=draw(4),
    opacity_logits=draw(),
    sh=draw((degree + 1) ** 2, 3),
  )


def assert_same(a, b):
  for name in ('means', 'log_scales', 'quats', 'opacity_logits', 'sh'):
    np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)


@pytest.mark.parametrize('degree', [0, 1, 2, 3])
@pytest.mark.parametrize('count', [0, 1, 7])
def test_save_then_load_is_identity(tmp_path, degree, count):
  gaussians = random_gaussians(count, degree)
  ply.save(tmp_path / 'a.ply', gaussians)
  assert_same(ply.load(tmp_path / 'a.ply'), gaussians)


def test_the_bytes_are_those_of_3dgs(tmp_path):
  sh = np.zeros((1, 16, 3), np.float32)
  sh[0] = 100 + np.arange(16)[:, None] + 1000 * np.arange(3)  # k + 1000 c
  gaussians = Gaussians(
    means=np.array([[1, 2, 3]]),
    log_scales=np.array([[-1, -2, -3]]),
    quats=np.array([[0.5, 0.6, 0.7, 0.8]]),
    opacity_logits=np.array([4]),
    sh=sh,
  )
  ply.save(tmp_path / 'a.ply', gaussians)
  header, body = (tmp_path / 'a.ply').read_bytes().split(b'end_header\n')
  rest = [100 + k + 1000 * c for c in range(3) for k in range(1, 16)]
  row = [1, 2, 3, 0, 0, 0, 100, 1100, 2100, *rest, 4, -1, -2, -3]
  row += [0.5, 0.6, 0.7, 0.8]
  assert body == struct.pack('<62f', *row)
  lines = header.decode().splitlines()
  assert lines[:3] == [
    'ply',
    'format binary_little_endian 1.0',
    'element vertex 1',
  ]
  names = [line.removeprefix('property float ') for line in lines[3:]]
  assert ' '.join(names[:9]) == 'x y z nx ny nz f_dc_0 f_dc_1 f_dc_2'
  assert names[9:54] == [f'f_rest_{i}' for i in range(45)]
  assert ' '.join(names[54:]) == (
    'opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3'
  )


def test_columns_are_found_by_name_and_not_by_place(tmp_path):
  gaussians = random_gaussians(5, 1)
  ply.save(tmp_path / 'a.ply', gaussians)
  header, body = (tmp_path / 'a.ply').read_bytes().split(b'end_header\n')
  lines = header.decode().splitlines()
  columns = np.frombuffer(body, '<f4').reshape(5, -1)
  flipped = '\n'.join([*lines[:3], *reversed(lines[3:]), 'end_header', ''])
  (tmp_path / 'b.ply').write_bytes(
    flipped.encode() + columns[:, ::-1].tobytes()
  )
  assert_same(ply.load(tmp_path / 'b.ply'), gaussians)


def test_infinite_opacity_logits_survive(tmp_path):
  gaussians = random_gaussians(3, 0)
  gaussians.opacity_logits[:] = [-np.inf, 0, np.inf]
  ply.save(tmp_path / 'a.ply', gaussians)
  loaded = ply.load(tmp_path / 'a.ply')
  np.testing.assert_array_equal(loaded.opacity_logits, [-np.inf, 0, np.inf])
  np.testing.assert_array_equal(loaded.opacities, [0, 0.5, 1])


def test_invisible_splats_leave_only_when_asked(tmp_path):
  gaussians = random_gaussians(4, 0)
  opacities = np.array([0, 0.99 / 255, 1.01 / 255, 1])
  with np.errstate(divide='ignore'):
    gaussians.opacity_logits[:] = np.log(opacities) - np.log1p(-opacities)
  ply.save(tmp_path / 'a.ply', gaussians)
  assert len(ply.load(tmp_path / 'a.ply').means) == 4
  ply.save(tmp_path / 'a.ply', gaussians, drop_invisible=True)
  np.testing.assert_array_equal(
    ply.load(tmp_path / 'a.ply').means, gaussians.means[2:]
  )


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / 'a.ply'
  ply.save(path, random_gaussians(3, 0))
  before = path.read_bytes()

  def fail(*_):
    raise OSError('disk full')

  monkeypatch.setattr(ply.os, 'replace', fail)
  with pytest.raises(OSError, match='disk full'):
    ply.save(path, random_gaussians(3, 0, seed=1))
  assert path.read_bytes() == before


POINTS = np.array([[1, 2, 3], [-4, 5.5, 6]])
HEADER = (
  'ply\nformat {}\nelement vertex 2\nproperty {} x\nproperty {} y\n'
  'property {} z\nproperty uchar red\nproperty uchar green\n'
  'property uchar blue\nelement face 1\n'
  'property list uchar int vertex_indices\nend_header\n'
)


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('kind, letter', [('float', 'f'), ('double', 'd')])
def test_binary_points_load(tmp_path, order, kind, letter):
  layout = {'<': 'binary_little_endian 1.0', '>': 'binary_big_endian 1.0'}
  rows = b''.join(
    struct.pack(f'{order}3{letter}3B', *p, 255, 51, 0) for p in POINTS
  )
  face = struct.pack(f'{order}B3i', 3, 0, 1, 0)
  header = HEADER.format(layout[order], kind, kind, kind)
  (tmp_path / 'a.ply').write_bytes(header.encode() + rows + face)
  points, colors = ply.load_points(tmp_path / 'a.ply')
  np.testing.assert_array_equal(points, POINTS)
  np.testing.assert_allclose(colors, [[1, 0.2, 0]] * 2)


def test_ascii_points_load(tmp_path):
  body = '1 2 3 255 51 0\n-4 5.5 6 255 51 0\n3 0 1 0\n'
  header = HEADER.format('ascii 1.0', 'float', 'float', 'float')
  (tmp_path / 'a.ply').write_text(header + body)
  points, colors = ply.load_points(tmp_path / 'a.ply')
  np.testing.assert_array_equal(points, POINTS)
  np.testing.assert_allclose(colors, [[1, 0.2, 0]] * 2)


def test_points_without_colours_are_grey(tmp_path):
  ply.save(tmp_path / 'a.ply', random_gaussians(2, 0))
  points, colors = ply.load_points(tmp_path / 'a.ply')
  assert points.shape == (2, 3)
  np.testing.assert_array_equal(colors, np.full((2, 3), 0.5))


def test_errors_say_what_is_wrong(tmp_path):
  path = tmp_path / 'a.ply'
  path.write_bytes(b'\x89PNG\r\n')
  with pytest.raises(ValueError, match='not a PLY file'):
    ply.load(path)
  ply.save(path, random_gaussians(2, 0))
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(ValueError, match='promises 2 vertices and holds 1'):
    ply.load(path)
  header = HEADER.format('ascii 1.0', 'float', 'float', 'float')
  path.write_text(header + '1 2 3 4 5 6\n' * 2)
  with pytest.raises(ValueError, match='no columns f_dc_0'):
    ply.load(path)
  gaussians = random_gaussians(2, 0)
  with pytest.raises(ValueError, match=r'got shape \(2, 2, 3\)'):
    ply.save(
      path,
      gaussians.__class__(
        means=gaussians.means,
        log_scales=gaussians.log_scales,
        quats=gaussians.quats,
        opacity_logits=gaussians.opacity_logits,
        sh=np.zeros((2, 2, 3)),
      ),
    )


@pytest.mark.parametrize(
  'rows, told',
  [
    ('1 2 3\n4 5\n', 'has vertex 1 with 2 values of 3: was it cut short'),
    ('1 2\n3 4\n', 'has vertex 0 with 2 values of 3'),
    ('1 2 3\n4 5 6 7\n', 'has vertex 1 with 4 values of 3'),
    ('1 2 3\n4 five 6\n', r"vertex rows that are not all numbers .*b'five'"),
  ],
)
def test_rows_of_text_that_are_spoilt_are_told(rows, told, tmp_path):
  path = tmp_path / 'spoilt.ply'
  header = '\n'.join(f'property float {x}' for x in 'xyz')
  path.write_text(
    f'ply\nformat ascii 1.0\nelement vertex 2\n{header}\nend_header\n{rows}'
  )
  with pytest.raises(ValueError, match=rf'spoilt\.ply .*{told}'):
    ply.load_points(path)
