"""The ray-traced scene: its geometry is exact and its detail is fine."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import image as image_lib
from sr3d_jax import raytrace
from sr3d_jax.scenes import procedural


@pytest.fixture(scope='module')
def world():
  return procedural.make_world()


@pytest.fixture(scope='module')
def scene():
  return procedural.make(**procedural.TINY)


def _one(cameras, i):
  return jax.tree.map(lambda x: x[i], cameras)


@jax.jit
def _project(camera, points):
  local = points @ camera.world_to_cam[:3, :3].T + camera.world_to_cam[:3, 3]
  pixels = local[..., :2] / local[..., 2:] * camera.focal + camera.center
  return pixels, local[..., 2]


def _simple_world(is_ball):
  white = jnp.full((1, 2, 2, 3), 255, jnp.uint8)
  return raytrace.World(
    centers=jnp.array([[0.0, 0.0, 5.0]]),
    halves=jnp.array([[1.0, 1.0, 1.0]]),
    yaws=jnp.zeros(1),
    is_ball=jnp.array([is_ball]),
    faces=jnp.zeros((1, 6), int),
    textures=white,
    lamp=jnp.array([0.0, 0.0, -5.0]),
    lamp_radius=jnp.asarray(0.1),
    background=jnp.zeros(3),
  )


@pytest.mark.parametrize('x, expected', [(0.0, 4.0), (0.6, 4.2), (1.1, np.inf)])
def test_a_ball_is_met_where_the_equation_says(x, expected):
  ray = jnp.array([x, 0.0, 0.0]), jnp.array([0.0, 0.0, 1.0])
  t, _ = raytrace.intersect(_simple_world(True), *ray)
  np.testing.assert_allclose(t, expected, rtol=1e-6)


@pytest.mark.parametrize('yaw, expected', [(0, 2.0), (45, 3 - np.sqrt(2))])
def test_a_cube_turned_by_an_eighth_shows_its_edge(yaw, expected):
  world = _simple_world(False)
  turned = raytrace.World(
    **{**vars(world), 'yaws': jnp.radians(jnp.array([float(yaw)]))}
  )
  ray = jnp.array([-3.0, 1e-4, 5.0]), jnp.array([1.0, 0.0, 0.0])
  t, _ = raytrace.intersect(turned, *ray)
  np.testing.assert_allclose(t, expected, rtol=1e-3)


def test_depth_seen_in_one_view_agrees_with_another(world):
  cameras = procedural.arc(9, width=96, height=72)
  near, far = _one(cameras, 3), _one(cameras, 4)
  depth = raytrace.depth(world, near)
  pixels = raytrace.pixel_centers(96, 72)
  origins, directions = raytrace.camera_rays(near, pixels)
  points = origins + depth[..., None] * directions
  np.testing.assert_allclose(_project(near, points)[0], pixels, atol=1e-2)

  other, expected = _project(far, points)
  met = raytrace.intersect(world, *raytrace.camera_rays(far, other))[0]
  is_seen = np.abs(np.asarray(met - expected)) < 5e-3
  assert is_seen.mean() > 0.85  # the rest is hidden from the other camera
  assert np.all(np.asarray(met <= expected + 5e-3))  # nothing is seen through

  color = _color(world, near, pixels)
  again = _color(world, far, other)
  error = np.abs(color - again).max(-1)[is_seen]
  assert np.quantile(error, 0.98) < 0.02


def _color(world, camera, pixels):
  lobes = jnp.zeros((1, 3))
  rays = raytrace.camera_rays(camera, pixels[..., None, :])
  return np.asarray(jax.jit(raytrace._shade)(world, *rays, lobes))[..., 0, :]


def test_a_coarse_render_is_the_mean_of_a_fine_one(world):
  camera = _one(procedural.arc(2, width=32, height=24), 0)
  coarse = raytrace.render(world, camera, supersample=4)
  fine = raytrace.render(world, camera.at_scale(2), supersample=2)
  mean = fine.reshape(24, 2, 32, 2, 3).mean((1, 3))
  # Only the lamp's points that a sample asks differ: 4 in one, 16 in the other.
  assert np.abs(coarse - mean).mean() < 0.012
  shifted = np.roll(mean, 1, axis=1)
  assert np.abs(coarse - shifted).mean() > 0.05


def test_bicubic_visibly_loses_detail(world):
  camera = _one(procedural.arc(3, width=256, height=192), 1)
  fine = raytrace.render(world, camera, supersample=2)
  coarse = image_lib.resize(fine, 48, 64, method='area')
  again = image_lib.resize(coarse, 192, 256)
  psnr = -10 * np.log10(np.mean((again - fine) ** 2))
  assert 15 < psnr < 23


def test_pictures_are_well_exposed(scene):
  assert 0.25 < scene.train.images.mean() < 0.6
  assert scene.train.images.std() > 0.15
  assert (scene.train.images >= 1).mean() < 0.05


def test_points_lie_on_what_the_cameras_see(scene, world):
  camera = _one(scene.train.cameras, 0)
  pixels, depth = _project(camera, scene.points)
  met = raytrace.intersect(world, *raytrace.camera_rays(camera, pixels))[0]
  assert np.all(np.asarray(met) <= depth + 5e-3)
  assert np.mean(np.abs(met - depth) < 5e-3) > 0.3
  assert scene.colors.min() >= 0 and scene.colors.max() <= 1


def test_test_views_lie_between_training_views(scene):
  names = scene.train_names + scene.test_names
  assert sorted(names) == [f'view_{i:03d}' for i in range(7)]
  assert min(names) not in scene.test_names
  assert max(names) not in scene.test_names
  assert len(scene.test.images) == 2 and scene.test.images.shape[1:] == (
    24,
    32,
    3,
  )


def test_the_same_seed_gives_the_same_bits(scene):
  again = procedural.make(**procedural.TINY)
  np.testing.assert_array_equal(scene.train.images, again.train.images)
  np.testing.assert_array_equal(scene.points, again.points)


@pytest.mark.parametrize('num_train, num_test', [(1, 0), (4, 4), (4, -1)])
def test_impossible_splits_are_refused(num_train, num_test):
  with pytest.raises(ValueError, match='num_train, num_test'):
    procedural.make(num_train=num_train, num_test=num_test)


def test_what_lies_on_the_desk_goes_round_and_the_room_does_not():
  world = procedural.make_world()
  later = procedural.turned(world, np.radians(90))
  first = procedural.FIRST_ON_DESK
  np.testing.assert_array_equal(later.centers[:first], world.centers[:first])
  x, y, z = np.asarray(world.centers[first:]).T
  np.testing.assert_allclose(
    later.centers[first:], np.stack([-y, x, z], -1), atol=1e-6
  )
  np.testing.assert_allclose(
    later.yaws[first:] - world.yaws[first:], np.pi / 2, rtol=1e-6
  )
  np.testing.assert_array_equal(later.yaws[:first], world.yaws[:first])


def test_only_the_first_of_moving_views_is_as_of_a_still_scene():
  still = procedural.make(**procedural.TINY, num_points=10)
  moving = procedural.make(**procedural.TINY, num_points=10, turn=20.0)
  np.testing.assert_array_equal(still.train.images[0], moving.train.images[0])
  assert np.abs(still.train.images[-1] - moving.train.images[-1]).max() > 0.1


def test_photographs_take_the_place_of_all_textures(photos):
  plain = procedural.make_world(seed=3)
  world = procedural.make_world(seed=3, photos=(str(photos),))
  again = procedural.make_world(seed=3, photos=(str(photos),))
  assert world.textures.shape == plain.textures.shape
  np.testing.assert_array_equal(world.textures, again.textures)
  # Of these photographs green grows downwards, blue to the right.
  texture = np.asarray(world.textures, np.float32)
  green, blue = texture[..., 1], texture[..., 2]
  assert np.all(green[:, -1].mean(-1) > green[:, 0].mean(-1))
  assert np.all(blue[:, :, -1].mean(-1) > blue[:, :, 0].mean(-1))


def test_a_texture_is_cut_in_the_proportions_of_what_it_covers():
  photo = np.arange(60 * 80 * 3, dtype=np.uint8).reshape(60, 80, 3)
  rng = np.random.default_rng(0)
  assert procedural._cut(rng, photo, 100, 400).shape == (20, 80, 3)
  assert procedural._cut(rng, photo, 300, 100).shape == (60, 20, 3)
