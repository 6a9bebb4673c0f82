"""Warping by a flow: direction, units, borders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import warp

PICTURE = jnp.arange(2 * 4 * 5.0).reshape(2, 4, 5, 1)


def _flow(x, y):
  return jnp.broadcast_to(jnp.array([x, y], jnp.float32), (2, 4, 5, 2))


@pytest.mark.parametrize('beyond', ['zeros', 'edge'])
def test_no_flow_changes_nothing(beyond):
  found = warp.by_flow(PICTURE, _flow(0, 0), beyond=beyond)
  np.testing.assert_array_equal(found, PICTURE)


def test_a_flow_points_to_where_the_pixel_comes_from():
  # one column to the right, two rows down
  found = warp.by_flow(PICTURE, _flow(1, 2))
  np.testing.assert_array_equal(found[:, :2, :4], PICTURE[:, 2:, 1:])
  np.testing.assert_array_equal(found[:, 2:], 0)
  np.testing.assert_array_equal(found[:, :, 4], 0)


def test_between_pixels_it_is_linear():
  # the picture grows by 1 along columns and by 5 along rows
  found = warp.by_flow(PICTURE, _flow(0.25, 0.5))
  np.testing.assert_allclose(found[:, :3, :4], PICTURE[:, :3, :4] + 2.75)


def test_beyond_the_border_it_fades_or_goes_on():
  ones = jnp.ones_like(PICTURE)
  faded = warp.by_flow(ones, _flow(0, -0.75))
  np.testing.assert_allclose(faded[:, 0], 0.25)
  np.testing.assert_allclose(faded[:, 1:], 1)
  for away in (-0.75, -30.0):
    edge = warp.by_flow(PICTURE, _flow(0, away), beyond='edge')
    np.testing.assert_allclose(edge[:, 0], PICTURE[:, 0])
  np.testing.assert_array_equal(warp.by_flow(ones, _flow(30.0, 0)), 0)


def test_gradients_reach_the_picture_and_the_flow():
  def total(picture, flow):
    return jnp.sum(warp.by_flow(picture, flow)[:, 1:3, 1:3])

  by_picture, by_flow = jax.grad(total, (0, 1))(PICTURE, _flow(0.25, 0.25))
  assert jnp.sum(by_picture) == pytest.approx(8)
  np.testing.assert_allclose(by_flow[:, 1:3, 1:3, 0], 1)
  np.testing.assert_allclose(by_flow[:, 1:3, 1:3, 1], 5)


def test_what_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="'zeros' or 'edge', got 'wrap'"):
    warp.by_flow(PICTURE, _flow(0, 0), beyond='wrap')
  with pytest.raises(ValueError, match=r'want a flow \(2, 4, 5, 2\), got'):
    warp.by_flow(PICTURE, _flow(0, 0)[:, :3])
