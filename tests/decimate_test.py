"""Coarse meshes keep the fine one's picture."""

import dataclasses

import numpy as np
import pytest

from sr3d_jax import decimate, geometry, raycast
from sr3d_jax.types import Camera

trimesh = pytest.importorskip('trimesh')
pytest.importorskip('fast_simplification')
pytest.importorskip('embreex')


def _globe(rows=40, columns=80):
  """A ball whose texture meets itself at a seam and is pinched at its poles."""
  v, u = np.mgrid[: rows + 1, : columns + 1] / [[[rows]], [[columns]]]
  ring = np.sin(np.pi * v)
  turn = 2 * np.pi * u
  vertices = np.stack(
    [ring * np.cos(turn), np.cos(np.pi * v), ring * np.sin(turn)], axis=-1
  ).round(12)
  vertices[:, -1] = vertices[:, 0]
  index = np.arange(v.size).reshape(v.shape)
  a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
  faces = np.concatenate(
    [np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)]
  ).reshape(-1, 3)
  y, x = np.mgrid[:64, :128]
  waves = np.stack(
    [np.cos(2 * np.pi * 3 * x / 128), np.cos(np.pi * 5 * y / 64), y / 64],
    axis=-1,
  )
  texture = np.uint8(127 + 120 * waves)
  return raycast.Mesh(
    vertices=vertices.reshape(-1, 3),
    faces=faces,
    colors=np.ones((v.size, 3)),
    uv=np.stack([u, 1 - v], axis=-1).reshape(-1, 2),
    textures=(texture,),
    texture_index=np.zeros(len(faces), int),
  )


def _draw(mesh):
  pose = geometry.look_at(
    np.float32([2.5, 1.5, -1]), np.zeros(3), np.float32([0, 1, 0])
  )
  camera = Camera(
    world_to_cam=np.asarray(pose),
    focal=np.full(2, 60, np.float32),
    center=np.full(2, 32, np.float32),
    width=64,
    height=64,
  )
  return raycast.render(mesh, camera, supersample=2)


def _psnr(a, b, where):
  return -10 * np.log10(np.mean((a - b)[where] ** 2))


def test_a_coarse_globe_is_closed_and_looks_like_the_fine_one():
  globe = _globe()
  coarse = decimate.decimate(globe, 400)
  assert 300 < len(coarse.faces) <= 400
  fine, got = _draw(globe), _draw(coarse)
  where = (fine.alpha == 1) & (got.alpha == 1)
  assert (got.alpha[20:44, 20:44] == 1).all()
  assert np.abs(got.alpha - fine.alpha).mean() < 0.01
  assert _psnr(fine.image, got.image, where) > 32
  shifted = dataclasses.replace(globe, uv=globe.uv + np.array([0.02, 0]))
  assert _psnr(_draw(shifted).image, got.image, where) < 26


def test_colours_of_vertices_are_baked_too():
  globe = _globe()
  globe = dataclasses.replace(
    globe,
    textures=(raycast.WHITE,),
    colors=0.5 + 0.5 * np.sin(3 * globe.vertices),
  )
  fine, got = _draw(globe), _draw(decimate.decimate(globe, 400))
  assert _psnr(fine.image, got.image, fine.alpha * got.alpha == 1) > 35


def test_a_mesh_within_its_budget_stays_as_it_is():
  globe = _globe(6, 8)
  assert decimate.decimate(globe, len(globe.faces)) is globe


def test_baking_a_mesh_onto_its_own_triangles_repeats_its_picture():
  globe = _globe(10, 16)
  corners = globe.vertices[globe.faces]
  is_flat = np.ptp(corners, axis=1).min(axis=-1) < 0  # poles: none of no area
  sides = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
  is_flat |= np.linalg.norm(sides, axis=-1) < 1e-9
  baked = decimate.bake(globe, corners[~is_flat], cell=24)
  fine, got = _draw(globe), _draw(baked)
  np.testing.assert_array_equal(fine.alpha, got.alpha)
  np.testing.assert_allclose(fine.image, got.image, atol=0.05)
  assert _psnr(fine.image, got.image, fine.alpha == 1) > 45


def test_the_nearest_points_are_those_of_a_search_of_all_triangles():
  rng = np.random.default_rng(0)
  globe = _globe(12, 16)
  points = rng.normal(size=(200, 3))
  points *= rng.uniform(0.8, 1.3, (200, 1)) / np.linalg.norm(
    points, axis=-1, keepdims=True
  )
  face, weights = decimate.nearest(globe, points)
  corners = globe.vertices[globe.faces]
  found = np.einsum('pc,pcd->pd', weights, corners[face])
  distance = np.linalg.norm(found - points, axis=-1)
  everywhere = [
    trimesh.triangles.closest_point(corners, np.tile(point, (len(corners), 1)))
    for point in points
  ]
  least = np.linalg.norm(everywhere - points[:, None], axis=-1).min(axis=1)
  np.testing.assert_allclose(distance, least, atol=2e-4)
  np.testing.assert_allclose(weights.sum(axis=-1), 1)


def test_budgets_that_no_mesh_can_keep_are_told(monkeypatch):
  globe = _globe(6, 8)
  with pytest.raises(ValueError, match=r'max_faces must be at least 4.*got 3'):
    decimate.decimate(globe, 3)
  library = pytest.importorskip('fast_simplification')
  monkeypatch.setattr(library, 'simplify', lambda v, f, target_count: (v, f))
  with pytest.raises(ValueError, match=r'max_faces is 4, but .* 80 only'):
    decimate.decimate(globe, 4)


@pytest.mark.parametrize(
  'vertices, faces, told',
  [
    (np.zeros((60, 3)), np.arange(60).reshape(-1, 3), '20 triangles has an ar'),
    (np.eye(3), [[0, 0, 1]] * 20, 'none of the 20 triangles has an area'),
    (
      np.arange(40)[:, None] * [1.0, 2, 3],
      [[i, i + 1, i + 2] for i in range(38)],
      'none of the 38 triangles has an area',
    ),
    (np.eye(3), [[0, 1, 2]] * 20, 'nothing is left of the mesh of 20'),
  ],
  ids=['one place', 'edges', 'one line', 'one triangle'],
)
def test_triangles_that_hold_nothing_are_told(vertices, faces, told):
  mesh = raycast.Mesh(
    vertices=np.asarray(vertices),
    faces=np.asarray(faces),
    colors=np.ones((len(vertices), 3)),
    uv=np.zeros((len(vertices), 2)),
    textures=(raycast.WHITE,),
    texture_index=np.zeros(len(faces), int),
  )
  with pytest.raises(ValueError, match=told):
    decimate.decimate(mesh, 8)
