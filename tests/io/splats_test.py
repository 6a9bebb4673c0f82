import json
import struct

import numpy as np
import pytest

from sr3d_jax.io import splats
from sr3d_jax.types import Gaussians

Y00 = 0.28209479177387814


def two_splats():
  """A small opaque red one; a big half-transparent one turned about z."""
  sh = np.zeros((2, 4, 3), np.float32)
  sh[0, 0] = np.array([0.5, -0.5, -0.3]) / Y00
  sh[1, 1:] = np.arange(9).reshape(3, 3)
  return Gaussians(
    means=np.array([[1, 2, 3], [4, -5, 6]], np.float32),
    log_scales=np.log(np.array([[0.1, 0.2, 0.3], [1, 2, 3]], np.float32)),
    quats=np.array([[2, 0, 0, 0], [0.6, 0, 0, 0.8]], np.float32),
    opacity_logits=np.array([np.inf, 0], np.float32),
    sh=sh,
  )


def glb_parts(path):
  data = path.read_bytes()
  magic, version, size, json_size, kind = struct.unpack_from('<4sIII4s', data)
  assert (magic, version, size, kind) == (b'glTF', 2, len(data), b'JSON')
  scene = json.loads(data[20 : 20 + json_size])
  body_size, kind = struct.unpack_from('<I4s', data, 20 + json_size)
  assert kind == b'BIN\0'
  body = data[28 + json_size :]
  assert len(body) == body_size == scene['buffers'][0]['byteLength']
  return scene, body


def attribute(scene, body, name):
  (primitive,) = scene['meshes'][0]['primitives']
  accessor = scene['accessors'][primitive['attributes'][name]]
  view = scene['bufferViews'][accessor['bufferView']]
  width = {'SCALAR': 1, 'VEC3': 3, 'VEC4': 4}[accessor['type']]
  assert view['byteLength'] == 4 * width * accessor['count']
  values = np.frombuffer(
    body, '<f4', width * accessor['count'], view['byteOffset']
  )
  return values.reshape(-1, width)


def test_the_bytes_of_splat(tmp_path):
  splats.save_splat(tmp_path / 'a.splat', two_splats())
  expected = struct.pack(
    '<6f8B', 4, -5, 6, 1, 2, 3, 128, 128, 128, 128, 205, 128, 128, 230
  )  # the big one first
  expected += struct.pack(
    '<6f8B', 1, 2, 3, 0.1, 0.2, 0.3, 255, 0, 51, 255, 255, 128, 128, 128
  )
  data = (tmp_path / 'a.splat').read_bytes()
  assert len(data) == 64
  for i in (0, 32):
    floats = np.frombuffer(data[i : i + 24], '<f4')
    np.testing.assert_allclose(
      floats, np.frombuffer(expected[i : i + 24], '<f4'), rtol=1e-6
    )
    assert data[i + 24 : i + 32] == expected[i + 24 : i + 32]


def test_glb_holds_activated_values_under_the_names_of_khronos(tmp_path):
  gaussians = two_splats()
  splats.save_glb(tmp_path / 'a.glb', gaussians)
  scene, body = glb_parts(tmp_path / 'a.glb')
  khr = 'KHR_gaussian_splatting'

  def close(name, expected):
    np.testing.assert_allclose(
      attribute(scene, body, name), expected, rtol=1e-6, err_msg=name
    )

  close('POSITION', gaussians.means)
  close(f'{khr}:SCALE', [[0.1, 0.2, 0.3], [1, 2, 3]])
  close(f'{khr}:ROTATION', [[0, 0, 0, 1], [0, 0, 0.8, 0.6]])
  close(f'{khr}:OPACITY', [[1], [0.5]])
  close(f'{khr}:SH_DEGREE_0_COEF_0', gaussians.sh[:, 0])
  for n in range(3):
    close(f'{khr}:SH_DEGREE_1_COEF_{n}', gaussians.sh[:, 1 + n])
  (primitive,) = scene['meshes'][0]['primitives']
  assert len(primitive['attributes']) == 8
  assert primitive['mode'] == 0
  assert scene['extensionsUsed'] == [khr]
  position = scene['accessors'][primitive['attributes']['POSITION']]
  assert (position['min'], position['max']) == ([1, -5, 3], [4, 2, 6])


def test_all_degrees_have_their_coefficients(tmp_path):
  gaussians = two_splats()
  sh = np.arange(96, dtype=np.float32).reshape(2, 16, 3)
  splats.save_glb(
    tmp_path / 'a.glb',
    Gaussians(
      means=gaussians.means,
      log_scales=gaussians.log_scales,
      quats=gaussians.quats,
      opacity_logits=gaussians.opacity_logits,
      sh=sh,
    ),
  )
  scene, body = glb_parts(tmp_path / 'a.glb')
  for degree, n, k in [(0, 0, 0), (1, 2, 3), (2, 0, 4), (2, 4, 8), (3, 6, 15)]:
    name = f'KHR_gaussian_splatting:SH_DEGREE_{degree}_COEF_{n}'
    np.testing.assert_array_equal(attribute(scene, body, name), sh[:, k])


def test_up_in_the_photo_is_up_in_the_viewer(tmp_path):
  splats.save_glb(tmp_path / 'a.glb', two_splats())
  scene, _ = glb_parts(tmp_path / 'a.glb')
  x, y, z, w = scene['nodes'][0]['rotation']
  up = np.array([0, -1, 0])  # ours: y points down
  axis = np.array([x, y, z])
  turned = up + 2 * np.cross(axis, np.cross(axis, up) + w * up)
  np.testing.assert_array_equal(turned, [0, 1, 0])


def test_invisible_splats_are_left_out(tmp_path):
  gaussians = two_splats()
  gaussians.opacity_logits[0] = -np.inf
  splats.save_splat(tmp_path / 'a.splat', gaussians)
  assert (tmp_path / 'a.splat').stat().st_size == 32
  splats.save_glb(tmp_path / 'a.glb', gaussians)
  scene, body = glb_parts(tmp_path / 'a.glb')
  np.testing.assert_array_equal(
    attribute(scene, body, 'POSITION'), gaussians.means[1:]
  )
  gaussians.opacity_logits[1] = -np.inf
  with pytest.raises(ValueError, match='none of the 2 splats is visible'):
    splats.save_glb(tmp_path / 'a.glb', gaussians)


def test_a_quaternion_of_zeros_means_no_rotation(tmp_path):
  gaussians = two_splats()
  gaussians.quats[0] = 0
  splats.save_glb(tmp_path / 'a.glb', gaussians)
  rotation = attribute(
    *glb_parts(tmp_path / 'a.glb'), 'KHR_gaussian_splatting:ROTATION'
  )
  np.testing.assert_array_equal(rotation[0], [0, 0, 0, 1])
