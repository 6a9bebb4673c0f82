"""Coarse views: photos shrunk, or files that are held against the photos."""

import dataclasses

import jax
import numpy as np
import pytest

from sr3d_jax import capture, coarse
from sr3d_jax.types import Camera, Fisheye, Views


def _views(width=16, height=12, num_views=4):
  rng = np.random.default_rng(0)
  poses = np.tile(np.eye(4, dtype=np.float32), (num_views, 1, 1))
  poses[:, :3, 3] = rng.normal(size=(num_views, 3))
  return Views(
    images=rng.uniform(size=(num_views, height, width, 3)).astype(np.float32),
    cameras=Camera(
      world_to_cam=poses,
      focal=np.full((num_views, 2), 1.5 * width, np.float32),
      center=np.tile(np.float32([width / 2, height / 2]), (num_views, 1)),
      width=width,
      height=height,
    ),
  )


def _scene(views, suffix='.jpg', is_test=(True, False, False, False)):
  names = tuple(f'{i}{suffix}' for i in range(len(views.images)))
  return capture.make_scene('a', views, names, np.array(is_test))


def test_shrinking_keeps_a_ramp_and_every_ray():
  """A ramp in x stays one, half a pixel and all; so do the cameras' rays."""
  views = _views(width=32)
  ramp = (np.arange(32) + 0.5) / 32
  images = np.broadcast_to(ramp[:, None], (4, 12, 32, 3)).astype(np.float32)
  small = coarse.shrink(dataclasses.replace(views, images=images), 4)
  assert small.images.shape == (4, 3, 8, 3)
  # Nearer to the border the filter is cut.
  inner = np.asarray(small.images)[..., 2:6, 0]
  wanted = np.broadcast_to((np.arange(2, 6) + 0.5) / 8, inner.shape)
  np.testing.assert_allclose(inner, wanted, atol=1e-6)
  for field in ('focal', 'center'):
    wanted = getattr(views.cameras, field) / 4
    np.testing.assert_allclose(getattr(small.cameras, field), wanted)


def test_shrinking_by_1_is_no_change_and_by_less_is_refused():
  views = _views()
  assert coarse.shrink(views, 1) is views
  with pytest.raises(ValueError, match=r'got 0\.25: did you mean 4'):
    coarse.shrink(views, 0.25)


def test_soft_photos_are_blurred_by_so_many_coarse_pixels():
  """A step's edge spreads as a Gaussian's integral, beyond the filter's own."""
  views = _views(width=64, num_views=1)
  step = np.broadcast_to((np.arange(64) >= 32)[:, None], (1, 12, 64, 3))
  views = dataclasses.replace(views, images=step.astype(np.float32))

  def spread(softness):
    edge = np.asarray(coarse.shrink(views, 4, softness).images)[0, 0, :, 0]
    slope = np.diff(edge)
    places = np.arange(len(slope)) - (len(slope) - 1) / 2
    return float(np.sum(slope * places**2))

  assert spread(1.2) - spread(0.8) == pytest.approx(1.2**2 - 0.8**2, rel=0.05)
  soft = coarse.shrink(views, 1, 2.0)
  assert soft.images.shape == views.images.shape
  assert np.abs(np.diff(soft.images[0, 0, :, 0])).max() < 0.25
  with pytest.raises(ValueError, match='softness must be 0 px or more, got -1'):
    coarse.shrink(views, 4, -1)


def test_trust_is_averaged():
  weights = np.ones((4, 12, 16), np.float32)
  weights[:, :, :2] = 0
  small = coarse.shrink(dataclasses.replace(_views(), weights=weights), 4)
  np.testing.assert_allclose(small.weights[0, 0], [0.5, 1, 1, 1])


def test_other_files_of_the_same_views_pass():
  views = _views()
  low = coarse.shrink(views, 4)
  coarse.check_pair(_scene(views), _scene(low, suffix='.png'), 4)


def test_lenses_are_compared_too():
  views = _bent(_views())
  low = coarse.shrink(views, 4)
  coarse.check_pair(_scene(views), _scene(low), 4)
  lens = jax.tree.map(lambda x: x + 0.1, low.cameras.lens)
  cameras = dataclasses.replace(low.cameras, lens=lens)
  other = _scene(dataclasses.replace(low, cameras=cameras))
  with pytest.raises(ValueError, match='on the lens'):
    coarse.check_pair(_scene(views), other, 4)


def test_training_views_that_nothing_is_fitted_to_may_be_of_any_size():
  views = _views()
  full = _scene(views)
  full = dataclasses.replace(full, train=coarse.shrink(full.train, 2))
  low = _scene(coarse.shrink(views, 4))
  coarse.check_pair(full, low, 4, is_train_fine=False)
  with pytest.raises(ValueError, match='change shrink or one of the sizes'):
    coarse.check_pair(full, low, 4)


def _moved(views, field, change):
  cameras = views.cameras
  cameras = dataclasses.replace(
    cameras, **{field: np.asarray(getattr(cameras, field)) + change}
  )
  return dataclasses.replace(views, cameras=cameras)


def _bent(views):
  lens = Fisheye(coefficients=np.zeros((4, 4), np.float32))
  cameras = dataclasses.replace(views.cameras, lens=lens)
  return dataclasses.replace(views, cameras=cameras)


SHIFT = np.zeros((4, 4, 4))
SHIFT[2, 0, 3] = 0.2  # one camera of four, sideways


@pytest.mark.parametrize(
  'change, scale, told',
  [
    (lambda low: _scene(low, is_test=(0, 1, 0, 0)), 4, 'test view 0, test vi'),
    (lambda low: _scene(capture.pick(low, np.arange(3)), is_test=(1, 0, 0)), 4,
     'scene has 4 views, lr_scene 3, and they differ in training view 3'),
    (lambda low: _scene(low), 2,
     'lr_scene is 4 x 3, but scene is 16 x 12 and shrink=2 makes that 8 x 6'),
    (lambda low: _scene(_moved(low, 'world_to_cam', SHIFT)), 4, 'world_to_cam'),
    (lambda low: _scene(_moved(low, 'center', 0.5)), 4, 'on the center'),
    (lambda low: _scene(_moved(low, 'focal', 1.0)), 4, 'on the focal'),
    (lambda low: _scene(_bent(low)), 4, 'on the lens'),
  ],
)  # fmt: skip
def test_what_is_not_the_same_view_is_told(change, scale, told):
  views = _views()
  with pytest.raises(ValueError, match=told):
    coarse.check_pair(_scene(views), change(coarse.shrink(views, 4)), scale)
