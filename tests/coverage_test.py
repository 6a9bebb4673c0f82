"""What views see of a surface is counted, and how closely."""

import numpy as np
import pytest

from sr3d_jax import coverage
from sr3d_jax.types import Camera

SIZE = (16, 12)


def _cameras(*depths):
  """Cameras that look along z at the plane z = 4, from behind each other."""
  num = len(depths)
  poses = np.tile(np.eye(4, dtype=np.float32), (num, 1, 1))
  poses[:, 2, 3] = np.array(depths) - 4
  return Camera(
    world_to_cam=poses,
    focal=np.full((num, 2), 8.0, np.float32),
    center=np.tile(np.float32(SIZE) / 2, (num, 1)),
    width=SIZE[0],
    height=SIZE[1],
  )


def _plane(*depths):
  return np.stack([np.full(SIZE[::-1], d, np.float32) for d in depths])


def test_lifted_points_lie_on_the_surface_under_their_pixels():
  cameras = _cameras(2.0)
  points = coverage.surface_points(_plane(2.0), cameras)
  assert points.shape == (SIZE[0] * SIZE[1], 3)
  np.testing.assert_allclose(points[:, 2], 4.0, atol=1e-5)
  # The first pixel: 7.5 px left of the middle and 5.5 above it.
  np.testing.assert_allclose(
    points[0], [-7.5 / 8 * 2, -5.5 / 8 * 2, 4.0], atol=1e-5
  )


def test_a_point_counts_for_each_view_that_sees_it_at_its_depth():
  cameras = _cameras(4.0, 2.0, 1.0)
  points = coverage.surface_points(_plane(4.0, 2.0, 1.0)[:1], _cameras(4.0))
  seen, sizes = coverage.counts(points, cameras, _plane(4.0, 2.0, 1.0))
  # The nearer a view, the less it sees; its pixels are smaller.
  assert set(np.unique(seen)) == {1, 2, 3}
  np.testing.assert_allclose(
    sizes, np.array([4.0, 2.0, 1.0])[seen - 1] / 8, rtol=1e-6
  )
  # A point on the upper border of the last picture is in it.
  middle = (np.abs(points[:, 0]) < 1) & (points[:, 1] > -0.76)
  middle &= points[:, 1] < 0.74
  np.testing.assert_array_equal(seen == 3, middle)


def test_what_stands_before_a_point_hides_it():
  points = coverage.surface_points(_plane(4.0), _cameras(4.0))
  hiding = _plane(4.0)
  hiding[0, :, :8] = 3.0
  seen, sizes = coverage.counts(points, _cameras(4.0), hiding)
  np.testing.assert_array_equal(seen == 0, points[:, 0] < 0)
  assert np.all(np.isinf(sizes[seen == 0]))


def test_nothing_is_seen_behind_a_camera_or_where_it_is_faint():
  points = np.array([[0.0, 0.0, -3.0], [0.0, 0.0, 4.0]])
  seen, _ = coverage.counts(points, _cameras(4.0), _plane(0.0))
  np.testing.assert_array_equal(seen, 0)


@pytest.mark.parametrize('most', [20, 1000])
def test_points_are_thinned_evenly(monkeypatch, most):
  monkeypatch.setattr(coverage, 'MAX_POINTS', most)
  points = coverage.surface_points(_plane(4.0), _cameras(4.0))
  assert len(points) <= most
  assert abs(points[:, 1].mean()) < 0.5
