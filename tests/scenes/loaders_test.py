"""The capture formats, on small scenes written by the test and on real ones."""

import json

import numpy as np
import pytest

from sr3d_jax import capture, geometry
from sr3d_jax.io import images, paths
from sr3d_jax.scenes import blender, llff, transforms_json

NUM_VIEWS = 9
SIZE = (12, 8)


@pytest.fixture(autouse=True)
def _no_points(monkeypatch):
  """Noise has no features to triangulate; that is tested with COLMAP."""
  none = np.zeros((0, 3), np.float32)
  monkeypatch.setattr(capture, 'find_points', lambda *_, **__: (none, none))


def _photo(seed, channels=3):
  shape = (SIZE[1], SIZE[0], channels)
  return np.random.default_rng(seed).integers(0, 255, shape, np.uint8)


def _cam_to_world(i):
  """[4, 4] OpenCV camera i on a circle, looking at the origin."""
  eye = np.array([3 * np.cos(0.3 * i), 3 * np.sin(0.3 * i), 1.0 + 0.1 * i])
  world_to_cam = geometry.look_at(eye, np.zeros(3), np.array([0.0, 0, 1]))
  return np.linalg.inv(np.asarray(world_to_cam, np.float64))


def _opengl(pose):
  return (pose @ np.diag([1.0, -1, -1, 1])).tolist()


def _write_transforms(folder, *, num_files=NUM_VIEWS, header=None, **keys):
  frames = []
  for i in range(NUM_VIEWS):
    if i < num_files:
      images.save(folder / 'images' / f'{i}.png', _photo(i))
    pose = _opengl(_cam_to_world(i))
    frames.append(
      {'file_path': f'images/{i}.png', 'transform_matrix': pose, **keys}
    )
  header = header or {'fl_x': 20.0, 'fl_y': 21.0, 'cx': 5.5, 'cy': 4.5}
  path = folder / 'transforms.json'
  path.write_text(json.dumps({**header, 'frames': frames}))
  return path


def _write_llff(folder):
  rows = []
  for i in range(NUM_VIEWS):
    images.save(folder / 'images_4' / f'{i}.png', _photo(i))
    pose = _cam_to_world(i)
    right, down, forward, eye = pose[:3].T
    hwf = np.array([4 * SIZE[1], 4 * SIZE[0], 80.0])
    matrix = np.stack([down, right, -forward, eye, hwf], axis=1)
    rows.append(np.concatenate([matrix.ravel(), [1.0, 9.0]]))
  np.save(folder / 'poses_bounds.npy', np.array(rows))


def _write_blender(folder):
  for split, channels in (('train', 4), ('test', 3)):
    frames = []
    for i in range(NUM_VIEWS):
      images.save(folder / split / f'r_{i}.png', _photo(i, channels))
      pose = _opengl(_cam_to_world(i))
      frames.append({'file_path': f'./{split}/r_{i}', 'transform_matrix': pose})
    (folder / f'transforms_{split}.json').write_text(
      json.dumps({'camera_angle_x': 0.6, 'frames': frames})
    )


def _all_cameras(scene):
  """World_to_cam of every view by its name."""
  pairs = zip(scene.train_names, scene.train.cameras.world_to_cam)
  return dict([*pairs, *zip(scene.test_names, scene.test.cameras.world_to_cam)])


def test_transforms_json_reads_poses_photos_and_intrinsics(tmp_path):
  _write_transforms(tmp_path)
  scene = transforms_json.make(root=str(tmp_path))
  assert scene.test_names == ('0.png', '8.png') and scene.train.weights is None
  for name, pose in _all_cameras(scene).items():
    expected = np.linalg.inv(_cam_to_world(int(name[0])))
    np.testing.assert_allclose(pose, expected, atol=1e-5)
  np.testing.assert_array_equal(
    scene.train.images[2], _photo(3) / np.float32(255)
  )
  np.testing.assert_allclose(scene.train.cameras.focal[0], [20, 21])
  np.testing.assert_allclose(scene.train.cameras.center[0], [5.5, 4.5])
  # The origin, which every camera looks at, is in front of all of them.
  assert (scene.train.cameras.world_to_cam[:, 2, 3] > 0).all()


def test_all_formats_agree_on_the_same_cameras(tmp_path):
  for name in ('t', 'l', 'b'):
    (tmp_path / name).mkdir()
  _write_transforms(tmp_path / 't')
  _write_llff(tmp_path / 'l')
  _write_blender(tmp_path / 'b')
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
    np.testing.assert_allclose(pose, poses[name[2:]], atol=1e-5)


def test_a_frame_s_own_intrinsics_win_over_the_header(tmp_path):
  _write_transforms(tmp_path, header={'camera_angle_x': 0.6}, fl_x=33.0)
  scene = transforms_json.make(root=str(tmp_path))
  np.testing.assert_allclose(scene.train.cameras.focal, 33.0)
  path = _write_transforms(tmp_path, header={'camera_angle_x': 0.6})
  scene = transforms_json.make(root=str(path))
  np.testing.assert_allclose(
    scene.train.cameras.focal, 6 / np.tan(0.3), rtol=1e-6
  )


def test_frames_without_a_file_are_skipped_and_counted(tmp_path):
  _write_transforms(tmp_path, num_files=6)
  with pytest.warns(UserWarning, match='3 of 9 frames'):
    scene = transforms_json.make(root=str(tmp_path))
  assert len(scene.train.images) + len(scene.test.images) == 6


@pytest.mark.parametrize(
  'changes, error, message',
  [
    (dict(num_files=0), FileNotFoundError, 'none of the 9 frames'),
    (dict(split='test'), ValueError, '0 training views'),
    (dict(header={'k1': 0.0}), ValueError, 'neither fl_x nor camera_angle_x'),
    (dict(camera_model='x', header={'camera_model': 'FISHEYE', 'fl_x': 2}),
     ValueError, 'FISHEYE'),
    (dict(transform_matrix=[[0.0] * 4] * 4), ValueError, 'not a rotation'),
  ],
)  # fmt: skip
def test_bad_transforms_are_told_apart(tmp_path, changes, error, message):
  _write_transforms(tmp_path, **changes)
  with pytest.raises(error, match=message):
    transforms_json.make(root=str(tmp_path))


def test_one_view_broken_json_and_broken_photos(tmp_path):
  _write_transforms(tmp_path, num_files=1)
  with (
    pytest.warns(UserWarning),
    pytest.raises(ValueError, match='at least two'),
  ):
    transforms_json.make(root=str(tmp_path))
  path = _write_transforms(tmp_path)
  (tmp_path / 'images' / '4.png').write_bytes(b'\x89PNG\r\n\x1a\nbroken')
  with pytest.raises(ValueError, match=r'4\.png is not a readable image'):
    transforms_json.make(root=str(tmp_path))
  path.write_text('{"frames": [')
  with pytest.raises(ValueError, match='not valid JSON'):
    transforms_json.make(root=str(tmp_path))
  path.write_text('{}')
  with pytest.raises(ValueError, match='no frames'):
    transforms_json.make(root=str(tmp_path))


def test_blender_reads_both_sizes_and_lays_the_background(tmp_path):
  _write_blender(tmp_path)
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
  straight = _photo(0, 4) / 255
  full = blender.make(root=str(tmp_path), background=(1, 1, 1)).train.images[0]
  alpha = straight[..., 3:]
  np.testing.assert_allclose(
    full, straight[..., :3] * alpha + 1 - alpha, atol=1e-6
  )


def test_llff_counts_and_columns_must_agree(tmp_path):
  with pytest.raises(FileNotFoundError, match='no LLFF scene'):
    llff.make(root=str(tmp_path))
  _write_llff(tmp_path)
  (tmp_path / 'images_4' / '3.png').unlink()
  with pytest.raises(ValueError, match='9 poses but 8 images'):
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
