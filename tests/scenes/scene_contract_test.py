"""What every scene keeps, and what each says of a capture that is spoilt."""

import captures
import numpy as np
import pytest

from sr3d_jax import resolve
from sr3d_jax.io import images, sfm
from sr3d_jax.scenes import mesh, nerf, procedural, splats


def _with_points(write):
  def write_both(folder, poses):
    captures.write_points(folder)
    return write(folder, poses)

  return write_both


def _write_photos(folder, poses):
  """Photos, and beside the folder what structure from motion would find."""
  paths = captures.write_colmap(folder, poses)
  (folder / 'images').rename(folder / 'photos')
  paths = [folder / 'photos' / path.name for path in paths]
  for model in sfm.MODELS:
    captures.write_model(folder / model, [p.name for p in paths], poses)
  return paths


# A writer, the place that `root` names below its folder, and further keys.
CAPTURES = {
  'transforms_json': (_with_points(captures.write_transforms), '.', {}),
  'llff': (_with_points(captures.write_llff), '.', {'images': 'images_4'}),
  'blender': (captures.write_blender, '.', {'num_points': 10}),
  'colmap': (captures.write_colmap, '.', {}),
  'mvimgnet': (captures.write_colmap, '.', {'side': None, 'min_views': 0}),
  'photos': (_write_photos, 'photos', {}),
  'supergaussian': (captures.write_supergaussian, '.', {'side': None}),
  'splats': (captures.write_splats, 'scene.ply', {'cameras': 'cameras.json'}),
}
DRAWN = {
  'procedural': procedural.TINY,
  'splats': splats.TINY,
  'mesh': mesh.TINY,
  'nerf': nerf.TINY,
}
OWN_SPLIT = (
  'blender',
  'procedural',
  'mesh',
  'nerf',
  'supergaussian',
)  # others: every eighth by name

SQUARE = ('mvimgnet', 'supergaussian')  # cut the middle out

WITH_PHOTOS = tuple(name for name in CAPTURES if name != 'splats')
WITH_POSES = ('transforms_json', 'llff', 'blender', 'splats')


def _load(name, folder, monkeypatch):
  _, place, keys = CAPTURES[name]
  monkeypatch.setattr(sfm, 'reconstruct', lambda files, **_: folder)
  root = str(folder / place)
  return resolve.build('scenes', {'name': name, 'root': root, **keys})


def _write(name, folder, num_views=captures.NUM_VIEWS, poses=None):
  if name in ('colmap', 'mvimgnet', 'photos'):
    pytest.importorskip('pycolmap')
  poses = captures.circle(num_views) if poses is None else poses
  return CAPTURES[name][0](folder, poses)


def test_every_scene_is_held_to_the_contract():
  assert CAPTURES.keys() | DRAWN.keys() == set(resolve.names('scenes'))


@pytest.fixture(
  scope='module',
  params=[*CAPTURES, *(f'{name} drawn' for name in DRAWN)],
)
def capture(request, tmp_path_factory):
  """(name, Scene)."""
  name, _, is_drawn = request.param.partition(' ')
  folder = tmp_path_factory.mktemp(name)
  if is_drawn:
    captures.write_splats(folder, captures.circle())
    captures.write_mesh(folder)
    captures.write_nerf(folder, captures.circle())
    file = {'mesh': 'scene.obj', 'nerf': 'nerf.npz'}.get(name, 'scene.ply')
    root = folder / file
    keys = {'name': name, 'root': str(root), **DRAWN[name]}
    return name, resolve.build('scenes', keys)
  _write(name, folder)
  with pytest.MonkeyPatch.context() as monkeypatch:
    return name, _load(name, folder, monkeypatch)


def test_images_are_float32_in_range_and_of_their_cameras_size(capture):
  _, scene = capture
  for views, names in (
    (scene.train, scene.train_names),
    (scene.test, scene.test_names),
  ):
    size = (len(names), views.cameras.height, views.cameras.width, 3)
    assert views.images.shape == size
    assert views.images.dtype == np.float32
    assert views.images.min() >= 0 and views.images.max() <= 1
    assert views.images.std() > 0.01


def test_poses_are_rigid_and_look_at_the_points(capture):
  _, scene = capture
  for cameras in (scene.train.cameras, scene.test.cameras):
    poses = np.asarray(cameras.world_to_cam, np.float64)
    axes = poses[:, :3, :3]
    unit = np.broadcast_to(np.eye(3), axes.shape)
    np.testing.assert_allclose(axes @ axes.swapaxes(1, 2), unit, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(axes), 1, atol=1e-5)
    np.testing.assert_array_equal(poses[:, 3], [[0, 0, 0, 1]] * len(poses))
    assert np.all(np.asarray(cameras.focal) > 0)
    middle = np.median(scene.points, axis=0)
    assert np.all(axes[:, 2] @ middle + poses[:, 2, 3] > 0)


def test_names_are_sorted_and_every_view_has_its_own(capture):
  name, scene = capture
  both = scene.train_names + scene.test_names
  assert len(set(both)) == len(both)
  for names in (scene.train_names, scene.test_names):
    assert list(names) == sorted(names)
  if name not in OWN_SPLIT:
    assert scene.test_names == tuple(sorted(both)[::8])


def test_points_are_finite_and_coloured(capture):
  _, scene = capture
  assert scene.points.shape == scene.colors.shape
  assert len(scene.points) > 1 and scene.points.dtype == np.float32
  assert np.isfinite(scene.points).all()
  assert scene.colors.min() >= 0 and scene.colors.max() <= 1
  assert scene.name and len(scene.background) == 3


@pytest.mark.parametrize('name', CAPTURES)
def test_a_missing_folder_is_told(name, tmp_path, monkeypatch):
  with pytest.raises(FileNotFoundError, match='where nothing is'):
    _load(name, tmp_path / 'nosuch', monkeypatch)


@pytest.mark.parametrize('name', CAPTURES)
def test_an_empty_folder_is_told(name, tmp_path, monkeypatch):
  for place in ('scene.ply', 'photos'):
    (tmp_path / place).mkdir()
  with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
    _load(name, tmp_path, monkeypatch)


@pytest.mark.parametrize('name', CAPTURES)
def test_one_view_is_too_few(name, tmp_path, monkeypatch):
  _write(name, tmp_path, num_views=1)
  with pytest.raises(ValueError, match=r'two (are needed )?to see depth'):
    _load(name, tmp_path, monkeypatch)


@pytest.mark.parametrize('name', WITH_PHOTOS)
def test_photos_of_two_sizes_are_told(name, tmp_path, monkeypatch):
  paths = _write(name, tmp_path)
  images.save(paths[3], captures.photo(3, scale=2))
  side = 16 if name in SQUARE else 24
  told = rf'1 like \S*{paths[3].name} are {side}'
  with pytest.raises(ValueError, match=told):
    _load(name, tmp_path, monkeypatch)


@pytest.mark.parametrize('name', WITH_PHOTOS)
def test_a_photo_that_was_cut_short_is_named(name, tmp_path, monkeypatch):
  paths = _write(name, tmp_path)
  images.save(tmp_path / 'whole.jpg', captures.photo(3))
  data = (tmp_path / 'whole.jpg').read_bytes()
  paths[3].write_bytes(data[: len(data) // 2 + 100])
  with pytest.raises(ValueError, match=f'{paths[3].name} is not a readable'):
    _load(name, tmp_path, monkeypatch)


@pytest.mark.parametrize('name', WITH_PHOTOS)
def test_a_capture_without_its_photos_is_told(name, tmp_path, monkeypatch):
  for path in _write(name, tmp_path):
    path.unlink()
  with pytest.raises(FileNotFoundError, match=r'none of|no \.png|not exist'):
    _load(name, tmp_path, monkeypatch)


@pytest.mark.parametrize('name', WITH_POSES)
@pytest.mark.parametrize(
  'spoil, told',
  [
    (lambda pose: pose * np.nan, '4 x 4 finite numbers'),
    (lambda pose: pose * [1, 0, 1, 1], 'not a rotation'),
    (lambda pose: pose * [-1, 1, 1, 1], 'not a rotation'),
    (lambda pose: pose * [3, 3, 3, 1], 'not a rotation'),
  ],
  ids=['nan', 'singular', 'mirrored', 'scaled'],
)
def test_a_pose_that_is_none_is_told(name, spoil, told, tmp_path, monkeypatch):
  poses = captures.circle()
  poses[3] = spoil(poses[3])
  _write(name, tmp_path, poses=poses)
  with pytest.raises(ValueError, match=rf'pose of \S*3\.png .*{told}'):
    _load(name, tmp_path, monkeypatch)
