"""Renders against photos, of which some pixels are not to be trusted."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import coarse, metrics
from sr3d_jax.evaluate import evaluate
from sr3d_jax.types import Camera, Gaussians, Views

HEIGHT, WIDTH = 16, 20
NAMES = ('a.jpg', 'b.jpg')
BACKGROUND = (0.5, 0.5, 0.5)


@pytest.fixture
def nothing():
  """One transparent Gaussian: every render is the background."""
  return Gaussians(
    means=jnp.asarray([[0.0, 0.0, 2.0]]),
    log_scales=jnp.zeros((1, 3)),
    quats=jnp.asarray([[1.0, 0, 0, 0]]),
    opacity_logits=jnp.full(1, -50.0),
    sh=jnp.zeros((1, 1, 3)),
  )


def _truth():
  """Two views off by 0.1, but for a border that undistortion made black."""
  images = np.full((2, HEIGHT, WIDTH, 3), 0.6, np.float32)
  weights = np.ones((2, HEIGHT, WIDTH), np.float32)
  images[:, :, :4], weights[:, :, :4] = 0, 0
  cameras = Camera(
    world_to_cam=jnp.tile(jnp.eye(4), (2, 1, 1)),
    focal=jnp.full((2, 2), 20.0),
    center=jnp.tile(jnp.asarray([WIDTH / 2, HEIGHT / 2]), (2, 1)),
    width=WIDTH,
    height=HEIGHT,
  )
  return Views(images=images, cameras=cameras, weights=weights)


def _scores(nothing, truth, low):
  _, per_view = evaluate(
    nothing, truth.cameras, NAMES, truth=truth, coarse=low,
    background=BACKGROUND,
  )  # fmt: skip
  return per_view


def test_invented_pixels_are_not_scored(nothing):
  truth = _truth()
  low = coarse.shrink(truth, 2)
  # Photos of that size, rather than these shrunk, whose filter rings.
  photos = 0.6 * jnp.tile(low.weights[..., None], 3)
  low = dataclasses.replace(low, images=photos)
  per_view = _scores(nothing, truth, low)
  trusting = _scores(
    nothing,
    dataclasses.replace(truth, weights=None),
    dataclasses.replace(low, weights=None),
  )
  for name in NAMES:
    assert per_view[name]['psnr'] == pytest.approx(20, abs=1e-3)
    assert per_view[name]['lr_psnr'] == pytest.approx(20, abs=1e-3)
    for key, value in trusting[name].items():
      assert per_view[name][key] > value, key


def test_a_view_that_trusts_no_pixel_has_no_score(nothing):
  truth = _truth()
  truth.weights[1] = 0
  per_view = _scores(nothing, truth, None)
  assert per_view['b.jpg'] == {}
  assert metrics.means(per_view)['psnr'] == pytest.approx(20, abs=1e-3)
