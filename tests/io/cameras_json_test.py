import json

import numpy as np
import pytest

from sr3d_jax.io import cameras_json
from sr3d_jax.types import Camera

NAMES = ('a.png', 'b.png')


def two_cameras():
  """One turned by 90 degrees about y and moved, one by 180 about x."""
  world_to_cam = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
  world_to_cam[0, :3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
  world_to_cam[0, :3, 3] = [1, 2, 3]
  world_to_cam[1, :3, :3] = np.diag([1, -1, -1])
  return Camera(
    world_to_cam=world_to_cam,
    focal=np.array([[500, 510], [520, 530]], np.float32),
    center=np.array([[31.5, 24.25], [32, 24]], np.float32),
    width=64,
    height=48,
  )


def test_save_then_load_is_identity(tmp_path):
  cameras = two_cameras()
  cameras_json.save(tmp_path / 'cameras.json', cameras, NAMES)
  loaded, names = cameras_json.load(tmp_path / 'cameras.json')
  assert names == NAMES
  assert (loaded.width, loaded.height) == (64, 48)
  np.testing.assert_array_equal(loaded.focal, cameras.focal)
  np.testing.assert_array_equal(loaded.center, cameras.center)
  np.testing.assert_allclose(
    loaded.world_to_cam, cameras.world_to_cam, atol=1e-6
  )


def test_the_entries_are_those_of_3dgs(tmp_path):
  cameras_json.save(tmp_path / 'cameras.json', two_cameras(), NAMES)
  entry, _ = json.loads((tmp_path / 'cameras.json').read_text())
  assert entry['id'] == 0
  assert entry['img_name'] == 'a.png'
  assert (entry['width'], entry['height']) == (64, 48)
  assert (entry['fx'], entry['fy']) == (500, 510)
  # x_cam = R x + t vanishes at -R^T t; forward is the third row of R.
  assert entry['position'] == [3, -2, -1]
  assert np.array(entry['rotation'])[:, 2].tolist() == [-1, 0, 0]


def test_a_file_without_principal_point_looks_through_the_middle(tmp_path):
  path = tmp_path / 'cameras.json'
  cameras_json.save(path, two_cameras(), NAMES)
  entries = json.loads(path.read_text())
  for entry in entries:
    del entry['cx'], entry['cy']
  path.write_text(json.dumps(entries))
  cameras, _ = cameras_json.load(path)
  np.testing.assert_array_equal(cameras.center, [[32, 24]] * 2)


def test_errors_say_what_is_wrong(tmp_path):
  path = tmp_path / 'cameras.json'
  with pytest.raises(ValueError, match='1 names need'):
    cameras_json.save(path, two_cameras(), NAMES[:1])
  cameras_json.save(path, two_cameras(), NAMES)
  entries = json.loads(path.read_text())
  entries[0]['width'] = 65
  path.write_text(json.dumps(entries))
  with pytest.raises(ValueError, match='must hold cameras of one size'):
    cameras_json.load(path)
