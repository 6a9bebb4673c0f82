"""What loaders share: masks, alpha, sizes, splits, bad input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from sr3d_jax import capture, lenses


def _frame(name='a.png', height=8, width=12, **changes):
  rng = np.random.default_rng(0)
  return dataclasses.replace(
    capture.Frame(
      name=name,
      image=rng.uniform(size=(height, width, 3)).astype(np.float32),
      world_to_cam=np.eye(4),
      focal=(20.0, 21.0),
      center=(width / 2, height / 2),
    ),
    **changes,
  )


def test_an_untouched_photo_stays_bit_for_bit():
  frame = _frame()
  views, names, is_test = capture.make_views([frame])
  np.testing.assert_array_equal(views.images[0], frame.image)
  assert (
    views.weights is None and names == ('a.png',) and is_test.tolist() == [1]
  )


def test_pixels_that_the_photo_does_not_reach_weigh_nothing():
  frame = _frame(height=40, width=60, lens=lenses.opencv(0.5))
  weights = capture.make_views([frame])[0].weights
  assert weights.shape == (1, 40, 60)
  assert weights[0, 0, 0] == 0 and weights[0, 20, 30] == 1

  def edge(x):  # where the lens puts the left end of the middle row
    return frame.lens(np.array([x, 0.0]))[0] * 20 + 30

  left = scipy.optimize.brentq(edge, -1.5, 0) * 20 + 30
  first = np.flatnonzero(weights[0, 20])[0]
  assert abs(first - left) < 1


def test_a_smaller_view_sees_the_same_picture():
  """A bright pixel block keeps its place in units of the camera."""
  image = np.zeros((32, 48, 3), np.float32)
  image[8:12, 20:24] = 1
  frame = _frame(image=image, focal=(40.0, 44.0), center=(25.0, 15.0))
  views, *_ = capture.make_views([frame], downscale=4)
  assert views.images.shape == (1, 8, 12, 3)
  np.testing.assert_allclose(views.cameras.focal, [[10, 11]])
  np.testing.assert_allclose(views.cameras.center, [[6.25, 3.75]])
  row, column = np.unravel_index(views.images[0, ..., 0].argmax(), (8, 12))
  assert (row, column) == (2, 5)
  both, *_ = capture.make_views([frame], size=(12, 8))
  np.testing.assert_array_equal(both.images, views.images)


def test_intrinsics_follow_a_photo_smaller_than_its_file_says():
  frame = _frame(size=(24, 16), focal=(40.0, 42.0), center=(13.0, 7.0))
  cameras = capture.make_views([frame])[0].cameras
  np.testing.assert_allclose(cameras.focal, [[20, 21]])
  np.testing.assert_allclose(cameras.center, [[6.5, 3.5]])


def test_transparency_is_shrunk_in_premultiplied_colour():
  """White beside invisible green must not turn greenish at the border."""
  image = np.zeros((8, 8, 4), np.float32)
  image[:, :, 1] = 1
  image[:, :3] = 1
  frame = _frame(image=image)
  views, *_ = capture.make_views([frame], downscale=4, background=(0, 0, 0))
  np.testing.assert_allclose(
    views.images[..., 1], views.images[..., 0], atol=1e-6
  )


def test_background_shows_through():
  image = np.full((4, 4, 4), 0.5, np.float32)
  views, *_ = capture.make_views(
    [_frame(image=image)], background=(1.0, 0.0, 0.5)
  )
  np.testing.assert_allclose(views.images[0, 0, 0], [0.75, 0.25, 0.5])


def test_masks_composite_or_take_the_weight():
  mask = np.ones((8, 12), np.float32)
  mask[:, :6] = 0
  frame = _frame(mask=mask)
  laid, *_ = capture.make_views([frame], background=(0, 1, 0))
  np.testing.assert_array_equal(laid.images[0, :, :6], [[[0, 1, 0]] * 6] * 8)
  assert laid.weights is None
  kept, *_ = capture.make_views([frame], masks='ignore')
  np.testing.assert_array_equal(kept.images[0], frame.image)
  np.testing.assert_array_equal(kept.weights[0], mask)


@pytest.mark.parametrize('facing', ['in', 'out', 'from one place'])
def test_there_are_random_points_however_the_cameras_stand(facing):
  poses = np.stack([np.eye(4)] * 12)
  for pose, angle in zip(poses, np.arange(12) * np.pi / 6):
    cos, sin = np.cos(angle), np.sin(angle)
    pose[:3, :3] = [[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]
  # The centre is at -R^T t: two units behind or before the axes' crossing.
  poses[:, 2, 3] = {'in': 2.0, 'out': -2.0, 'from one place': 0.0}[facing]
  views = capture.make_views(
    [_frame(name=f'{i}.png', world_to_cam=pose) for i, pose in enumerate(poses)]
  )[0]
  points = capture.random_points(np.random.default_rng(0), views.cameras, 50)
  assert 1 <= len(points) <= 50
  assert np.isfinite(points).all() and points.dtype == np.float32
  on_device = jax.tree.map(jnp.asarray, views.cameras)
  same = capture.random_points(np.random.default_rng(0), on_device, 50)
  np.testing.assert_allclose(same, points, atol=1e-5)
  if facing == 'in':
    assert np.linalg.norm(points, axis=-1).max() < 2


def test_every_eighth_of_the_sorted_names_is_held_out():
  names = [f'{i:02d}.png' for i in range(17)]
  frames = [_frame(name) for name in reversed(names)]
  _, found, is_test = capture.make_views(frames)
  held = [name for name, test in zip(found, is_test) if test]
  assert held == ['16.png', '08.png', '00.png']


def test_the_file_s_split_wins():
  frames = [_frame(f'{i}.png', is_test=i == 3) for i in range(5)]
  views, names, is_test = capture.make_views(frames)
  scene = capture.make_scene('s', views, names, is_test)
  assert scene.test_names == ('3.png',) and len(scene.train.images) == 4
  assert scene.points.shape == scene.colors.shape == (0, 3)


@pytest.mark.parametrize(
  'pose, message',
  [
    (np.diag([1.0, 1, 0, 1]), 'not a rotation'),
    (np.diag([1.0, 1, -1, 1]), 'determinant -1'),
    (np.diag([2.0, 2, 2, 1]), 'singular values'),
    (np.full((4, 4), np.nan), 'finite'),
    (np.eye(3), '4 x 4'),
  ],
)
def test_bad_poses_are_named(pose, message):
  with pytest.raises(ValueError, match=message) as error:
    capture.make_views([_frame('x.png', world_to_cam=pose)])
  assert 'x.png' in str(error.value)


def test_mixed_sizes_are_refused_unless_a_size_is_given():
  frames = [_frame('a'), _frame('b'), _frame('c', height=16, width=24)]
  with pytest.raises(
    ValueError, match=r'2 sizes.*12 x 8.*c are 24 x 16.*size='
  ):
    capture.make_views(frames)
  assert capture.make_views(frames, size=(6, 4))[0].images.shape[1:3] == (4, 6)


@pytest.mark.parametrize(
  'changes, options, message',
  [
    (dict(size=(8, 12)), {}, 'proportions'),
    (dict(focal=(0.0, 20.0)), {}, 'positive'),
    (dict(mask=np.ones((2, 2))), {}, 'mask of a.png'),
    ({}, dict(masks='drop'), "'composite' or 'ignore'"),
    ({}, dict(downscale=0.5), 'at least 1'),
    ({}, dict(downscale=2, size=(6, 4)), 'not both'),
  ],
)
def test_each_error_can_be_met(changes, options, message):
  with pytest.raises(ValueError, match=message):
    capture.make_views([_frame(**changes)], **options)


def test_one_view_is_not_a_scene():
  views, names, _ = capture.make_views([_frame()])
  with pytest.raises(ValueError, match='at least two'):
    capture.make_scene('s', views, names, [False])
  with pytest.raises(ValueError, match='no frames'):
    capture.make_views([])
