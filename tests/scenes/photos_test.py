"""Plain photos find their places: a drawn room, a real fox, bad folders."""

import json

import numpy as np
import pytest
import scipy.ndimage
from PIL import ExifTags, Image

from configs.scenes import own_folder
from sr3d_jax import geometry, resolve
from sr3d_jax.io import colmap, images, paths, sfm
from sr3d_jax.scenes import photos

NUM_VIEWS, SIZE, FOCAL = 6, (240, 180), 225.0
TURNED = 4  # this photo lies on its side, and its EXIF says so


@pytest.fixture(autouse=True)
def _cache_of_its_own(monkeypatch, tmp_path_factory):
  """One cache for all tests of a run, not the user's."""
  home = tmp_path_factory.getbasetemp() / 'home'
  monkeypatch.setenv('HOME', str(home))


def _texture(rng):
  """[512, 512, 3] blobs of three sizes, seamless."""
  noise = rng.uniform(size=(512, 512, 3))
  blobs = sum(
    size * scipy.ndimage.gaussian_filter(noise, (size, size, 0), mode='wrap')
    for size in (1.5, 4, 10)
  )
  return (blobs - blobs.min()) / np.ptp(blobs)


def _draw(pose, walls):
  """[H, W, 3] the corner where the planes x = 0, y = 0 and z = 0 meet."""
  x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
  plane = (np.stack([x, y], axis=-1) - np.array(SIZE) / 2) / FOCAL
  rays = np.concatenate([plane, np.ones_like(x)[..., None]], axis=-1)
  rays = rays @ pose[:3, :3]
  eye = -pose[:3, :3].T @ pose[:3, 3]
  depths = np.where(rays < 0, -eye / np.minimum(rays, -1e-9), np.inf)
  hits = eye + depths.min(axis=-1, keepdims=True) * rays
  image = np.zeros_like(rays)
  for axis, wall in enumerate(walls):
    chosen = depths.argmin(axis=-1) == axis
    where = 110 * np.delete(hits[chosen], axis, axis=-1).T
    image[chosen] = np.stack(
      [
        scipy.ndimage.map_coordinates(c, where, order=1, mode='grid-wrap')
        for c in np.moveaxis(wall, -1, 0)
      ],
      axis=-1,
    )
  return image


def _eyes():
  """[V, 3] an arc before the corner."""
  angles = np.linspace(0.35, 1.2, NUM_VIEWS)
  height = 1.6 + 0.4 * np.sin(5 * angles)
  return np.stack([3.2 * np.cos(angles), 3.2 * np.sin(angles), height], axis=-1)


@pytest.fixture(scope='module')
def room(tmp_path_factory):
  """A folder of photos of the room, one of them lying on its side."""
  pytest.importorskip('pycolmap')
  folder = tmp_path_factory.mktemp('room')
  rng = np.random.default_rng(0)
  walls = [_texture(rng) for _ in range(3)]
  for i, eye in enumerate(_eyes()):
    pose = geometry.look_at(eye, np.array([0.5, 0.5, 0.6]), np.array([0, 0, 1]))
    image = np.round(255 * _draw(np.asarray(pose, np.float64), walls))
    image = Image.fromarray(image.astype(np.uint8))
    exif = Image.Exif()
    if i == TURNED:
      exif[ExifTags.Base.Orientation] = 6
      image = image.transpose(Image.Transpose.ROTATE_90)
    image.save(folder / f'{i}.jpg', quality=95, exif=exif)
  return folder


def _positions(cameras):
  """[V, 3] where cameras stand."""
  rotation, shift = (
    cameras.world_to_cam[:, :3, :3],
    cameras.world_to_cam[:, :3, 3],
  )
  return -np.einsum('vij,vi->vj', rotation, shift)


def test_photos_of_a_room_find_their_places(room, monkeypatch, recwarn):
  scene = photos.make(root=str(room))
  assert not [w for w in recwarn if w.category is UserWarning]
  assert scene.test_names == ('0.jpg',) and len(scene.train.images) == 5
  assert scene.train.images.shape[1:] == (SIZE[1], SIZE[0], 3)
  assert sfm.disagreement(_positions(scene.train.cameras), _eyes()[1:]) < 0.005
  np.testing.assert_allclose(scene.train.cameras.focal, FOCAL, rtol=0.02)
  assert len(scene.points) > 500

  # The points' colours are where their cameras see them.
  cameras = scene.train.cameras
  for i in (0, TURNED - 1):
    pose = cameras.world_to_cam[i]
    local = scene.points @ pose[:3, :3].T + pose[:3, 3]
    pixels = local[:, :2] / local[:, 2:] * cameras.focal[i] + cameras.center[i]
    column, row = np.floor(pixels).astype(int).T
    seen = (row >= 0) & (row < SIZE[1]) & (column >= 0) & (column < SIZE[0])
    found = scene.train.images[i, row[seen], column[seen]]
    error = np.abs(found - scene.colors[seen]).mean()
    chance = np.abs(found - np.roll(scene.colors[seen], 99, axis=0)).mean()
    assert seen.sum() > 200 and error < 0.5 * chance

  def again(*_):
    raise AssertionError('the cache was not used')

  monkeypatch.setattr(sfm, '_reconstruct', again)
  smaller = photos.make(root=str(room), downscale=2, triangulate=False)
  assert smaller.points.shape == smaller.colors.shape == (0, 3)
  np.testing.assert_allclose(
    2 * smaller.train.cameras.focal, cameras.focal, rtol=1e-6
  )
  with pytest.raises(AssertionError, match='cache'):  # settings are hashed too
    photos.make(root=str(room), min_matches=99)


def test_mappers_that_disagree_are_reported(room, monkeypatch):
  monkeypatch.setattr(photos, 'MAX_DISAGREEMENT', 0.0)
  with pytest.warns(UserWarning, match='two mappers.*repeating texture'):
    photos.make(root=str(room))
  read = colmap.read_model

  def few(folder):
    placed, *points = read(folder)
    return placed[: 2 if folder.name == sfm.MODELS[1] else None], *points

  monkeypatch.setattr(colmap, 'read_model', few)
  with pytest.warns(UserWarning, match='only 2 of the 6 photos.*unchecked'):
    photos.make(root=str(room))


def test_photos_without_a_place_are_named(room, tmp_path):
  """Five photos of noise beside four of the room."""
  for i in range(1, 5):
    (tmp_path / f'{i}.jpg').symlink_to(room / f'{i}.jpg')
  rng = np.random.default_rng(0)
  for i in range(5):
    noise = rng.uniform(size=(SIZE[1], SIZE[0], 3))
    images.save(tmp_path / f'noise{i}.jpg', noise)
  with pytest.warns(UserWarning) as warned:
    scene = photos.make(root=str(tmp_path))
  (text,) = [str(w.message) for w in warned]
  assert 'only 4 of the 9 photos' in text and 'most are lost' in text
  assert ', '.join(f'noise{i}.jpg' for i in range(5)) in text
  assert scene.train_names == ('2.jpg', '3.jpg', '4.jpg')


def test_copies_are_upright_small_and_kept_apart_by_lens(tmp_path):
  """What COLMAP is given: a folder a camera, focal lengths in the EXIF."""
  files = []
  for i, (size, orientation, focal) in enumerate(
    [
      ((64, 48), 1, 26),
      ((48, 64), 6, 26),
      ((64, 48), 1, 13),
      ((3200, 48), 1, 26),
    ]
  ):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.FocalLengthIn35mmFilm] = focal
    files.append(tmp_path / f'{i}.jpg')
    Image.new('RGB', size).save(files[i], exif=exif)
  sfm._copy_upright(files, tmp_path / 'copies')
  copies = sorted((tmp_path / 'copies').rglob('*.jpg'), key=lambda p: p.name)
  assert [path.parent.name for path in copies] == ['0', '0', '1', '2']
  opened = [Image.open(path) for path in copies]
  assert [copy.size for copy in opened] == [(64, 48)] * 3 + [(1600, 24)]
  details = opened[1].getexif().get_ifd(ExifTags.IFD.Exif)
  assert details[ExifTags.Base.FocalLengthIn35mmFilm] == 26


def test_photos_that_fit_nowhere_are_refused_and_not_cached(tmp_path):
  pytest.importorskip('pycolmap')
  for i in range(4):
    images.save(tmp_path / f'{i}.png', np.full((32, 48, 3), i / 4))
  with pytest.raises(ValueError, match=r'no two of the 4 photos.*100 matches'):
    sfm.reconstruct(sorted(tmp_path.glob('*.png')), cache=tmp_path / 'cache')
  with pytest.raises(ValueError, match=r'unknown camera_model.*OPENCV, '):
    sfm.reconstruct(
      sorted(tmp_path.glob('*.png')), camera_model='Z', cache=tmp_path / 'cache'
    )
  assert not list((tmp_path / 'cache').iterdir())


def test_hosts_that_place_the_same_photos_at_once_use_one_result(
  tmp_path, monkeypatch
):
  photo, cache = tmp_path / '0.png', tmp_path / 'cache'
  images.save(photo, np.zeros((8, 12, 3)))

  def place(name):
    def reconstruct(scratch, *_):
      if name == 'late':  # the other host starts later and is done before
        monkeypatch.setattr(sfm, '_reconstruct', place('early'))
        sfm.reconstruct([photo], cache=cache)
      (scratch / 'models' / name).mkdir(parents=True)
      return scratch / 'models'

    return reconstruct

  monkeypatch.setattr(sfm, '_reconstruct', place('late'))
  models = sfm.reconstruct([photo], cache=cache)
  assert [path.name for path in models.iterdir()] == ['early']
  assert list(cache.iterdir()) == [models]


def test_a_model_that_cannot_be_kept_is_no_success(tmp_path, monkeypatch):
  images.save(tmp_path / '0.png', np.zeros((8, 12, 3)))
  nothing = tmp_path / 'nothing'
  monkeypatch.setattr(sfm, '_reconstruct', lambda *_: nothing)
  with pytest.raises(FileNotFoundError, match='nothing'):
    sfm.reconstruct([tmp_path / '0.png'], cache=tmp_path / 'cache')


def test_too_few_mixed_and_broken_photos_are_told_apart(tmp_path, monkeypatch):
  with pytest.raises(FileNotFoundError, match=r'holds no \.png'):
    photos.make(root=str(tmp_path))
  for i in range(2):
    images.save(tmp_path / f'{i}.png', np.zeros((8, 12, 3)))
  with pytest.raises(ValueError, match='2 photos, at least 3'):
    photos.make(root=str(tmp_path))
  images.save(tmp_path / '2.png', np.zeros((12, 8, 3)))
  with pytest.raises(ValueError, match=r'2 sizes.*2\.png are 8 x 12.*size='):
    photos.make(root=str(tmp_path))
  (tmp_path / '2.png').write_bytes(b'\x89PNG\r\n\x1a\nbroken')
  with pytest.raises(ValueError, match=r'2\.png is not a readable image'):
    photos.make(root=str(tmp_path))
  files = sorted(tmp_path.iterdir())
  with pytest.raises(ValueError, match=r'2\.png is not a readable image'):
    sfm.reconstruct(files, cache=tmp_path / 'cache')
  monkeypatch.setattr(sfm.importlib.util, 'find_spec', lambda _: None)
  with pytest.raises(ImportError, match='wants pycolmap: pip install'):
    sfm.reconstruct(files, cache=tmp_path / 'cache')


@pytest.mark.parametrize(
  'name', ['photos', 'colmap', 'transforms_json', 'llff']
)
def test_a_user_s_own_folder_needs_only_the_scene_s_name(name):
  section = own_folder.get_config('cpu').scene.to_dict()
  section.update(name=name, root='no/such/folder')
  with pytest.raises(FileNotFoundError, match='no/such/folder'):
    resolve.build('scenes', section)


def test_the_measure_of_disagreement_ignores_the_frame_only():
  rng = np.random.default_rng(0)
  centers = rng.normal(size=(9, 3))
  turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
  turn *= np.sign(np.linalg.det(turn))
  pytest.importorskip('pycolmap')
  moved = 3 * centers @ turn.T + [1, 2, 3]
  assert sfm.disagreement(centers, moved) < 1e-9
  mirrored = centers * [1, 1, -1]
  assert sfm.disagreement(mirrored, moved) > 0.1


def test_the_fox_stands_where_its_file_says(tmp_path):
  """Every third photo, halved: wallpaper, and a lens that bends."""
  pytest.importorskip('pycolmap')
  try:
    source = paths.data_path('dev/scenes/fox')
  except FileNotFoundError:
    pytest.skip('the fox is absent: set SR3D_DATA to the folder that holds it')
  files = images.list_images(source / 'images')[::3]
  for file in files:
    with Image.open(file) as photo:
      photo.reduce(2).save(tmp_path / file.name, quality=95)
  scene = photos.make(root=str(tmp_path), triangulate=False)
  header = json.loads((source / 'transforms.json').read_text())
  truth = {
    frame['file_path'].split('/')[-1]: np.array(frame['transform_matrix'])[
      :3, 3
    ]
    for frame in header['frames']
  }
  assert len(scene.train_names) + len(scene.test_names) == len(files)
  error = sfm.disagreement(
    _positions(scene.train.cameras), [truth[n] for n in scene.train_names]
  )
  assert error < 0.005
