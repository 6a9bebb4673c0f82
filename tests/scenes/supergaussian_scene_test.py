"""The released archive's layout: which picture goes with which pose."""

import json
import pickle

import captures
import numpy as np
import pytest

from configs.scenes import supergaussian as supergaussian_config
from sr3d_jax import coarse, resolve
from sr3d_jax.io import images
from sr3d_jax.scenes import supergaussian

POSES = captures.circle(5)
WORLD_TO_CAM = np.linalg.inv(POSES)


@pytest.fixture
def archive(tmp_path):
  captures.write_supergaussian(tmp_path, POSES)
  return tmp_path


def _load(folder, **keys):
  return supergaussian.make(root=str(folder), **keys)


def test_captured_and_one_path_are_learnt_from_and_another_is_held_out(archive):
  scene = _load(archive, side=32)
  captured = tuple(f'{i:03d}.png' for i in range(5))
  beside = tuple(f'traj_1_{i:03d}.png' for i in range(4))
  assert scene.train_names == captured + beside
  assert scene.test_names == tuple(f'traj_0_{i:03d}.png' for i in range(4))
  expected = np.concatenate([WORLD_TO_CAM, WORLD_TO_CAM[1:]])
  found = scene.train.cameras.world_to_cam
  np.testing.assert_allclose(found, expected, atol=1e-5)
  np.testing.assert_allclose(
    scene.test.cameras.world_to_cam, WORLD_TO_CAM[:-1], atol=1e-5
  )
  for place, seed in ((0, 0), (4, 4), (5, 200), (8, 203)):
    expected = captures.photo(seed, scale=4)[:32, :32] / np.float32(255)
    np.testing.assert_array_equal(scene.train.images[place], expected)
  np.testing.assert_allclose(scene.points, np.eye(3)[:2])
  np.testing.assert_allclose(scene.colors, [[1, 0, 0.2], [0, 0.2, 0.4]])
  assert scene.background == (1, 1, 1)


@pytest.mark.parametrize('side', [None, 16])
def test_focal_lengths_follow_the_shorter_side_and_the_centre_the_middle(
  archive, side
):
  cameras = _load(archive, side=side).train.cameras
  size = side or 32
  # The photos are 24 x 16 and their focal length is 40.
  np.testing.assert_allclose(cameras.focal, 40 * size / 16)
  np.testing.assert_allclose(cameras.center, size / 2)
  assert (cameras.width, cameras.height) == (size, size)


def test_coarse_pictures_are_the_coarse_views_of_the_fine_ones(archive):
  shared = {'name': 'supergaussian', 'root': str(archive)}
  full = resolve.build('scenes', {**shared, 'side': 32})
  low = resolve.build(
    'scenes', {**shared, 'side': 8, 'images': supergaussian.COARSE}
  )
  coarse.check_pair(full, low, 4.0)
  expected = captures.photo(203)[:8, :8] / np.float32(255)
  np.testing.assert_array_equal(low.train.images[-1], expected)


def test_photos_are_cut_square_along_the_captured_path(archive):
  for i in range(5):
    images.save(archive / 'gt_rgb' / f'{i:03d}.png', captures.photo(i, scale=2))
  keys = {'images': 'gt_rgb', 'train': ('orig',), 'test': ()}
  scene = _load(archive, side=None, **keys)
  expected = captures.photo(0, scale=2)[:, 4:20] / np.float32(255)
  np.testing.assert_array_equal(scene.train.images[0], expected)
  np.testing.assert_allclose(scene.train.cameras.focal, 40)
  np.testing.assert_allclose(scene.train.cameras.center, 8)
  with pytest.raises(FileNotFoundError, match=r'no \.png of traj_0'):
    _load(archive, images='gt_rgb', train=('orig',))


def test_pictures_shrink_bilinearly(archive):
  """Half the size: weights 1, 3, 3, 1 of eight, amid the picture."""
  fine = _load(archive, side=None).train.images[0]
  found = _load(archive, side=16).train.images[0]
  taps = np.array([1, 3, 3, 1]) / 8
  block = fine[7:11, 9:13]
  expected = np.einsum('i,j,ijc->c', taps, taps, block)
  np.testing.assert_allclose(found[4, 5], expected, atol=1e-5)


@pytest.mark.parametrize('size', ['', 'smoke'])
def test_the_config_s_coarse_views_are_the_archive_s_own(archive, size, load):
  config = supergaussian_config.get_config(size)
  config.scene.root = config.lr_scene.root = str(archive)
  names = load('super_resolve')
  full = names['full_scene'](config)
  low = names['low_resolution'](config, full)
  train, test = low.train, low.test
  side = 16 if size == 'smoke' else 64
  assert full.train.images.shape == (9, 4 * side, 4 * side, 3)
  assert train.images.shape == (9, side, side, 3) and len(full.points) == 2
  coarse_picture = captures.photo(203)[:8, :8] / 255
  means = train.images[-1].mean(axis=(0, 1)), coarse_picture.mean(axis=(0, 1))
  np.testing.assert_allclose(*means, atol=0.02)
  assert len(test.images) == 4


def _pickle(name, value):
  return lambda folder: (folder / name).write_bytes(pickle.dumps(value))


def _poses(value):
  def spoil(folder):
    path = folder / 'novel_trajectory_poses' / '001.json'
    path.write_text(json.dumps(value))

  return spoil


def _lose(name):
  return lambda folder: (folder / name).unlink()


class _Hostile:
  """A pickle of it prints when loaded."""

  def __reduce__(self):
    return print, ('run',)


IMAGE = (1, [1.0, 0, 0, 0], [0.0, 0, 0], 1, 'a.jpg')
CAMERA = (1, 'SIMPLE_RADIAL', 24, 16, [40.0, 12, 8, 0])


@pytest.mark.parametrize(
  'spoil, told',
  [
    (_pickle('cam_extrinsics.pkl', [_Hostile()]), 'asks for .*print'),
    (_pickle('xyz.pkl', np.zeros((2, 4))), r'xyz\.pkl should hold .* float64'),
    (_pickle('rgb.pkl', np.zeros((2, 3))), r'rgb\.pkl should hold .* whole'),
    (_pickle('xyz.pkl', np.zeros((9, 3))), '9 points and rgb.pkl 2 colours'),
    (_pickle('xyz.pkl', {'a': 1}), 'got dict'),
    (_pickle('cam_extrinsics.pkl', {}), 'holds no cameras'),
    (_pickle('cam_extrinsics.pkl', [(1, 2)]), 'tuples of id, qvec, tvec'),
    (_pickle('cam_extrinsics.pkl', [(*IMAGE[:3], 7, 'a.jpg')]),
     r'a\.jpg has camera 7, but cam_intrinsics\.pkl has 1'),
    (_pickle('cam_extrinsics.pkl', [(1, [1.0, 0], *IMAGE[2:])]),
     r'a\.jpg should have 4 finite numbers'),
    (_pickle('cam_intrinsics.pkl', [(1, 'FISHEYE', *CAMERA[2:])]),
     "camera model 'FISHEYE'"),
    (_pickle('cam_extrinsics.pkl', [IMAGE]),
     'orig has 1 poses but 5 pictures NNN.png'),
    (_poses(WORLD_TO_CAM.tolist()), 'traj_1 has 5 poses but 4 pictures traj_1'),
    (_poses([[1, 2], [3]]), r'001\.json is no list of 4 x 4'),
    (_poses([[1, 2, 3]]), r'001\.json should hold \[T, 4, 4\].*\(1, 3\)'),
    (_poses((2 * WORLD_TO_CAM[1:]).tolist()), 'pose of .* not a rotation'),
    (_lose('rgb.pkl'), r'no scene of the archive: it has no rgb\.pkl'),
    (_lose('HR_131072_gaussian/traj_0_001.png'), 'traj_0 has 4 poses but 3'),
  ],
)  # fmt: skip
def test_what_is_wrong_with_a_scene_is_told(archive, spoil, told, capfd):
  spoil(archive)
  with pytest.raises((ValueError, FileNotFoundError), match=told):
    _load(archive, side=32)
  assert capfd.readouterr().out == ''


@pytest.mark.parametrize(
  'keys', [{'train': ('traj_2',)}, {'train': ('orig', 'traj_0')}]
)
def test_paths_that_are_none_or_twice_are_told(archive, keys):
  with pytest.raises(ValueError, match='different paths of orig, traj_0'):
    _load(archive, **keys)


def test_a_folder_that_is_not_there_is_told(archive):
  with pytest.raises(FileNotFoundError, match=r'such as LR_131072_gaussian'):
    _load(archive, images='LR')
