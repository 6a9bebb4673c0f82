"""Rays of views: which way they go, and which pixel's colour they expect."""

import jax
import numpy as np
import pytest

from sr3d_jax import geometry, rays, raytrace
from sr3d_jax.types import Camera, Orthographic, Views

WIDTH, HEIGHT = 5, 3


@pytest.fixture
def cameras():
  """Two that differ in all they can, off centre and not square."""
  eyes = np.array([[3.0, 1, 2], [-1, 4, 1]])
  return Camera(
    world_to_cam=np.asarray(
      geometry.look_at(eyes, np.zeros(3), np.array([0.0, 0, 1]))
    ),
    focal=np.float32([[7, 8], [9, 6]]),
    center=np.float32([[2.2, 1.7], [2.5, 1.4]]),
    width=WIDTH,
    height=HEIGHT,
  )


def test_rays_are_those_of_each_pixel_s_centre(cameras):
  found = rays.through(cameras, np.arange(2 * HEIGHT * WIDTH))
  for v in range(2):
    camera = jax.tree.map(lambda x, v=v: x[v], cameras)
    origins, directions = raytrace.camera_rays(
      camera, raytrace.pixel_centers(WIDTH, HEIGHT)
    )
    part = slice(v * HEIGHT * WIDTH, (v + 1) * HEIGHT * WIDTH)
    wanted = {'origins': origins, 'directions': directions}
    for name, array in wanted.items():
      assert found[name].dtype == np.float32
      np.testing.assert_allclose(
        found[name][part], np.reshape(array, (-1, 3)), atol=1e-5
      )


def test_a_batch_pairs_each_ray_with_its_pixel(cameras):
  images = np.random.default_rng(0).random((2, HEIGHT, WIDTH, 3), np.float32)
  weights = np.ones((2, HEIGHT, WIDTH), np.float32)
  weights[0, :, 1] = 0
  weights[1, 2] = 0.5
  views = Views(images=images, cameras=cameras, weights=weights)
  draw = rays.batches(views, batch_size=300, seed=3)
  batch, again, other = draw(4), draw(4), draw(5)
  np.testing.assert_array_equal(batch['colors'], again['colors'])
  assert not np.array_equal(batch['colors'], other['colors'])
  every = rays.through(cameras, np.arange(2 * HEIGHT * WIDTH))
  seen = set()
  for i in range(300):
    (pixel,) = np.flatnonzero(
      (images.reshape(-1, 3) == batch['colors'][i]).all(1)
    )
    np.testing.assert_array_equal(
      batch['directions'][i], every['directions'][pixel]
    )
    np.testing.assert_array_equal(batch['origins'][i], every['origins'][pixel])
    assert batch['weights'][i] == weights.reshape(-1)[pixel] > 0
    seen.add(pixel)
  assert seen == set(np.flatnonzero(weights))


def test_what_gives_no_rays_is_told(cameras):
  images = np.zeros((2, HEIGHT, WIDTH, 3), np.float32)
  views = Views(images=images, cameras=cameras, weights=images[..., 0])
  with pytest.raises(ValueError, match=r'no pixel .* weight above 0'):
    rays.batches(views, batch_size=4, seed=0)
  with pytest.raises(ValueError, match='batch_size should be at least 1'):
    rays.batches(views, batch_size=0, seed=0)
  flat = Camera(**{**vars(cameras), 'lens': Orthographic()})
  with pytest.raises(ValueError, match='rays knows only pinholes'):
    rays.through(flat, np.arange(3))
