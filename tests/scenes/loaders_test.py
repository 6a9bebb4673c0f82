"""The capture formats, on small scenes written by the test and on real ones."""

import json

import captures
import numpy as np
import pytest
from captures import NUM_VIEWS, photo

from sr3d_jax import capture
from sr3d_jax.io import images, paths
from sr3d_jax.scenes import blender, llff, transforms_json

POSES = captures.circle()


@pytest.fixture(autouse=True)
def _no_points(monkeypatch):
  """Noise has no features to triangulate; that is tested with COLMAP."""
  none = np.zeros((0, 3), np.float32)
  monkeypatch.setattr(capture, 'find_points', lambda *_, **__: (none, none))


def _all_cameras(scene):
  """World_to_cam of every view by its name."""
  pairs = zip(scene.train_names, scene.train.cameras.world_to_cam)
  return dict([*pairs, *zip(scene.test_names, scene.test.cameras.world_to_cam)])


def test_transforms_json_reads_poses_photos_and_intrinsics(tmp_path):
  captures.write_transforms(tmp_path, POSES)
  scene = transforms_json.make(root=str(tmp_path))
  assert scene.test_names == ('0.png', '8.png') and scene.train.weights is None
  for name, pose in _all_cameras(scene).items():
    expected = np.linalg.inv(POSES[int(name[0])])
    np.testing.assert_allclose(pose, expected, atol=1e-5)
  np.testing.assert_array_equal(
    scene.train.images[2], photo(3) / np.float32(255)
  )
  np.testing.assert_allclose(scene.train.cameras.focal[0], [20, 21])
  np.testing.assert_allclose(scene.train.cameras.center[0], [5.5, 4.5])
  # The origin, which every camera looks at, is in front of all of them.
  assert (scene.train.cameras.world_to_cam[:, 2, 3] > 0).all()


def test_all_formats_agree_on_the_same_cameras(tmp_path):
  for name in ('t', 'l', 'b'):
    (tmp_path / name).mkdir()
  captures.write_transforms(tmp_path / 't', POSES)
  captures.write_llff(tmp_path / 'l', POSES)
  captures.write_blender(tmp_path / 'b', POSES)
  first = transforms_json.make(root=str(tmp_path / 't'))
  second = llff.make(root=str(tmp_path / 'l'), images='images_4')
  third = blender.make(root=str(tmp_path / 'b'), num_points=10)
  np.testing.assert_allclose(second.train.cameras.focal, 20.0)
  np.testing.assert_allclose(second.train.cameras.center[0], [6, 4])
  np.testing.assert_array_equal(first.train.images, second.train.images)
  poses = _all_cameras(first)
  for name, pose in _all_cameras(second).items():
    np.testing.assert_allclose(pose, poses[name], atol=1e-5)
  for name, pose in zip(third.train_names, third.train.cameras.world_to_cam):
    np.testing.assert_allclose(
      pose, poses[name.removeprefix('train/r_')], atol=1e-5
    )


def test_a_frame_s_own_intrinsics_win_over_the_header(tmp_path):
  captures.write_transforms(
    tmp_path, POSES, header={'camera_angle_x': 0.6}, fl_x=33.0
  )
  scene = transforms_json.make(root=str(tmp_path))
  np.testing.assert_allclose(scene.train.cameras.focal, 33.0)
  captures.write_transforms(tmp_path, POSES, header={'camera_angle_x': 0.6})
  scene = transforms_json.make(root=str(tmp_path / 'transforms.json'))
  np.testing.assert_allclose(
    scene.train.cameras.focal, 6 / np.tan(0.3), rtol=1e-6
  )


def test_frames_without_a_file_are_skipped_and_counted(tmp_path):
  captures.write_transforms(tmp_path, POSES, num_files=6)
  with pytest.warns(UserWarning, match='3 of 9 frames'):
    scene = transforms_json.make(root=str(tmp_path))
  assert len(scene.train.images) + len(scene.test.images) == 6


@pytest.mark.parametrize(
  'changes, error, message',
  [
    (dict(num_files=0), FileNotFoundError, 'none of the 9 frames'),
    (dict(split='test'), ValueError, '0 training views'),
    (dict(header={'k1': 0.0}), ValueError, 'neither fl_x nor camera_angle_x'),
    (dict(header={'camera_model': 'FISHEYE', 'fl_x': 2}), ValueError,
     r'0\.png of .* has camera_model FISHEYE, a lens'),
    (dict(camera_model='OPENCV_FISHEYE'), ValueError, 'has camera_model OPEN'),
    (dict(k4=1e-3), ValueError, r'has k4 0\.001, a lens'),
    (dict(header={'fl_x': 2, 'ftheta_p0': 0, 'ftheta_p1': 0.5}), ValueError,
     r'has ftheta_p1 0\.5, a lens'),
    (dict(distortion_params=[0, 0.1]), ValueError, 'has distortion_params'),
    (dict(transform_matrix=[[0.0] * 4] * 4), ValueError, 'not a rotation'),
    (dict(is_fisheye=True), ValueError, 'has is_fisheye True'),
    (dict(header={'is_fisheye': True, 'fl_x': 2}), ValueError, 'is_fisheye'),
    (dict(header={'ply_file_path': 'no.ply'}), FileNotFoundError, r'no\.ply'),
    (dict(header={'test_filenames': []}), ValueError, 'has no train_filenames'),
    (dict(header={'train_filenames': ['a.png']}), ValueError,
     r'a\.png in train_filenames, but no frame'),
  ],
)  # fmt: skip
def test_bad_transforms_are_told_apart(tmp_path, changes, error, message):
  captures.write_transforms(tmp_path, POSES, **changes)
  with pytest.raises(error, match=message):
    transforms_json.make(root=str(tmp_path))


def test_keys_of_other_lenses_may_be_nothing(tmp_path):
  nothing = {'is_fisheye': False, 'k4': 0.0, 'ftheta_p0': 0, 'omega': None}
  captures.write_transforms(
    tmp_path, POSES, header={'fl_x': 20.0, **nothing}, k4=0
  )
  scene = transforms_json.make(root=str(tmp_path))
  assert scene.train.weights is None  # nothing was undistorted


def test_a_folder_without_poses_is_told_of_other_loaders(tmp_path):
  images.save(tmp_path / '0.png', photo(0))
  told = r'has no transforms\.json.*scene\.name=photos.*scene\.name=colmap'
  with pytest.raises(FileNotFoundError, match=told):
    transforms_json.make(root=str(tmp_path))


@pytest.mark.parametrize(
  'text, told',
  [
    ('{"frames": [', 'not valid JSON'),
    ('{}', 'lists no frames'),
    ('[3]', 'lists no frames'),
    ('{"frames": [3]}', 'frame 0 .* no file_path and no transform_matrix'),
    ('{"frames": [{"file_path": "a"}]}', 'frame 0 .* no transform_matrix'),
  ],
)
@pytest.mark.parametrize(
  'module, name',
  [(transforms_json, 'transforms'), (blender, 'transforms_train')],
)
def test_a_broken_file_is_told(module, name, text, told, tmp_path):
  (tmp_path / f'{name}.json').write_text(text)
  with pytest.raises(ValueError, match=told):
    module.make(root=str(tmp_path))


def test_nerfstudio_s_lists_of_names_divide_the_frames(tmp_path):
  names = [f'./images/{i}.png' for i in range(NUM_VIEWS)]
  header = {
    'fl_x': 20.0,
    'train_filenames': names[:5],
    'val_filenames': names[5:6],
    'test_filenames': names[6:8],
  }
  captures.write_transforms(tmp_path, POSES, header=header)
  with pytest.warns(UserWarning, match='1 of 9 frames .* none of its lists'):
    scene = transforms_json.make(root=str(tmp_path))
  assert scene.train_names == tuple(f'{i}.png' for i in range(5))
  assert scene.test_names == ('5.png', '6.png', '7.png')


def test_points_are_where_the_header_says(tmp_path):
  header = {'fl_x': 20.0, 'ply_file_path': 'sparse_pc.ply'}
  captures.write_transforms(tmp_path, POSES, header=header)
  captures.write_points(tmp_path)
  (tmp_path / 'points3D.ply').rename(tmp_path / 'sparse_pc.ply')
  scene = transforms_json.make(root=str(tmp_path))
  np.testing.assert_allclose(scene.points, [[0, 0.5, 1], [-1, 0, 0]])


def test_photos_of_one_name_in_two_folders_stay_apart(tmp_path):
  captures.write_transforms(tmp_path, POSES)
  path = tmp_path / 'transforms.json'
  header = json.loads(path.read_text())
  for side in ('left', 'right'):
    images.save(tmp_path / 'images' / side / '0.png', photo(ord(side[0])))
    frame = {**header['frames'][0], 'file_path': f'images/{side}/0.png'}
    header['frames'].append(frame)
  path.write_text(json.dumps(header))
  scene = transforms_json.make(root=str(tmp_path))
  assert scene.test_names == ('0.png', '8.png')
  assert scene.train_names[-2:] == ('left/0.png', 'right/0.png')
  np.testing.assert_array_equal(
    scene.train.images[-1], photo(ord('r')) / np.float32(255)
  )


def test_two_frames_of_one_photo_are_told(tmp_path):
  captures.write_transforms(tmp_path, POSES)
  path = tmp_path / 'transforms.json'
  header = json.loads(path.read_text())
  path.write_text(json.dumps({**header, 'frames': header['frames'][:3] * 2}))
  with pytest.raises(ValueError, match=r'2 views are called 0\.png'):
    transforms_json.make(root=str(tmp_path))


def test_blender_wants_its_field_of_view(tmp_path):
  captures.write_blender(tmp_path, POSES)
  path = tmp_path / 'transforms_test.json'
  path.write_text(path.read_text().replace('camera_angle_x', 'angle'))
  with pytest.raises(ValueError, match=r'_test\.json has no camera_angle_x'):
    blender.make(root=str(tmp_path), num_points=10)


def test_blender_reads_both_sizes_and_lays_the_background(tmp_path):
  captures.write_blender(tmp_path, POSES)
  scene = blender.make(
    root=str(tmp_path), downscale=2, num_points=500, background=(1, 1, 1)
  )
  assert scene.train.images.shape == (NUM_VIEWS, 4, 6, 3)
  assert scene.test.images.shape == (NUM_VIEWS, 8, 12, 3)
  np.testing.assert_allclose(
    scene.test.cameras.focal, 2 * scene.train.cameras.focal
  )
  assert scene.points.shape == (500, 3)
  assert 1.2 < np.abs(scene.points).max() <= 1.3
  straight = photo(0, 4) / 255
  full = blender.make(root=str(tmp_path), background=(1, 1, 1)).train.images[0]
  alpha = straight[..., 3:]
  np.testing.assert_allclose(
    full, straight[..., :3] * alpha + 1 - alpha, atol=1e-6
  )


def test_blender_takes_the_mean_of_four_premultiplied_pixels(tmp_path):
  captures.write_blender(tmp_path, POSES)
  scene = blender.make(root=str(tmp_path), downscale=2, test_size=(6, 4))
  for found, channels in ((scene.train, 4), (scene.test, 3)):
    straight = photo(0, channels) / 255
    alpha = straight[..., 3:] if channels == 4 else 1
    blocks = (straight[..., :3] * alpha).reshape(4, 2, 6, 2, 3)
    np.testing.assert_allclose(
      found.images[0], blocks.mean(axis=(1, 3)), atol=1e-6
    )


def test_llff_counts_and_columns_must_agree(tmp_path):
  with pytest.raises(FileNotFoundError, match='no LLFF scene'):
    llff.make(root=str(tmp_path))
  captures.write_llff(tmp_path, POSES)
  (tmp_path / 'images_4' / '3.png').unlink()
  with pytest.raises(ValueError, match='9 poses but 8 images'):
    llff.make(root=str(tmp_path), images='images_4')
  (tmp_path / 'poses_bounds.npy').write_bytes(b'')
  with pytest.raises(ValueError, match='not a NumPy file'):
    llff.make(root=str(tmp_path), images='images_4')
  np.save(tmp_path / 'poses_bounds.npy', np.zeros((8, 15)))
  with pytest.raises(ValueError, match=r'\[N, 17\]'):
    llff.make(root=str(tmp_path), images='images_4')


def _real(root):
  try:
    return str(paths.data_path(root))
  except FileNotFoundError:
    pytest.skip(f'{root} is absent: set SR3D_DATA to the folder that holds it')


def _borrow(root, folder, change):
  """A copy of a real scene, its files linked, its frames changed."""
  source = paths.data_path(root)
  for path in source.iterdir():
    if path.name != 'transforms.json':
      (folder / path.name).symlink_to(path)
  header = json.loads((source / 'transforms.json').read_text())
  header['frames'] = change(header['frames'])
  (folder / 'transforms.json').write_text(json.dumps(header))
  return str(folder)


def test_fern_by_llff_equals_fern_by_transforms_json(tmp_path):
  root = _real('dev/scenes/llff_fern')

  def smaller(frames):  # the small photos; intrinsics stay those of images_2
    for frame in frames:
      stem = frame['file_path'].split('/')[1].removesuffix('.jpg')
      frame['file_path'] = f'images_8/{stem}.png'
    return frames

  first = llff.make(root=root, images='images_8')
  second = transforms_json.make(root=_borrow(root, tmp_path, smaller))
  assert (len(first.train.images), len(first.test.images)) == (17, 3)
  assert first.train.images.shape[1:] == (378, 504, 3)
  np.testing.assert_array_equal(first.test.images, second.test.images)
  for one, other in ((first.train, second.train), (first.test, second.test)):
    one, other = one.cameras, other.cameras
    np.testing.assert_allclose(one.world_to_cam, other.world_to_cam, atol=1e-5)
    np.testing.assert_allclose(one.focal, other.focal, rtol=1e-4)
    np.testing.assert_allclose(one.center, other.center, rtol=1e-4)


def test_sceaux_points_project_onto_their_colours(tmp_path):
  root = _real('dev/scenes/sceaux')
  root = _borrow(root, tmp_path, lambda frames: frames[1:3])
  scene = transforms_json.make(root=root, downscale=8)
  cameras, points = scene.train.cameras, np.asarray(scene.points)
  colors, error, chance = np.asarray(scene.colors), [], []
  for image, pose, focal, center in zip(
    scene.train.images, cameras.world_to_cam, cameras.focal, cameras.center
  ):
    local = points @ pose[:3, :3].T + pose[:3, 3]
    pixels = np.floor(local[:, :2] / local[:, 2:] * focal + center).astype(int)
    limit = (cameras.width, cameras.height)
    seen = (local[:, 2] > 0) & (pixels >= 0).all(1) & (pixels < limit).all(1)
    found = image[pixels[seen, 1], pixels[seen, 0]]
    error.append(np.abs(found - colors[seen]).mean())
    chance.append(np.abs(found - np.roll(colors[seen], 99, axis=0)).mean())
  assert np.mean(error) < 0.65 * np.mean(chance)
