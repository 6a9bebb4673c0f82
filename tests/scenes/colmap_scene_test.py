"""COLMAP models, written by pycolmap and read back."""

import numpy as np
import pytest

from sr3d_jax.io import images
from sr3d_jax.scenes import colmap


def _write_model(folder, poses):
  pycolmap = pytest.importorskip('pycolmap')
  model = pycolmap.Reconstruction()
  params = [20.0, 13.0, 7.0, 0.0]
  model.add_camera_with_trivial_rig(
    pycolmap.Camera(
      model='SIMPLE_RADIAL', width=24, height=16, params=params, camera_id=1
    )
  )
  for i, pose in enumerate(poses):
    image = pycolmap.Image(name=f'{i}.png', camera_id=1, image_id=9 - i)
    rotation = pycolmap.Rotation3d(pose[:3, :3])
    model.add_image_with_trivial_frame(
      image, pycolmap.Rigid3d(rotation, pose[:3, 3])
    )
    images.save(folder / 'images_2' / f'{i}.png', np.full((8, 12, 3), i / 9))
  track = pycolmap.Track()
  model.add_point3D(np.array([1.0, 2, 3]), track, np.array([255, 0, 51]))
  (folder / 'sparse' / '0').mkdir(parents=True)
  model.write(str(folder / 'sparse' / '0'))


def test_a_model_gives_its_poses_by_name_and_its_points(tmp_path):
  angles = np.linspace(0, 1, 4)
  poses = np.tile(np.eye(4), (4, 1, 1))
  poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angles)
  poses[:, 0, 2], poses[:, 2, 0] = np.sin(angles), -np.sin(angles)
  poses[:, :3, 3] = np.arange(12).reshape(4, 3)
  _write_model(tmp_path, poses)
  scene = colmap.make(root=str(tmp_path), images='images_2')
  assert scene.test_names == ('0.png',)
  np.testing.assert_allclose(
    scene.train.cameras.world_to_cam, poses[1:], atol=1e-6
  )
  np.testing.assert_allclose(scene.train.cameras.focal, 10)
  np.testing.assert_allclose(scene.train.cameras.center[0], [6.5, 3.5])
  np.testing.assert_allclose(
    scene.train.images[:, 0, 0, 0], np.arange(1, 4) / 9, atol=0.003
  )
  np.testing.assert_allclose(scene.points, [[1, 2, 3]])
  np.testing.assert_allclose(scene.colors, [[1, 0, 0.2]])


def test_a_folder_without_a_model_says_where_it_looked(tmp_path):
  with pytest.raises(FileNotFoundError, match='sparse/0'):
    colmap.make(root=str(tmp_path))
