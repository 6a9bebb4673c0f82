"""COLMAP's camera models; points from photos whose cameras are known."""

import numpy as np
import pytest

from sr3d_jax import capture
from sr3d_jax.io import colmap
from sr3d_jax.scenes import procedural
from sr3d_jax.types import Views

SIZE = (640, 480)
TERMS = {  # what follows the focal lengths and the centre
  'SIMPLE_PINHOLE': (),
  'PINHOLE': (),
  'SIMPLE_RADIAL': (0.1,),
  'RADIAL': (0.1, -0.05),
  'OPENCV': (0.1, -0.05, 0.002, -0.003),
  'FULL_OPENCV': (0.1, -0.05, 0.002, -0.003, 0.01, 0.02, 0.03, -0.01),
  'FOV': (0.7,),
  'SIMPLE_DIVISION': (-0.1,),
  'DIVISION': (-0.1,),
  'EUCM': (0.6, 1.1),
  'SIMPLE_FISHEYE': (),
  'FISHEYE': (),
  'SIMPLE_RADIAL_FISHEYE': (0.05,),
  'RADIAL_FISHEYE': (0.05, -0.02),
  'OPENCV_FISHEYE': (0.05, -0.02, 0.01, -0.003),
  'THIN_PRISM_FISHEYE': (0.05, -0.02, 0.002, -0.003, 0.01, 0, 0.001, -0.001),
  'RAD_TAN_THIN_PRISM_FISHEYE': (0.05, -0.02, 0.01, 0, 0, 0, 0.002, -0.003,
                                 0.001, 0, -0.001, 0),
}  # fmt: skip


def _read(folder, model, params):
  """The camera of a written model, and the photo that is read back."""
  pycolmap = pytest.importorskip('pycolmap')
  camera = pycolmap.Camera(
    model=model, width=SIZE[0], height=SIZE[1], params=params, camera_id=1
  )
  reconstruction = pycolmap.Reconstruction()
  reconstruction.add_camera_with_trivial_rig(camera)
  image = pycolmap.Image(name='a.png', camera_id=1, image_id=1)
  reconstruction.add_image_with_trivial_frame(image, pycolmap.Rigid3d())
  reconstruction.write(str(folder))
  (photo,), _, _ = colmap.read_model(folder)
  return camera, photo


@pytest.mark.parametrize('model', TERMS)
def test_every_camera_model_is_a_pinhole_behind_a_lens(model, tmp_path):
  """The lens goes where pycolmap projects, and pycolmap's inverse goes back."""
  pycolmap = pytest.importorskip('pycolmap')
  blank = pycolmap.Camera.create_from_model_name(1, model, 500.0, *SIZE)
  focal = [500.0, 510.0][: len(blank.focal_length_idxs())]
  camera, photo = _read(tmp_path, model, [*focal, 323, 236, *TERMS[model]])
  assert photo.focal == (500, focal[-1]) and photo.center == (323, 236)
  plane = np.random.default_rng(0).uniform(-0.5, 0.5, (7, 9, 2))
  if model.endswith('PINHOLE'):
    seen = plane
    assert photo.lens is None
  else:
    seen = photo.lens(plane)
    assert np.abs(seen - plane).max() > 0.01
  pixels = seen * photo.focal + photo.center
  rays = np.concatenate([plane, np.ones((7, 9, 1))], axis=-1)
  expected = camera.img_from_cam(rays.reshape(-1, 3)).reshape(7, 9, 2)
  np.testing.assert_allclose(pixels, expected, atol=1e-9)
  back = camera.cam_from_img(pixels.reshape(-1, 2)).reshape(7, 9, 2)
  np.testing.assert_allclose(back, plane, atol=1e-6)


def test_every_model_that_pycolmap_knows_is_tested_or_refused(tmp_path):
  pycolmap = pytest.importorskip('pycolmap')
  known = set(pycolmap.CameraModelId.__members__) - {'INVALID'}
  assert known - set(TERMS) <= {'EQUIRECTANGULAR'}
  with pytest.raises(ValueError, match=r'a\.png.*EQUIRECTANGULAR.*perspective'):
    _read(tmp_path, 'EQUIRECTANGULAR', list(SIZE))


@pytest.fixture(scope='module')
def views():
  cameras = procedural.arc(30, width=320, height=240)
  cameras = capture.pick(
    Views(images=np.zeros((30, 0)), cameras=cameras), np.arange(4)
  ).cameras
  world = procedural.make_world()
  return Views(images=procedural.render(world, cameras, 2), cameras=cameras)


def test_triangulated_points_lie_on_the_surfaces(views, tmp_path):
  pytest.importorskip('pycolmap')
  points, colors = colmap.triangulate(views, cache=tmp_path)
  assert len(points) > 100 and points.shape == colors.shape
  depth = procedural.depth_maps(procedural.make_world(), views.cameras)
  pose, focal = views.cameras.world_to_cam[0], views.cameras.focal[0]
  local = points @ pose[:3, :3].T + pose[:3, 3]
  pixels = local[:, :2] / local[:, 2:] * focal + views.cameras.center[0]
  column, row = np.floor(pixels).astype(int).T
  seen = (row >= 0) & (row < 240) & (column >= 0) & (column < 320)
  exact = depth[0, row[seen], column[seen]]
  assert np.median(np.abs(local[seen, 2] / exact - 1)) < 0.01
  found = views.images[0, row[seen], column[seen]]
  assert np.abs(found - colors[seen]).mean() < 0.15

  again, _ = colmap.triangulate(views, cache=tmp_path)
  np.testing.assert_array_equal(again, points)
  assert len(list(tmp_path.iterdir())) == 1


def test_without_pycolmap_points_are_random_where_cameras_look(
  views, monkeypatch
):
  monkeypatch.setattr(colmap, 'is_available', lambda: False)
  with pytest.warns(UserWarning, match='pycolmap is absent'):
    points, colors = capture.find_points(views)
  assert len(points) > 500 and np.all(colors == 0.5)
  local = points @ views.cameras.world_to_cam[1][:3, :3].T
  local = local + views.cameras.world_to_cam[1][:3, 3]
  assert (local[:, 2] > 0).mean() > 0.9


def test_points_are_not_looked_for_unless_wanted(views):
  points, colors = capture.find_points(views, triangulate=False)
  assert points.shape == colors.shape == (0, 3)
