"""Splats as a scene: its photos are their renders."""

import captures
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import sh
from sr3d_jax.io import cameras_json, paths, ply, splat_files
from sr3d_jax.render import render_views
from sr3d_jax.scenes import procedural, splats
from sr3d_jax.types import Gaussians


def _save(path, points, colors, logits):
  """Round splats of the given centres and colours."""
  ply.save(
    path,
    Gaussians(
      means=points,
      log_scales=np.full((len(points), 3), np.log(0.03)),
      quats=np.tile([1.0, 0, 0, 0], (len(points), 1)),
      opacity_logits=logits,
      sh=sh.from_rgb(jnp.asarray(colors, jnp.float32), 1),
    ),
  )


@pytest.fixture(scope='module')
def desk(tmp_path_factory):
  """The points of the embedded desk; every fourth is never seen."""
  path = tmp_path_factory.mktemp('desk') / 'desk.ply'
  scene = procedural.make(**procedural.TINY)
  points, colors = scene.points, scene.colors
  logits = np.tile([np.inf, 2.0, 0.0, -np.inf], len(points) // 4 + 1)
  logits = logits[: len(points)]
  _save(path, points, colors, logits)
  is_seen = logits > -np.inf
  return path, points[is_seen], colors[is_seen]


def test_points_and_colours_are_those_of_visible_splats(desk):
  path, points, colors = desk
  scene = splats.make(root=str(path), num_views=9, size=(24, 18))
  assert scene.name == 'desk'
  np.testing.assert_allclose(scene.points, points, atol=1e-6)
  np.testing.assert_allclose(scene.colors, colors, atol=1e-6)
  scene = splats.make(
    root=str(path), num_views=9, size=(24, 18), triangulate=False
  )
  assert scene.points.shape == scene.colors.shape == (0, 3)


@pytest.mark.parametrize('up', [(0, 0, 1), (0, -2, 0)])
def test_the_circle_holds_the_splats_in_view_the_right_way_up(desk, up):
  path, points, _ = desk
  scene = splats.make(root=str(path), num_views=9, size=(24, 18), up=up)
  cameras = scene.train.cameras
  poses = np.asarray(cameras.world_to_cam)
  local = (
    np.einsum('vij,pj->vpi', poses[:, :3, :3], points) + poses[:, None, :3, 3]
  )
  pixels = local[..., :2] / local[..., 2:] * cameras.focal[:, None]
  pixels = pixels + cameras.center[:, None]
  is_inside = (local[..., 2] > 0) & (pixels >= 0).all(-1)
  is_inside &= (pixels <= (24, 18)).all(-1)
  assert is_inside.mean(axis=1).min() > 0.85
  assert np.all(poses[:, 1, :3] @ np.array(up) < -0.5)  # y points down
  eyes = np.asarray(cameras.position)
  eyes = eyes - np.median(points, axis=0)
  assert (
    np.linalg.norm(eyes.sum(axis=0)) < 0.7 * np.linalg.norm(eyes, axis=1).sum()
  )


def test_views_are_what_the_cameras_of_a_file_see(tmp_path):
  captures.write_splats(tmp_path, captures.circle())
  path = tmp_path / 'scene.ply'
  keys = dict(root=str(path), cameras='cameras.json', background=(1, 0, 0))
  scene = splats.make(**keys)
  assert scene.test_names == ('0.png', '8.png')
  cameras, _ = cameras_json.load(tmp_path / 'cameras.json')
  drawn = render_views(splat_files.load(path), cameras, background=(1, 0, 0))
  assert drawn.std() > 0.05
  np.testing.assert_array_equal(scene.train.images, np.clip(drawn[1:8], 0, 1))
  np.testing.assert_allclose(
    scene.train.cameras.world_to_cam, cameras.world_to_cam[1:8], atol=1e-6
  )
  half = splats.make(**keys, downscale=2)
  assert half.train.images.shape == (7, 4, 6, 3)
  np.testing.assert_allclose(half.train.cameras.focal, captures.FOCAL / 2)
  assert splats.make(**keys, size=(6, 4)).train.images.shape == (7, 4, 6, 3)


@pytest.mark.parametrize(
  'keys, told',
  [
    (dict(root='.'), 'is a folder: root should name a file'),
    (dict(root='points3D.ply'), 'does not hold splats'),
    (dict(root='hidden.ply'), 'shows nothing: none of its 2'),
    (dict(root='cut.ply'), 'cut short'),
    (dict(root='scene.ply', cameras='no.json'), r'no\.json does not exist'),
    (dict(root='scene.ply', cameras='bad.json'), 'not valid JSON'),
    (dict(root='scene.ply', cameras='few.json'), 'camera 0 .* no fx and no fy'),
    (dict(root='scene.ply', size=(6, 4), downscale=2), 'not both'),
    (dict(root='scene.ply', num_views=0), 'num_views'),
    (dict(root='scene.ply', up=(0, 0, 0)), 'up should'),
  ],
)
def test_bad_files_are_told(keys, told, tmp_path):
  captures.write_splats(tmp_path, captures.circle())
  captures.write_points(tmp_path)
  _save(tmp_path / 'hidden.ply', np.eye(3)[:2], np.eye(3)[:2], [-np.inf, -9])
  whole = (tmp_path / 'scene.ply').read_bytes()
  (tmp_path / 'cut.ply').write_bytes(whole[:-50])
  (tmp_path / 'bad.json').write_text('[')
  text = (tmp_path / 'cameras.json').read_text()
  (tmp_path / 'few.json').write_text(text.replace('"f', '"g'))
  root = str(tmp_path / keys.pop('root'))
  with pytest.raises((ValueError, FileNotFoundError), match=told):
    splats.make(root=root, **keys)


@pytest.mark.parametrize('name', ['biker.spz', 'guitar.compressed.ply'])
def test_what_stands_in_a_viewer_stands_upright_here(name):
  """A rider and a guitar on its stand, both on the ground at the origin."""
  try:
    path = paths.data_path(f'assets/splats/{name}')
  except FileNotFoundError:
    pytest.skip('assets/splats is absent: set SR3D_DATA to what holds it')
  scene = splats.make(root=str(path), num_views=3, size=(24, 24))
  heights = np.quantile(-np.asarray(scene.points)[:, 1], [0.01, 0.99])
  assert -0.1 < heights[0] < 0.1 and heights[1] > 2
  ups = np.asarray(scene.train.cameras.world_to_cam)[:, 1, :3]
  assert np.all(ups @ np.array([0, -1, 0]) < -0.5)  # y points down
  assert np.asarray(scene.train.images).max() > 0.2
