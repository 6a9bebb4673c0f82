"""COLMAP models, written by pycolmap and read back."""

import numpy as np
import pytest

from sr3d_jax import capture
from sr3d_jax.io import images
from sr3d_jax.scenes import colmap

SIMPLE = ('SIMPLE_RADIAL', [20.0, 13.0, 7.0, 0.0])
FISHEYE = ('OPENCV_FISHEYE', [60.0, 62, 41, 29, 0.03, -0.02, 0.01, 0.002])
FULL = ('FULL_OPENCV', [60.0, 62, 41, 29, 0.2, 0.05, 4e-3, -3e-3,
                        0.01, 0.02, 0.03, 0.01])  # fmt: skip


def _poses(number=4):
  """[number, 4, 4] world_to_cam, turning about y."""
  angles = np.linspace(0, 1, number)
  poses = np.tile(np.eye(4), (number, 1, 1))
  poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angles)
  poses[:, 0, 2], poses[:, 2, 0] = np.sin(angles), -np.sin(angles)
  poses[:, :3, 3] = np.arange(3 * number).reshape(number, 3)
  return poses


def _camera(kind, size):
  pycolmap = pytest.importorskip('pycolmap')
  model, params = kind
  return pycolmap.Camera(
    model=model, width=size[0], height=size[1], params=params, camera_id=1
  )


def _write_model(folder, camera, model='sparse/0', poses=None, num_points=1):
  """A model of 1.jpg, 2.jpg, ...; the later the name, the earlier the id."""
  pycolmap = pytest.importorskip('pycolmap')
  reconstruction = pycolmap.Reconstruction()
  reconstruction.add_camera_with_trivial_rig(camera)
  for i, pose in enumerate(_poses() if poses is None else poses):
    image = pycolmap.Image(name=f'{i + 1}.jpg', camera_id=1, image_id=99 - i)
    rotation = pycolmap.Rotation3d(pose[:3, :3])
    reconstruction.add_image_with_trivial_frame(
      image, pycolmap.Rigid3d(rotation, pose[:3, 3])
    )
  color = np.array([255, 0, 51])
  point = np.array([1.0, 2, 3])
  for _ in range(num_points):
    reconstruction.add_point3D(point, pycolmap.Track(), color)
  (folder / model).mkdir(parents=True)
  reconstruction.write(str(folder / model))


def _write_photos(folder, number=4, size=(12, 8), suffix='png'):
  """Flat photos whose brightness tells them apart."""
  for i in range(number):
    image = np.full((size[1], size[0], 3), i / 9)
    images.save(folder / f'{i + 1}.{suffix}', image)


@pytest.fixture
def capture_folder(tmp_path):
  _write_model(tmp_path, _camera(SIMPLE, (24, 16)))
  _write_photos(tmp_path / 'images_2')
  return tmp_path


def test_a_model_gives_its_poses_by_name_and_its_points(capture_folder):
  scene = colmap.make(root=str(capture_folder), images='images_2')
  assert scene.test_names == ('1.jpg',)
  np.testing.assert_allclose(
    scene.train.cameras.world_to_cam, _poses()[1:], atol=1e-6
  )
  np.testing.assert_allclose(scene.train.cameras.focal, 10)
  np.testing.assert_allclose(scene.train.cameras.center[0], [6.5, 3.5])
  np.testing.assert_allclose(
    scene.train.images[:, 0, 0, 0], np.arange(1, 4) / 9, atol=0.003
  )
  np.testing.assert_allclose(scene.points, [[1, 2, 3]])
  np.testing.assert_allclose(scene.colors, [[1, 0, 0.2]])
  bare = colmap.make(
    root=str(capture_folder), images='images_2', triangulate=False
  )
  assert bare.points.shape == bare.colors.shape == (0, 3)


def test_poses_without_points_get_some(tmp_path, monkeypatch):
  _write_model(tmp_path, _camera(SIMPLE, (24, 16)), num_points=0)
  _write_photos(tmp_path / 'images')
  found = np.ones((7, 3), np.float32)
  monkeypatch.setattr(capture, 'find_points', lambda *_, **__: (found, found))
  scene = colmap.make(root=str(tmp_path))
  np.testing.assert_array_equal(scene.points, found)


@pytest.mark.parametrize('kind', [FISHEYE, FULL], ids=['fisheye', 'full'])
def test_photos_of_any_camera_model_become_a_pinhole_s(tmp_path, kind):
  """A dot, put where pycolmap images a ray, moves to where a pinhole does."""
  camera = _camera(kind, (80, 60))
  _write_model(tmp_path, camera)
  ideal = np.array([0.35, -0.22])
  seen = camera.img_from_cam(np.array([*ideal, 1.0]))
  x, y = np.meshgrid(np.arange(80) + 0.5, np.arange(60) + 0.5)
  dot = np.exp(-((x - seen[0]) ** 2 + (y - seen[1]) ** 2) / 4)
  for i in range(4):
    photo = np.repeat(dot[..., None], 3, axis=-1)
    images.save(tmp_path / 'images' / f'{i + 1}.png', photo)
  views = colmap.make(root=str(tmp_path)).train
  focal, center = views.cameras.focal[0], views.cameras.center[0]
  np.testing.assert_allclose([*focal, *center], [60, 62, 41, 29])
  weight = views.images[0, ..., 0] / views.images[0, ..., 0].sum()
  found = np.array([(weight * x).sum(), (weight * y).sum()])
  np.testing.assert_allclose(found, ideal * focal + center, atol=0.1)
  assert np.linalg.norm(seen - found) > 0.5


def test_a_second_model_is_not_read(capture_folder):
  other = _camera(('PINHOLE', [30.0, 30, 12, 8]), (24, 16))
  _write_model(capture_folder, other, 'sparse/1', poses=_poses(2))
  scene = colmap.make(root=str(capture_folder), images='images_2')
  assert len(scene.train.images) == 3 and scene.train.cameras.focal[0, 0] == 10


def test_photos_that_are_gone_are_skipped_and_counted(capture_folder):
  (capture_folder / 'images_2' / '2.png').unlink()
  with pytest.warns(UserWarning, match='1 of the 4 photos'):
    scene = colmap.make(root=str(capture_folder), images='images_2')
  assert scene.train_names == ('3.jpg', '4.jpg')
  with pytest.raises(FileNotFoundError, match=r'none of the 4 .*1\.jpg'):
    colmap.make(root=str(capture_folder), images='images_4')


def test_masks_stand_in_a_folder_of_their_own(capture_folder):
  for i in range(4):
    mask = np.zeros((8, 12, 3))
    mask[:, 6:] = 1
    images.save(capture_folder / 'masks' / f'{i + 1}.jpg.png', mask)
  folder = str(capture_folder)
  keys = dict(root=folder, images='images_2', mask_root=f'{folder}/masks')
  laid = colmap.make(**keys, background=(0.0, 1.0, 0.0)).train
  np.testing.assert_array_equal(laid.images[0, :, :6], [[[0, 1, 0]] * 6] * 8)
  assert laid.weights is None
  kept = colmap.make(**keys, masks='ignore').train
  np.testing.assert_array_equal(kept.weights[0], mask[..., 0])


def test_a_failed_reconstruction_is_told_from_a_missing_one(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'holds no COLMAP.*sparse/0'):
    colmap.make(root=str(tmp_path))
  (tmp_path / 'sparse').mkdir()
  with pytest.raises(FileNotFoundError, match=r'failed.*leave'):
    colmap.make(root=str(tmp_path))
