"""Splits one at a time: what the Hessian promises is what the theorem is of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import split_audits
from sr3d_jax.render import render_views
from sr3d_jax.types import Camera, Gaussians, Views


@pytest.fixture(scope='module')
def blurred():
  """Four fat Gaussians before cameras that saw pairs of thin ones."""
  num = 4
  rng = np.random.default_rng(0)
  spots = np.stack([np.linspace(-0.6, 0.6, num), 0.2 * rng.normal(size=num)], 1)
  means = jnp.asarray(np.c_[spots, np.zeros(num)], jnp.float32)

  def make(means, scale, opacity):
    count = len(means)
    return Gaussians(
      means=means,
      log_scales=jnp.full((count, 3), np.log(scale)),
      quats=jnp.tile(jnp.asarray([1.0, 0, 0, 0]), (count, 1)),
      opacity_logits=jnp.full(count, opacity),
      sh=jnp.asarray(rng.uniform(0.2, 1.5, (count, 1, 3)), jnp.float32),
    )

  poses = np.tile(np.eye(4, dtype=np.float32), (3, 1, 1))
  poses[:, 2, 3] = 3
  poses[:, 0, 3] = (-0.2, 0, 0.2)
  cameras = Camera(
    world_to_cam=jnp.asarray(poses),
    focal=jnp.full((3, 2), 40.0),
    center=jnp.full((3, 2), 16.0),
    width=32,
    height=32,
  )
  apart = jnp.asarray([0.0, 0.12, 0.0])
  truth = make(jnp.concatenate([means + apart, means - apart]), 0.06, 0.0)
  coarse = make(means, 0.12, -1.0)
  images = jnp.asarray(render_views(truth, cameras))
  return coarse, Views(images=images, cameras=cameras)


def test_the_mean_of_two_pictures_changes_as_predicted(blurred):
  """Smaller shifts drown in pixels that cross 1/255, larger ones err."""
  coarse, views = blurred
  found = split_audits.compare(
    jax.random.key(0), coarse, views, {}, num=9, shift=0.2
  )
  assert 1 <= len(found['chosen']) <= 4
  assert (found['predicted'] < 0).all()
  np.testing.assert_allclose(found['mean'], found['predicted'], rtol=0.1)
  for kind in ('held', 'free'):
    np.testing.assert_allclose(found[kind], found['predicted'], rtol=0.25)


def test_a_split_across_what_is_wanted_costs(blurred):
  coarse, views = blurred
  along, across = (
    split_audits.losses(
      coarse, views, np.array([1]), 0.03 * np.eye(3)[[axis]], {}
    )
    for axis in (1, 0)
  )
  assert along[0] < across[0]


def test_unknown_kinds_are_told(blurred):
  coarse, views = blurred
  with pytest.raises(ValueError, match='one of mean, held, free, got'):
    split_audits.losses(
      coarse, views, np.array([0]), np.zeros((1, 3)), {}, kind='x'
    )
