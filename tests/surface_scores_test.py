"""Planes and spheres, of which every distance and angle is known."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import geometry, surface_scores
from sr3d_jax.types import Camera, Gaussians

RNG = np.random.default_rng(0)


def plane(height: float, num: int = 41) -> np.ndarray:
  line = np.linspace(0, 1, num)
  x, y = np.meshgrid(line, line)
  return np.stack([x, y, np.full_like(x, height)], axis=-1).reshape(-1, 3)


def sphere(num: int) -> np.ndarray:
  points = RNG.normal(size=(num, 3))
  return points / np.linalg.norm(points, axis=-1, keepdims=True)


def centers(means, opacities) -> Gaussians:
  opacities, num = jnp.asarray(opacities), len(means)
  return Gaussians(
    means=jnp.asarray(means),
    log_scales=jnp.zeros((num, 3)),
    quats=jnp.tile(jnp.asarray([1.0, 0, 0, 0]), (num, 1)),
    opacity_logits=jnp.log(opacities / (1 - opacities)),
    sh=jnp.zeros((num, 1, 3)),
  )


def camera(eye=(0.0, 0.0, -3.0)) -> Camera:
  return Camera(
    world_to_cam=geometry.look_at(
      jnp.asarray(eye), jnp.zeros(3), jnp.asarray([0.1, -1.0, 0.0])
    ),
    focal=jnp.asarray([40.0, 50.0]),
    center=jnp.asarray([15.0, 13.0]),
    width=32,
    height=28,
  )


def test_a_depth_off_by_a_tenth_scores_a_tenth_where_it_is_covered():
  target = np.full((4, 5), 2.0)
  target[0] = 0
  alpha = np.ones((4, 5))
  alpha[1] = 0.4
  depth = 1.1 * target
  depth[1] = 50
  found = surface_scores.depth_scores(depth, target, alpha)
  np.testing.assert_allclose(found['abs_rel'], 0.1)
  np.testing.assert_allclose(found['rmse'], 0.2)
  assert found['delta'] == 1.0
  np.testing.assert_allclose(found['coverage'], 2 / 3)


def test_delta_asks_both_ways_and_the_target_divides():
  target = np.array([1.0, 1.0, 1.0, 1.0])
  depth = np.array([1.24, 0.79, 1.26, 0.81])
  found = surface_scores.depth_scores(depth, target, np.ones(4))
  assert found['delta'] == 0.5
  found = surface_scores.depth_scores([2.0], [4.0], [1.0])
  assert found['abs_rel'] == 0.5


def test_depths_that_meet_nothing_cover_nothing():
  found = surface_scores.depth_scores(np.ones(3), np.ones(3), np.zeros(3))
  assert found['coverage'] == 0.0
  assert np.isnan(found['rmse'])
  with pytest.raises(ValueError, match='no pixel of target'):
    surface_scores.depth_scores(np.ones(3), np.zeros(3), np.ones(3))
  with pytest.raises(ValueError, match='one shape'):
    surface_scores.depth_scores(np.ones(3), np.zeros(2), np.ones(3))


def test_planes_are_as_far_apart_as_they_are():
  found = surface_scores.point_scores(plane(0.01), plane(0.0), shares=(0.005,))
  for name in ('accuracy', 'completeness', 'chamfer'):
    np.testing.assert_allclose(found[name], 0.01)
  # The box has the diagonal sqrt 2: half a percent is 0.00707.
  assert found['f@0.5'] == 0.0
  found = surface_scores.point_scores(plane(0.01), plane(0.0))
  assert found['f@1'] == 1.0


def test_half_a_surface_is_accurate_and_not_complete():
  whole = plane(0.0)
  half = whole[whole[:, 0] <= 0.5]
  found = surface_scores.point_scores(half, whole)
  assert found['accuracy'] == 0.0
  # On the other half, at x, the distance is x - 1/2, in the mean 1/4.
  np.testing.assert_allclose(found['completeness'], 0.125, atol=0.005)
  near = np.mean(whole[:, 0] - 0.5 < 0.01 * np.sqrt(2))
  np.testing.assert_allclose(found['f@1'], 2 * near / (1 + near))
  turned = surface_scores.point_scores(whole, half)
  assert turned['completeness'] == 0.0 < turned['accuracy']


def test_samples_of_a_mesh_lie_evenly_on_it():
  vertices = np.array([[0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 5.0]])
  faces = np.array([[0, 1, 2], [0, 2, 1], [0, 1, 3]])
  points, normals = surface_scores.sample_mesh(vertices, faces, 4000)
  flat = points[:, 2] == 0
  # areas 1, 1 and 5
  np.testing.assert_allclose(flat.mean(), 2 / 7, atol=0.03)
  assert (points[flat, 0] / 2 + points[flat, 1] <= 1 + 1e-9).all()
  third = [2 / 3, 1 / 3, 0]
  np.testing.assert_allclose(points[flat].mean(axis=0), third, atol=0.04)
  np.testing.assert_allclose(np.abs(normals[flat]) @ [0, 0, 1], 1.0)
  np.testing.assert_allclose(normals[~flat] @ [0, -1, 0], 1.0)


def test_centres_off_a_sphere_are_weighted_by_opacity():
  surface = sphere(20_000)
  outside = sphere(300)
  radii = np.repeat([1.02, 1.1, 3.0], 100)
  opacities = np.repeat([0.8, 0.2, 0.05], 100)
  scene = centers(outside * radii[:, None], opacities)
  found = surface_scores.center_scores(scene, surface, normals=surface)
  np.testing.assert_allclose(
    found['center_mean'], 0.8 * 0.02 + 0.2 * 0.1, rtol=0.02
  )
  np.testing.assert_allclose(found['center_95'], 0.1, rtol=0.02)
  # Without normals a sample is never as near as the surface.
  bare = surface_scores.center_scores(scene, surface)
  assert found['center_mean'] < bare['center_mean'] < 0.05
  with pytest.raises(ValueError, match='none of 300'):
    surface_scores.center_scores(scene, surface, least_opacity=0.9)


def test_a_centre_beyond_the_border_is_off_the_surface():
  surface = plane(0.0)
  normals = np.tile([0, 0, 1.0], (len(surface), 1))
  scene = centers(np.array([[1.5, 0.5, 0.0]]), [0.9])
  found = surface_scores.center_scores(scene, surface, normals=normals)
  np.testing.assert_allclose(found['center_mean'], 0.5)


def test_normals_of_a_slanted_plane_are_its_own_and_look_back():
  eye = camera((0.4, 0.7, -3.0))
  normal = np.array([0.3, -0.2, -1.0]) / np.linalg.norm([0.3, -0.2, -1.0])
  depth = plane_depth(eye, normal)
  found = np.asarray(surface_scores.depth_normals(jnp.asarray(depth), eye))
  inside = found[1:-1, 1:-1]
  np.testing.assert_allclose(
    inside, np.broadcast_to(normal, inside.shape), atol=2e-3
  )
  assert not found[0].any() and not found[:, -1].any()
  holed = depth.copy()
  holed[10, 12] = 0
  found = np.asarray(surface_scores.depth_normals(jnp.asarray(holed), eye))
  missing = np.argwhere(~found[1:-1, 1:-1].any(axis=-1)) + 1
  assert len(missing) == 5 and [10, 12] in missing.tolist()


def plane_depth(camera: Camera, normal: np.ndarray) -> np.ndarray:
  """z where the rays of the pixels' centres meet n . p = 0."""
  columns, rows = np.meshgrid(
    np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5
  )
  local = np.stack(
    [
      (columns - camera.center[0]) / camera.focal[0],
      (rows - camera.center[1]) / camera.focal[1],
      np.ones_like(rows),
    ],
    axis=-1,
  )
  rays = local @ np.asarray(camera.world_to_cam, np.float64)[:3, :3]
  return -(np.asarray(camera.position, np.float64) @ normal) / (rays @ normal)


def test_normals_turned_by_an_angle_score_it():
  turn = 0.3
  targets = np.tile([0, 0, 1.0], (4, 1))
  normals = np.tile([np.sin(turn), 0, np.cos(turn)], (4, 1))
  normals[1] *= -1
  normals[3] = 0
  found = surface_scores.normal_scores(normals, targets)
  np.testing.assert_allclose(found['angle'], (2 * turn + np.pi - turn) / 3)
  np.testing.assert_allclose(found['cosine'], np.cos(turn))
  assert found['coverage'] == 0.75
  found = surface_scores.normal_scores(normals, targets, weights=[1, 0, 1, 1])
  np.testing.assert_allclose(found['angle'], turn)
  found = surface_scores.normal_scores(0 * normals, targets)
  assert found['coverage'] == 0 and np.isnan(found['angle'])


def test_the_shortest_axis_is_found_and_turned_with_the_gaussian():
  scene = centers(np.zeros((2, 3)), [0.5, 0.5])
  half = np.sqrt(0.5)
  scene = dataclasses.replace(
    scene,
    log_scales=jnp.asarray([[0.0, -3.0, 1.0], [0.0, -1.0, 1.0]]),
    # the second is turned about x, y to z
    quats=jnp.asarray([[1.0, 0, 0, 0], [half, half, 0, 0]]),
  )
  found = surface_scores.shortest_axes(scene)
  np.testing.assert_allclose(found, [[0, 1, 0], [0, 0, 1]], atol=1e-6)
  assert surface_scores.flat_share(scene) == 0.5


def test_points_that_are_none_are_told_so():
  with pytest.raises(ValueError, match=r'\[P, 3\]'):
    surface_scores.point_scores(np.zeros((0, 3)), plane(0))
  with pytest.raises(ValueError, match='1 of 2 points'):
    surface_scores.point_scores(np.array([[0, 0, np.nan], [0, 0, 0]]), plane(0))
