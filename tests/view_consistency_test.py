"""Two cameras before a textured plane, of which everything is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import view_consistency
from sr3d_jax.types import Camera, Orthographic

HEIGHT, WIDTH, FOCAL, DEPTH = 48, 60, 60.0, 3.0
SCALE = 2.0


def _cameras(*places):
  """Cameras at x, all looking along z."""
  poses = np.tile(np.eye(4, dtype=np.float32), (len(places), 1, 1))
  poses[:, 0, 3] = -np.asarray(places)
  return Camera(
    world_to_cam=jnp.asarray(poses),
    focal=jnp.full((len(places), 2), FOCAL),
    center=jnp.tile(jnp.asarray([WIDTH / 2, HEIGHT / 2]), (len(places), 1)),
    width=WIDTH,
    height=HEIGHT,
  )


def _paint(x, y):
  """Colours of the plane, three waves of 9 to 20 px."""
  waves = [(0.0, 13.0), (14.0, 0.0), (6.0, -9.0)]
  phases = jnp.stack([a * x + b * y for a, b in waves], axis=-1)
  return 0.5 + 0.3 * jnp.sin(phases)


def _views(cameras):
  """Pictures and depths of the plane at z = DEPTH."""
  rows = jnp.arange(HEIGHT)[:, None] + 0.5 - HEIGHT / 2
  columns = jnp.arange(WIDTH) + 0.5 - WIDTH / 2
  x = columns * DEPTH / FOCAL + cameras.position[:, 0, None, None]
  y = jnp.broadcast_to(rows * DEPTH / FOCAL, (*x.shape[:1], HEIGHT, WIDTH))
  images = _paint(jnp.broadcast_to(x, y.shape), y)
  return np.array(images), np.full(y.shape, DEPTH, np.float32)


def _score(images, surfaces, cameras, **limits):
  return view_consistency.score(
    images, surfaces, cameras, [(0, 1), (1, 0)], scale=SCALE, **limits
  )


@pytest.fixture(scope='module')
def plane():
  """Two views 0.33 apart: 6.6 px of the 60 show nothing of the other."""
  cameras = _cameras(0.0, 0.33)
  return (*_views(cameras), cameras)


def test_a_picture_agrees_exactly_with_itself(plane):
  images, surfaces, _ = plane
  twice = _cameras(0.2, 0.2)
  same = [np.stack([x[0], x[0]]) for x in (images, surfaces)]
  for values in _score(*same, twice).values():
    assert values['psnr'] > 100
    assert values['detail_error'] < 1e-4
    assert values['visible'] == 1


def test_views_of_a_plane_agree(plane):
  scores = _score(*plane)
  assert scores.keys() == {0, 1}
  for values in scores.values():
    assert values['psnr'] > 45  # what bicubic leaves of these waves
    assert values['visible'] == pytest.approx(1 - 6.6 / WIDTH, abs=0.02)


def test_a_shift_of_half_a_pixel_does_not(plane):
  images, surfaces, cameras = plane
  center = cameras.center.at[1, 0].add(0.5)
  moved = dataclasses.replace(cameras, center=center)
  exact = _score(images, surfaces, cameras)
  for view, values in _score(images, surfaces, moved).items():
    assert values['psnr'] < exact[view]['psnr'] - 10


def test_noise_of_each_view_lowers_all_but_what_is_visible(plane):
  images, surfaces, cameras = plane
  rng = np.random.default_rng(0)
  noisy = images + 0.1 * rng.normal(size=images.shape).astype(np.float32)
  exact, scores = _score(*plane), _score(noisy, surfaces, cameras)
  for view, values in scores.items():
    # Of one noise sigma^2 is left, of the interpolated one between 1/3 and 1.
    assert 16.5 < values['psnr'] < 19
    assert values['detail_psnr'] < exact[view]['detail_psnr'] - 10
    assert 0.7 < values['detail_error'] < 1.05
    assert values['visible'] == exact[view]['visible']


def test_what_is_hidden_is_not_compared(plane):
  images, surfaces, cameras = (
    x if i == 2 else x.copy() for i, x in enumerate(plane)
  )
  images[0, :, :20], surfaces[0, :, :20] = 1.0, DEPTH / 2
  exact, scores = _score(*plane), _score(images, surfaces, cameras)
  for view, values in scores.items():
    assert values['psnr'] > 35
    assert values['visible'] < exact[view]['visible'] - 0.15
  surfaces[:] = 0
  assert _score(images, surfaces, cameras) == {}


def test_depths_that_agree_only_roughly_are_not_compared(plane):
  images, surfaces, cameras = plane
  # 1 % of the depth is 1 % of the 6.6 px that the plane moves.
  rough = np.stack([surfaces[0], 1.01 * surfaces[1]])
  exact = _score(*plane)
  assert _score(images, rough, cameras)[0]['visible'] > 0.8
  assert _score(images, rough, cameras, max_shift=0.04) == {}
  assert _score(images, surfaces, cameras, max_shift=0.04) == exact


def test_a_turned_camera_sees_the_same(plane):
  images, surfaces, cameras = plane
  # Upside down, about the optical axis: the picture is turned by 180 degrees.
  turn = np.diag([-1.0, -1.0, 1.0, 1.0]).astype(np.float32)
  poses = cameras.world_to_cam.at[1].set(turn @ cameras.world_to_cam[1])
  turned = dataclasses.replace(cameras, world_to_cam=poses)
  images = np.stack([images[0], images[1, ::-1, ::-1]])
  exact, scores = _score(*plane), _score(images, surfaces, turned)
  for view, values in scores.items():
    assert values['psnr'] == pytest.approx(exact[view]['psnr'], abs=0.1)


def test_what_is_faint_is_no_surface():
  depth, alpha = jnp.asarray([1.5, 0.9, 0.0]), jnp.asarray([0.75, 0.3, 0.0])
  np.testing.assert_allclose(view_consistency.surface(depth, alpha), [2, 0, 0])


def test_the_nearest_view_that_overlaps_is_the_partner():
  rng = np.random.default_rng(0)
  points = rng.uniform([-8, -1, 3], [8, 1, 3.1], (2000, 3))
  cameras = _cameras(0.0, 0.4, 1.0, 6.0)  # each sees 3 units of the plane
  partners = view_consistency.partners
  assert partners(cameras, points).tolist() == [1, 0, 1, -1]
  fewer = partners(cameras, points, min_overlap=0.83)
  assert fewer.tolist() == [1, 0, -1, -1]
  assert partners(cameras, points[:0]).tolist() == [-1] * 4
  none = jax.tree.map(lambda x: x[:0], cameras)
  assert partners(none, points).tolist() == []


def test_errors_say_what_came(plane):
  images, surfaces, cameras = plane
  with pytest.raises(ValueError, match='2 cameras of 48 x 60'):
    _score(images[:, :24], surfaces, cameras)
  with pytest.raises(ValueError, match='view consistency knows only pinholes'):
    view_consistency.partners(
      dataclasses.replace(cameras, lens=Orthographic()), np.zeros((1, 3))
    )
