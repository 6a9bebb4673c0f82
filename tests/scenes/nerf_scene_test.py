"""A radiance field as a scene: paths, what is drawn there, and errors."""

import captures
import jax
import numpy as np
import pytest

from sr3d_jax import geometry
from sr3d_jax.io import nerf_files, weights
from sr3d_jax.models import radiance
from sr3d_jax.scenes import nerf

FEW = dict(num_views=4, num_test=2, size=(24, 16), num_points=200)


def _azimuths(cameras):
  """[V] degrees, around what the cameras look at, z being up."""
  eyes = np.asarray(cameras.position)
  return np.degrees(np.unwrap(np.arctan2(eyes[:, 1], eyes[:, 0])))


@pytest.fixture(scope='module')
def arc(tmp_path_factory):
  """Cameras of 0 to 137.5 degrees: the file and its scene."""
  folder = tmp_path_factory.mktemp('arc')
  captures.write_nerf(
    folder, captures.circle(), num_coarse=64, background=(0.1, 0.6, 0.3)
  )
  file = folder / 'nerf.npz'
  return file, nerf.make(root=str(file), **FEW)


def test_views_are_what_the_field_shows_from_their_cameras(arc):
  file, scene = arc
  kept = nerf_files.load(file)
  network = radiance.make(**kept.network)
  params = weights.as_params(kept.arrays, jax.jit(network.init))
  for views in (scene.train, scene.test):
    drawn = radiance.render_views(network, params, views.cameras)
    np.testing.assert_allclose(drawn['image'], views.images, atol=1e-6)
  assert scene.background == (0.1, 0.6, 0.3)
  np.testing.assert_allclose(
    scene.train.images[:, 0, 0], [[0.1, 0.6, 0.3]] * 4, atol=1e-5
  )


def test_points_lie_on_the_block_where_the_path_sees_it(arc):
  _, scene = arc
  half = np.array([0.5, 0.4, 0.3])
  off = np.abs(np.abs(scene.points) - half).min(axis=-1)
  assert len(scene.points) == 200
  assert np.all(np.abs(scene.points) < half + 0.01)
  # but for pixels that a slanted ray enters near an edge
  assert np.median(off) < 0.02 and np.quantile(off, 0.9) < 0.08
  assert scene.points[:, 2].max() > 0.25  # its top is seen, from below never
  assert scene.points[:, 2].min() > -0.31


def test_a_path_keeps_to_the_arc_that_the_field_was_seen_from(arc):
  _, scene = arc
  for cameras in (scene.train.cameras, scene.test.cameras):
    azimuths = _azimuths(cameras)
    assert azimuths.min() > -6 and azimuths.max() < np.degrees(2.4) + 6
  assert np.ptp(_azimuths(scene.train.cameras)) > 120
  assert (scene.train.cameras.width, scene.train.cameras.height) == (24, 16)
  np.testing.assert_allclose(
    scene.train.cameras.focal, [[2 * captures.FOCAL] * 2] * 4
  )


def test_a_path_goes_all_the_way_round_where_the_cameras_did(tmp_path, arc):
  turn = 2 * np.pi * np.arange(8) / 8
  eyes = np.stack([3 * np.cos(turn), 3 * np.sin(turn), 1 + 0 * turn], -1)
  poses = geometry.look_at(eyes, np.zeros(3), np.array([0.0, 0, 1]))
  captures.write_nerf(tmp_path, np.linalg.inv(np.asarray(poses, np.float64)))
  file = str(tmp_path / 'nerf.npz')
  scene = nerf.make(root=file, path='orbit', **FEW)
  steps = np.diff(_azimuths(scene.train.cameras))
  np.testing.assert_allclose(np.abs(steps), 90, atol=0.5)
  whole = nerf.make(root=str(arc[0]), path='orbit', closed=True, **FEW)
  assert np.ptp(_azimuths(whole.train.cameras)) > 260


def test_a_spiral_stays_at_heights_that_were_observed(arc):
  file, scene = arc
  wound = nerf.make(root=str(file), path='spiral', **FEW)
  for cameras in (wound.train.cameras, scene.test.cameras):
    eyes = np.asarray(cameras.position)
    found = np.degrees(np.arctan2(eyes[:, 2], np.hypot(*eyes[:, :2].T)))
    # the capture rises from 18 to 31 degrees
    assert found.min() > 17 and found.max() < 32 and np.ptp(found) > 5


@pytest.mark.parametrize(
  'keys, told',
  [
    (dict(num_views=1), 'at least 2 to see depth'),
    (dict(path='line'), 'path is one of orbit, sinusoid, spiral'),
    (dict(size=(8, 8), downscale=2.0), 'not both'),
    (dict(downscale=0.5), 'downscale at least 1'),
    (dict(root='nosuch.npz'), 'where nothing is'),
    (dict(root='.'), 'is a folder'),
    (dict(root='other.npz'), 'of another kind'),
    (dict(root='wide.npz'), r'does not fit .* lines'),
    (dict(root='odd.npz'), r"does not fit .*'sigma'"),
    (dict(root='empty.npz'), 'shows nothing'),
    (dict(root='bent.npz'), r'camera 2 of bent\.npz .* not a rotation'),
  ],
)
def test_what_makes_no_scene_is_told(keys, told, tmp_path):
  captures.write_nerf(tmp_path, captures.circle())
  kept = nerf_files.load(tmp_path / 'nerf.npz')
  np.savez(tmp_path / 'other.npz', x=np.ones(2))
  poses = np.array(kept.cameras.world_to_cam)
  poses[2] = np.diag([1.0, 1, -1, 1])
  changes = {
    'wide': {'network': {**kept.network, 'resolution': 3}},
    'odd': {'network': {**kept.network, 'sigma': 3}},
    'empty': {
      # Logits are sums of products of both: below nothing everywhere.
      'arrays': {
        **kept.arrays,
        'planes': 0 * kept.arrays['planes'] - 2,
        'lines': 0 * kept.arrays['lines'] + 2,
        'coarse': kept.arrays['coarse'] - 20,
      }
    },
    'bent': {
      'cameras': type(kept.cameras)(
        **{**vars(kept.cameras), 'world_to_cam': poses}
      )
    },
  }
  for name, change in changes.items():
    nerf_files.save(
      tmp_path / f'{name}.npz',
      nerf_files.Nerf(**{**vars(kept), **change}),
    )
  root = str(tmp_path / keys.get('root', 'nerf.npz'))
  with pytest.raises((ValueError, FileNotFoundError), match=told):
    nerf.make(**{'num_views': 3, 'num_test': 1, **keys, 'root': root})
