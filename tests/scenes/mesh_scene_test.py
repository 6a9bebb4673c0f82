"""A mesh as a scene: its photos are its pictures, from all around."""

import dataclasses

import captures
import numpy as np
import pytest

from sr3d_jax import coarse, raycast
from sr3d_jax.io import paths
from sr3d_jax.scenes import mesh

trimesh = pytest.importorskip('trimesh')
pytest.importorskip('embreex')

SAMPLES = 'spot/spot.obj bob/bob_tri.obj trimesh/Duck.glb trimesh/fuze.obj'
UNTEXTURED = 'trimesh/bunny.ply'


@pytest.fixture(scope='module')
def cube(tmp_path_factory):
  folder = tmp_path_factory.mktemp('cube')
  captures.write_mesh(folder)
  return folder / 'scene.obj'


def _make(root, **keys):
  return mesh.make(**{**mesh.TINY, 'root': str(root), **keys})


def _directions(cameras, up=(0, 1, 0)):
  """Distances, elevations and headings of cameras about the origin."""
  eyes = np.asarray(cameras.position, float)
  distance = np.linalg.norm(eyes, axis=-1)
  return distance, np.arcsin(eyes @ np.array(up) / distance), eyes


@pytest.mark.parametrize('path', mesh.PATHS)
@pytest.mark.parametrize('up', [(0, 1, 0), (0, 0, -2)])
def test_paths_go_all_round_and_hold_the_unit_sphere(cube, path, up):
  scene = _make(cube, path=path, up=up, num_views=16, num_test=6)
  for cameras in (scene.train.cameras, scene.test.cameras):
    upright = np.array(up) / np.linalg.norm(up)
    distance, elevation, eyes = _directions(cameras, upright)
    angle = np.arcsin(1 / distance)
    reach = np.arctan(0.5 * cameras.height / np.asarray(cameras.focal)[:, 1])
    assert (angle <= reach + 1e-4).all()
    assert np.degrees(elevation).min() > 14.9
    assert np.degrees(elevation).max() < 45.1
    level = eyes - np.outer(eyes @ upright, upright)
    headings = np.linalg.norm(level.sum(axis=0)) / len(level)
    assert headings < 0.35 * np.linalg.norm(level, axis=-1).mean()
    poses = np.asarray(cameras.world_to_cam)
    assert (poses[:, 1, :3] @ upright < -0.6).all()  # y points down
  gap = np.linalg.norm(
    scene.train.cameras.position[:, None] - scene.test.cameras.position, axis=-1
  )
  assert gap.min() > 0.01


def test_the_mesh_fills_the_unit_sphere_and_points_lie_on_it(cube):
  scene = _make(cube, num_views=12, size=(64, 64))
  assert scene.name == 'scene'
  half = 1 / np.sqrt(3)  # of the cube whose corners are 1 from its middle
  largest = np.abs(scene.points).max(axis=-1)
  np.testing.assert_allclose(largest, half, atol=1e-5)
  axes = np.argmax(np.abs(scene.points), axis=-1)
  assert set(axes) == {0, 1, 2}
  assert (scene.points[axes == 1, 1] > 0).all()  # nobody sees its foot
  fewer = _make(cube, num_views=12, size=(64, 64), num_points=50)
  assert len(fewer.points) == 50


def test_coarse_views_of_fewer_triangles_pair_with_fine_ones(tmp_path):
  pytest.importorskip('fast_simplification')
  ball = trimesh.creation.icosphere(subdivisions=3)
  ball.visual.vertex_colors = np.uint8(127 + 120 * np.sin(4 * ball.vertices))
  ball.export(tmp_path / 'ball.ply')
  keys = dict(root=tmp_path / 'ball.ply', background=(1, 1, 1))
  full = _make(**keys, size=(64, 48))
  low = _make(**keys, size=(16, 12), max_faces=80)
  coarse.check_pair(full, low, 4)
  shrunk = coarse.shrink(full.train, 4).images
  difference = np.abs(shrunk - low.train.images)
  assert 0.002 < difference.mean() < 0.05
  same = _make(**keys, size=(16, 12), max_faces=2000, supersample=8)
  assert np.abs(shrunk - same.train.images).mean() < 0.01


def test_downscale_shrinks_the_views(cube):
  scene = _make(cube, size=None, downscale=8)
  assert scene.train.images.shape == (7, 32, 32, 3)


def test_only_bare_meshes_are_lit_unless_asked_for(cube, tmp_path):
  plain, lit = (_make(cube, light=word) for word in ('bare', 'all'))
  np.testing.assert_array_equal(
    plain.train.images, _make(cube, light='none').train.images
  )
  assert lit.train.images.mean() < 0.9 * plain.train.images.mean()
  trimesh.creation.icosphere(subdivisions=2).export(tmp_path / 'bare.stl')
  bare, flat = (
    _make(tmp_path / 'bare.stl', light=word) for word in ('bare', 'none')
  )
  assert len(np.unique(bare.points.round(3), axis=0)) > 10
  assert np.ptp(bare.colors) > 0.2 and np.ptp(flat.colors) < 1e-5


def test_no_test_views_may_be_asked_for(cube):
  scene = _make(cube, num_test=0)
  assert scene.test.images.shape == (0, 18, 24, 3) and scene.test_names == ()


@pytest.mark.parametrize(
  'keys, told',
  [
    (dict(max_faces=3), 'max_faces must be at least 4'),
    (dict(num_views=1), 'at least 2 to see depth'),
    (dict(up=(0, 0, 0)), 'up should have a length'),
    (dict(path='helix'), "path is one of orbit, sinusoid, spiral, got 'helix'"),
    (dict(light='sun'), "light is one of bare, all, none, got 'sun'"),
    (dict(downscale=2), 'not both'),
    (dict(size=(0, 8)), 'at least 1 x 1 px'),
    (dict(supersample=0), 'supersample must be at least 1'),
  ],
)
def test_keys_that_make_no_pictures_are_told(cube, keys, told):
  with pytest.raises(ValueError, match=told):
    _make(cube, **keys)


def test_bad_files_are_told(tmp_path):
  with pytest.raises(FileNotFoundError, match='where nothing is'):
    _make(tmp_path / 'nosuch.obj')
  with pytest.raises(ValueError, match='root should name a mesh file'):
    _make(tmp_path)
  (tmp_path / 'dot.obj').write_text('v 1 1 1\n' * 3 + 'f 1 2 3\n')
  with pytest.raises(ValueError, match=r'dot\.obj has no extent'):
    _make(tmp_path / 'dot.obj')


def _sample(name):
  try:
    return paths.data_path(f'assets/meshes/{name}')
  except FileNotFoundError:
    pytest.skip(f'assets/meshes/{name} is absent: set SR3D_DATA to its folder')


@pytest.mark.parametrize('name', [*SAMPLES.split(), UNTEXTURED])
def test_real_meshes_are_drawn_in_colour(name):
  scene = _make(_sample(name), size=(48, 48), background=(0, 1, 0))
  is_behind = np.abs(scene.train.images - np.float32([0, 1, 0])).max(-1) < 1e-6
  assert 0.4 < is_behind.mean() < 0.95
  spread = np.ptp(scene.colors, axis=-1).max()
  assert spread < 1e-3 if name == UNTEXTURED else spread > 0.3
  assert len(scene.points) > 100


def test_a_real_cow_of_500_triangles_keeps_its_spots():
  root = _sample('spot/spot.obj')
  pytest.importorskip('fast_simplification')
  keys = dict(num_views=4, num_test=0, size=(96, 96), background=(0, 0, 1))
  fine, few = (_make(root, **keys, max_faces=n) for n in (None, 500))
  behind = np.float32([0, 0, 1])
  both = [np.abs(x.train.images - behind).max(-1) > 0.2 for x in (fine, few)]
  assert np.mean(both[0] != both[1]) < 0.02
  where = both[0] & both[1]
  error = np.mean((fine.train.images - few.train.images)[where] ** 2)
  assert -10 * np.log10(error) > 22


def test_pictures_do_not_change_with_the_view(cube):
  # A texture of one colour is one colour from everywhere.
  scene = _make(cube, num_views=6, size=(48, 48))
  loaded = mesh._load(cube, 'bare', (0, 1, 0))
  flat = dataclasses.replace(
    loaded, textures=(np.full((1, 1, 3), 51, np.uint8),)
  )
  drawn = raycast.render_views(flat, scene.train.cameras)
  covered = drawn.alpha == 1
  np.testing.assert_allclose(drawn.image[covered], 0.2, atol=1e-6)
