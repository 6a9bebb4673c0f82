"""Pictures of meshes: exact where geometry is, and like the slow twin."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import geometry, raycast, raytrace
from sr3d_jax.types import Camera, Orthographic

trimesh = pytest.importorskip('trimesh')
pytest.importorskip('embreex')

RED, GREEN = (255, 0, 0), (0, 255, 0)
BLUE, GREY = (0, 0, 255), (90, 120, 150)
TEXTURE = np.array([[RED, GREEN], [BLUE, GREY]], np.uint8)


def _square(texture=TEXTURE):
  """One unit wide, in the plane z = 0, upright for who comes from +z."""
  uv = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
  return raycast.Mesh(
    vertices=np.append(uv - 0.5, np.zeros((4, 1)), axis=1),
    faces=np.array([[0, 1, 2], [0, 2, 3]]),
    colors=np.ones((4, 3)),
    uv=uv,
    textures=(texture,),
    texture_index=np.zeros(2, int),
  )


def _camera(eye=(0, 0, 2), focal=12.0, size=(10, 10), center=None):
  pose = geometry.look_at(np.float32(eye), np.zeros(3), np.float32([0, 1, 0]))
  return Camera(
    world_to_cam=np.asarray(pose),
    focal=np.full(2, focal, np.float32),
    center=np.float32(np.array(size) / 2 if center is None else center),
    width=size[0],
    height=size[1],
  )


def _soup(rng, num_faces=30):
  """Triangles anywhere, each with its own colours and part of a texture."""
  num_vertices = 3 * num_faces
  return raycast.Mesh(
    vertices=rng.normal(size=(num_vertices, 3)),
    faces=np.arange(num_vertices).reshape(-1, 3),
    colors=rng.random((num_vertices, 3)),
    uv=rng.normal(size=(num_vertices, 2)),
    textures=(TEXTURE, rng.integers(0, 256, (5, 3, 3), np.uint8)),
    texture_index=rng.integers(0, 2, num_faces),
  )


def _twin(mesh, camera):
  """Colours and depths at the pixels' centres, ray by ray, face by face."""
  pose = np.asarray(camera.world_to_cam, float)
  image = np.zeros((camera.height, camera.width, 3))
  depth = np.full(image.shape[:2], np.inf)
  for row, column in np.ndindex(depth.shape):
    x, y = np.array([column + 0.5, row + 0.5] - camera.center) / camera.focal
    for face, index in zip(mesh.faces, mesh.texture_index):
      corners = mesh.vertices[face] @ pose[:3, :3].T + pose[:3, 3]
      # sum w = 1, w x = t (x, y, 1): four equations for three w and t
      system = np.zeros((4, 4))
      system[:3, :3], system[3, :3], system[:3, 3] = corners.T, 1, (-x, -y, -1)
      *weights, t = np.linalg.solve(system, [0, 0, 0, 1])
      if min(weights) < 0 or not 0 < t < depth[row, column]:
        continue
      depth[row, column] = t
      texture = mesh.textures[index] / 255
      height, width = texture.shape[:2]
      u, v = weights @ mesh.uv[face]
      color = 0
      for j, i in np.ndindex(2, 2):
        left = np.floor(u * width - 0.5) + i
        top = np.floor((1 - v) * height - 0.5) + j
        share = (1 - abs(u * width - 0.5 - left)) * (
          1 - abs((1 - v) * height - 0.5 - top)
        )
        color += share * texture[int(top) % height, int(left) % width]
      image[row, column] = color * (weights @ mesh.colors[face])
  return image, depth


def test_a_square_covers_its_pixels_and_no_other():
  pictures = raycast.render(_square(), _camera(), supersample=3)
  inside = np.zeros((10, 10))
  inside[2:8, 2:8] = 1
  np.testing.assert_array_equal(pictures.alpha, inside)
  np.testing.assert_allclose(pictures.depth[2:8, 2:8], 2, rtol=1e-6)
  assert np.isinf(pictures.depth[inside == 0]).all()
  assert pictures.image.dtype == np.float32


def test_a_part_of_a_pixel_is_laid_on_the_background_premultiplied():
  white = _square(raycast.WHITE)
  background = (1.0, 0.0, 0.5)
  pictures = raycast.render(
    white, _camera(center=(5.25, 4.5)), supersample=4, background=background
  )
  # Columns 2.25 to 8.25, rows 1.5 to 7.5.
  np.testing.assert_allclose(
    pictures.alpha[4, [1, 2, 7, 8]], [0, 0.75, 1, 0.25]
  )
  np.testing.assert_allclose(pictures.alpha[[0, 1, 7, 8], 4], [0, 0.5, 0.5, 0])
  np.testing.assert_allclose(pictures.image[4, 8], [1, 0.25, 0.625], atol=1e-6)
  np.testing.assert_allclose(pictures.image[0, 0], background)


def test_a_texture_stands_upright_and_between_its_texels():
  image = raycast.render(_square(), _camera(), supersample=1).image * 255
  # Six pixels over two texels: pixels 3 and 6 see the middles of the texels.
  np.testing.assert_allclose(image[3, 3], RED, atol=1e-3)
  np.testing.assert_allclose(image[3, 6], GREEN, atol=1e-3)
  np.testing.assert_allclose(image[6, 3], BLUE, atol=1e-3)
  np.testing.assert_allclose(image[6, 6], GREY, atol=1e-3)
  np.testing.assert_allclose(image[3, 4], [170, 85, 0], atol=1e-3)
  np.testing.assert_allclose(image[4, 3], [170, 0, 85], atol=1e-3)
  np.testing.assert_allclose(image[3, 2], [170, 85, 0], atol=1e-3)  # repeats


def test_textures_are_found_for_each_triangle_and_tinted():
  mesh = dataclasses.replace(
    _square(),
    textures=(raycast.WHITE, np.full((2, 2, 3), 51, np.uint8)),
    texture_index=np.array([0, 1]),
    colors=np.tile([1.0, 0.5, 0.0], (4, 1)),
  )
  image = raycast.render(mesh, _camera(), supersample=1).image
  np.testing.assert_allclose(image[6, 7], [1, 0.5, 0], atol=1e-6)  # lower right
  np.testing.assert_allclose(image[3, 2], [0.2, 0.1, 0], atol=1e-6)


@pytest.mark.parametrize('seed', [0, 1])
def test_pictures_are_those_of_the_slow_twin(seed):
  rng = np.random.default_rng(seed)
  mesh = _soup(rng)
  camera = _camera(eye=(3, 2, -3), focal=20.0, size=(16, 12), center=(7, 6.5))
  pictures = raycast.render(mesh, camera, supersample=1)
  image, depth = _twin(mesh, camera)
  assert 0.3 < np.isfinite(depth).mean() < 1
  np.testing.assert_array_equal(pictures.alpha, np.isfinite(depth))
  np.testing.assert_allclose(pictures.depth, depth, rtol=1e-5)
  np.testing.assert_allclose(pictures.image, image, atol=1e-4)


def test_a_cube_is_as_deep_as_the_ray_traced_one():
  half = np.array([0.5, 0.3, 0.4])
  box = trimesh.creation.box(2 * half)
  mesh = dataclasses.replace(
    _square(raycast.WHITE),
    vertices=np.array(box.vertices) + np.array([0.1, 0.2, 0]),
    faces=np.array(box.faces),
    colors=np.ones((8, 3)),
    uv=np.zeros((8, 2)),
    texture_index=np.zeros(12, int),
  )
  world = raytrace.World(
    centers=jnp.asarray([[0.1, 0.2, 0]]),
    halves=jnp.asarray(half, jnp.float32)[None],
    yaws=jnp.zeros(1),
    is_ball=jnp.zeros(1, bool),
    faces=jnp.zeros((1, 6), int),
    textures=jnp.zeros((1, 2, 2, 3), jnp.uint8),
    lamp=jnp.ones(3),
    lamp_radius=jnp.asarray(0.1),
    background=jnp.zeros(3),
  )
  camera = _camera(eye=(2, 1.5, -2), focal=30.0, size=(24, 20))
  depth = raytrace.depth(world, camera)
  assert 0.1 < np.isfinite(depth).mean() < 0.9
  drawn = raycast.render(mesh, camera, supersample=1)
  np.testing.assert_allclose(drawn.depth, depth, rtol=1e-4)


def test_many_cameras_see_what_each_sees_alone(monkeypatch):
  mesh = _soup(np.random.default_rng(2))
  eyes = ((3, 0, 3), (0, 4, 1))
  one, other = (_camera(eye=eye, size=(9, 7)) for eye in eyes)
  both = dataclasses.replace(
    one,
    **{
      name: np.stack([getattr(one, name), getattr(other, name)])
      for name in ('world_to_cam', 'focal', 'center')
    },
  )
  keys = dict(supersample=2, background=(0.1, 0.2, 0.3))
  drawn = raycast.render_views(mesh, both, **keys)
  monkeypatch.setattr(raycast, 'MAX_RAYS', 60)  # a row at a time
  for i, camera in enumerate((one, other)):
    for got, wanted in zip(drawn, raycast.render(mesh, camera, **keys)):
      np.testing.assert_array_equal(got[i], wanted)


def test_moving_mesh_and_camera_together_changes_nothing():
  mesh, camera = _soup(np.random.default_rng(3)), _camera(eye=(2, 3, 3))
  angle = 0.7
  turn = np.array(
    [
      [np.cos(angle), 0, np.sin(angle)],
      [0, 1, 0],
      [-np.sin(angle), 0, np.cos(angle)],
    ]
  )
  pose = np.eye(4)
  pose[:3, :3], pose[:3, 3] = turn, [5, -3, 2]
  moved = dataclasses.replace(
    mesh, vertices=mesh.vertices @ turn.T + pose[:3, 3]
  )
  there = dataclasses.replace(
    camera, world_to_cam=camera.world_to_cam @ np.linalg.inv(pose)
  )
  a = raycast.render(mesh, camera, supersample=2)
  b = raycast.render(moved, there, supersample=2)
  # A sample on an edge may fall to either side.
  assert np.mean(np.abs(a.image - b.image).max(axis=-1) > 1e-3) < 0.02


def test_joined_meshes_hide_each_other_and_keep_their_textures():
  front = _square()
  back = dataclasses.replace(
    _square(np.full((1, 1, 3), 51, np.uint8)),
    vertices=2 * front.vertices - [0, 0, 1],
  )
  mesh = raycast.join([front, back])
  image = raycast.render(mesh, _camera(), supersample=1).image
  alone = raycast.render(front, _camera(), supersample=1).image
  np.testing.assert_allclose(image[2:8, 2:8], alone[2:8, 2:8], atol=1e-6)
  np.testing.assert_allclose(image[1, 1], 0.2, atol=1e-6)


def test_light_comes_from_above_and_leaves_no_side_black():
  mesh = _square(raycast.WHITE)
  normals = np.array([[0.0, 0, 1], [0, 0, -1], [1, 0, 0], [0, 0, 0]])
  top, bottom, side, unknown = raycast.lit(mesh, normals, (0, 0, 2)).colors[
    :, 0
  ]
  assert 1 >= top > side > bottom >= raycast.AMBIENT
  assert unknown == pytest.approx((1 + raycast.AMBIENT) / 2)
  up = np.array([1.0, 2, 3]) / np.sqrt(14)  # the lamp leans as far from any up
  leaning = raycast.lit(mesh, np.tile(up, (4, 1)), up).colors[0, 0]
  assert leaning == pytest.approx(top)


def test_what_cannot_be_drawn_is_told():
  with pytest.raises(ValueError, match='supersample must be at least 1, got 0'):
    raycast.render(_square(), _camera(), supersample=0)
  fisheye = dataclasses.replace(_camera(), lens=Orthographic())
  with pytest.raises(ValueError, match='knows only pinholes'):
    raycast.render(_square(), fisheye)
  with pytest.raises(ImportError, match=r"nosuch.*pip install 'sr3d_jax\[data"):
    raycast.library('nosuch')
