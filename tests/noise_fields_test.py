"""Noise of a scene: white in each view, the same on a surface in all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import noise_fields
from sr3d_jax.types import Camera, Gaussians

HEIGHT, WIDTH, CHANNELS = 16, 24, 64
NUM = 3000
# A mean of all values of a view is off by this, four standard deviations.
CHANCE = 4 / np.sqrt(HEIGHT * WIDTH * CHANNELS)


def cameras() -> Camera:
  """Of a plane: twice from one place, 2 px to the right, and closer by half."""
  poses = np.tile(np.eye(4, dtype=np.float32), (4, 1, 1))
  poses[:, 2, 3] = 2, 2, 2, 1
  poses[2, 0, 3] = -0.25
  return Camera(
    world_to_cam=jnp.asarray(poses),
    focal=jnp.full((4, 2), 16.0),
    center=jnp.tile(jnp.asarray([WIDTH / 2, HEIGHT / 2]), (4, 1)),
    width=WIDTH,
    height=HEIGHT,
  )


def plane(kind: str) -> Gaussians:
  """Six opaque splats a pixel; or few and large ones; or none."""
  rng = np.random.default_rng(0)
  means = rng.uniform([-2, -1.2, 0], [2, 1.2, 0.01], (NUM, 3))
  num_live, size = {'dense': (NUM, 0.06), 'few': (12, 0.8), 'none': (0, 1)}[
    kind
  ]
  return Gaussians(
    means=jnp.asarray(means, jnp.float32),
    log_scales=jnp.full((NUM, 3), np.log(size)),
    quats=jnp.tile(jnp.asarray([1.0, 0, 0, 0]), (NUM, 1)),
    opacity_logits=jnp.where(jnp.arange(NUM) < num_live, 2.0, -20.0),
    sh=jnp.zeros((NUM, 1, 3)),
  )


@pytest.fixture(scope='module', params=list(noise_fields.FIELDS))
def field(request):
  def make(kind='dense', seed=0):
    return noise_fields.FIELDS[request.param](
      jax.random.key(seed), plane(kind), cameras(), CHANNELS
    )

  make.name = request.param
  return make


@pytest.mark.parametrize('kind', ['dense', 'few', 'none'])
def test_each_view_alone_is_white(field, kind):
  noise = field(kind)
  assert noise.shape == (4, HEIGHT, WIDTH, CHANNELS)
  for view in noise:
    assert abs(np.mean(view)) < CHANCE
    assert abs(np.mean(view**2) - 1) < np.sqrt(2) * CHANCE
    # A pixel's variance over 64 channels has a deviation of 0.18.
    variances = np.mean(view**2, axis=-1)
    assert variances.min() > 0.25 and variances.max() < 2.1
    for rows, columns in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)):
      other = np.roll(view, (rows, columns), axis=(0, 1))
      assert abs(np.mean(view * other)) < CHANCE
    # A power over 64 channels has a deviation of 0.13, or 0.18 where real.
    power = np.mean(np.abs(np.fft.fft2(view, axes=(0, 1))) ** 2, axis=-1)
    power /= HEIGHT * WIDTH
    assert power.min() > 0.4 and power.max() < 1.8


def test_views_share_the_noise_of_what_they_share(field):
  noise = field()
  # Seen 2 px farther to the right, the plane moves 2 px to the left.
  here, there = noise[0][:, 2:], noise[2][:, :-2]
  share = np.mean(here * there)
  assert share > 0.8
  assert np.mean(noise[0] * noise[1]) > 0.9
  assert abs(np.mean(noise[0] * noise[2])) < CHANCE
  if field.name == 'warped':
    np.testing.assert_array_equal(noise[0], noise[1])
    assert np.mean(here == there) > 0.95


def test_from_closer_some_of_the_pixels_are_shared(field):
  far, near = (field()[i] for i in (0, 3))
  # Pixels of the far view's middle are 2 x 2 pixels of the near one.
  middle = far[4:12, 6:18]
  blocks = near.reshape(8, 2, 12, 2, CHANNELS).sum(axis=(1, 3)) / 2
  assert np.mean(middle * blocks) > 0.4


def test_without_a_scene_views_share_nothing(field):
  noise = field('none')
  for i in range(4):
    for j in range(i):
      assert abs(np.mean(noise[i] * noise[j])) < CHANCE


def test_the_key_decides(field):
  np.testing.assert_array_equal(field(), field())
  assert abs(np.mean(field() * field(seed=1))) < CHANCE


def test_no_sample_comes_twice_in_a_view():
  noise = noise_fields.warped(jax.random.key(0), plane('dense'), cameras(), 2)
  for view in noise:
    assert len(np.unique(view[..., 0])) == HEIGHT * WIDTH
