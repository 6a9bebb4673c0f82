"""MVImgNet's folders: upright photos of a radial lens, and what spoils them."""

import shutil

import numpy as np
import pytest

from sr3d_jax.io import images
from sr3d_jax.scenes import mvimgnet

pycolmap = pytest.importorskip('pycolmap')

WIDTH, HEIGHT = 45, 80  # upright, and the rest of both is odd
FOCAL, CENTER, RADIAL = 70.0, (23.0, 38.0), 0.6
NUM_PHOTOS = 5
FEW = {'min_views': 2}
IDEAL = np.array([0.1, -0.2])  # a ray's place in the plane z = 1


def _camera():
  return pycolmap.Camera(
    model='SIMPLE_RADIAL',
    width=WIDTH,
    height=HEIGHT,
    params=[FOCAL, *CENTER, RADIAL],
    camera_id=1,
  )


def _write_model(folder, number=NUM_PHOTOS, shift=0.0):
  """Photos 001.jpg, ... that stand side by side; ids go backwards."""
  model = pycolmap.Reconstruction()
  model.add_camera_with_trivial_rig(_camera())
  for i in range(number):
    pose = pycolmap.Rigid3d(
      pycolmap.Rotation3d(np.eye(3)), np.array([0.1 * i + shift, 0, 2])
    )
    image = pycolmap.Image(name=_name(i), camera_id=1, image_id=50 - i)
    model.add_image_with_trivial_frame(image, pose)
  color = np.array([255, 0, 51])
  model.add_point3D(np.array([0.5, 0, 1]), pycolmap.Track(), color)
  folder.mkdir(parents=True)
  model.write(str(folder))


def _name(i):
  return f'{i + 1:03d}.jpg'


def _photo():
  """A dot where the lens images `IDEAL`, on grey; and that place."""
  seen = _camera().img_from_cam(np.array([*IDEAL, 1.0]))
  x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
  dot = np.exp(-((x - seen[0]) ** 2 + (y - seen[1]) ** 2) / 8)
  return np.repeat(0.2 + 0.7 * dot[..., None], 3, axis=-1), seen


@pytest.fixture
def capture_folder(tmp_path):
  folder = tmp_path / '7' / '1a2b'
  _write_model(folder / 'sparse' / '0')
  for i in range(NUM_PHOTOS):
    images.save(folder / 'images' / _name(i), _photo()[0])
  return folder


def _load(folder, **keys):
  return mvimgnet.make(root=str(folder), **{**FEW, **keys})


@pytest.mark.parametrize('side', [None, 30])
def test_a_ray_is_seen_where_the_square_s_pinhole_says(capture_folder, side):
  scene = _load(capture_folder, side=side)
  cameras, found = scene.train.cameras, scene.train.images[0, ..., 0] - 0.2
  assert (cameras.width, cameras.height) == (side or WIDTH,) * 2
  ratio = (side or WIDTH) / WIDTH
  np.testing.assert_allclose(cameras.focal[0], FOCAL * ratio, rtol=1e-6)
  # 17 rows above the square, half of the rest, in whole pixels.
  np.testing.assert_allclose(
    cameras.center[0], [23 * ratio, (38 - 17) * ratio], rtol=1e-6
  )
  expected = IDEAL * cameras.focal[0] + cameras.center[0]
  weight = np.where(found > 0.15, found, 0)
  x = np.arange(cameras.width) + 0.5
  place = [(weight.sum(axis) * x).sum() / weight.sum() for axis in (0, 1)]
  np.testing.assert_allclose(place, expected, atol=0.08)
  distorted = (_photo()[1] - (0, 17)) * ratio
  assert np.linalg.norm(distorted - expected) > 0.25


def test_poses_go_by_name_and_every_eighth_is_held_out(capture_folder):
  scene = _load(capture_folder)
  assert scene.name == '7_1a2b' and scene.test_names == ('001.jpg',)
  assert scene.train_names == tuple(_name(i) for i in range(1, NUM_PHOTOS))
  np.testing.assert_allclose(
    scene.train.cameras.world_to_cam[:, 0, 3], 0.1 * np.arange(1, NUM_PHOTOS)
  )
  assert scene.train.images.shape[1:] == (256, 256, 3)
  np.testing.assert_allclose(scene.points, [[0.5, 0, 1]])
  np.testing.assert_allclose(scene.colors, [[1, 0, 0.2]])
  assert not len(_load(capture_folder, triangulate=False).points)


def test_of_two_models_the_first_counts(capture_folder):
  _write_model(capture_folder / 'sparse' / '1', number=2, shift=9.0)
  scene = _load(capture_folder)
  assert scene.train.cameras.world_to_cam[:, 0, 3].max() < 1


def test_masks_lie_in_a_tree_of_their_own(capture_folder, tmp_path):
  folder = tmp_path / 'mask' / '7' / '1a2b'
  for i in range(NUM_PHOTOS):
    mask = np.zeros((HEIGHT, WIDTH, 3))
    mask[:30] = 1
    images.save(folder / f'{_name(i)}.png', mask)
  keys = {'mask_root': str(folder), 'side': None}
  laid = _load(capture_folder, **keys, background=(0.0, 1.0, 0.0)).train
  # The mask ends 13 rows below the square's edge; its spline rings.
  np.testing.assert_allclose(laid.images[0, 18:], [[[0, 1, 0]] * WIDTH] * 27,
                             atol=0.02)  # fmt: skip
  assert (laid.images[0, :9, 10:35, 2] > 0.1).all()
  assert _load(capture_folder, **keys, masks='ignore').train.weights is not None


def _empty(folder):
  shutil.rmtree(folder / 'sparse' / '0')


def _second_only(folder):
  (folder / 'sparse' / '0').rename(folder / 'sparse' / '1')


def _empty_images(folder):
  (folder / 'sparse' / '0' / 'images.bin').write_bytes(b'')


def _cut_images(folder):
  path = folder / 'sparse' / '0' / 'images.bin'
  path.write_bytes(path.read_bytes()[:300])


def _lose(*numbers):
  def spoil(folder):
    for i in numbers:
      (folder / 'images' / _name(i)).unlink()

  return spoil


def _turn(folder):
  images.save(folder / 'images' / _name(2), np.rot90(_photo()[0]))


@pytest.mark.parametrize(
  'spoil, keys, told',
  [
    (_empty, {}, '7/1a2b has an empty sparse folder.*leave'),
    (_second_only, {}, '7/1a2b has a model in sparse/1, and none in sparse/0'),
    (_empty_images, {}, '7/1a2b lacks images in sparse/0'),
    (_lose(2, 3), {}, r'7/1a2b lacks 2 of the 5 .* 003\.jpg.*max_missing=2'),
    (_lose(*range(5)), {}, r'7/1a2b has none of the 5 photos'),
    (_lose(2, 3), {'max_missing': 2, 'min_views': 4},
     '7/1a2b: 3 photos have a place, wanted at least 4'),
    (_cut_images, {}, '7/1a2b: .*image'),
    (_turn, {}, r'7/1a2b: 003\.jpg is 80 x 45.*turned'),
    (lambda folder: None, {'num_views': (5, 1)}, '7/1a2b.*expected 5 and 1'),
  ],
  ids=[
    'empty', 'second', 'hollow', 'two', 'none', 'few', 'cut', 'turned', 'count'
  ],
)  # fmt: skip
def test_what_spoils_a_capture_is_told_by_its_name(
  capture_folder, spoil, keys, told
):
  spoil(capture_folder)
  with pytest.raises((FileNotFoundError, ValueError), match=told):
    _load(capture_folder, **keys)


def test_some_photos_may_be_missing_where_that_is_allowed(capture_folder):
  _lose(2)(capture_folder)
  scene = _load(capture_folder, max_missing=1)
  assert '003.jpg' not in scene.train_names and len(scene.train_names) == 3
