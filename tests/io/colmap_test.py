"""Points from photos whose cameras are known."""

import numpy as np
import pytest

from sr3d_jax import capture
from sr3d_jax.io import colmap
from sr3d_jax.scenes import procedural
from sr3d_jax.types import Views


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
