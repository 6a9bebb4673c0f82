"""The 3D smoothing filter."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from render_test import batch, camera, some

from sr3d_jax import filters


def test_smoothing_keeps_the_integral():
  gaussians = some()
  wide = filters.smooth(gaussians, jnp.full(20, 0.1))
  np.testing.assert_allclose(
    wide.scales**2, gaussians.scales**2 + 0.01, rtol=1e-4
  )
  before = gaussians.opacities * jnp.prod(gaussians.scales, -1)
  after = wide.opacities * jnp.prod(wide.scales, -1)
  np.testing.assert_allclose(after, before, rtol=1e-3)
  same = filters.smooth(gaussians, jnp.zeros(20))
  np.testing.assert_array_equal(same.opacity_logits, gaussians.opacity_logits)


def test_the_filter_follows_the_nearest_camera():
  near, far = camera(), camera()
  far = dataclasses.replace(
    far, world_to_cam=far.world_to_cam.at[2, 3].add(5.0)
  )
  both = jax.tree.map(lambda a, b: jnp.stack([a, b]), far, near)
  means = jnp.zeros((1, 3))
  expected = np.sqrt(0.2) * near.world_to_cam[2, 3] / 70.0
  np.testing.assert_allclose(
    filters.smoothing_scales(means, both)[0], expected, rtol=1e-5
  )


def test_a_point_no_camera_sees_takes_the_coarsest_filter():
  means = jnp.asarray([[0.0, 0, 0], [0.2, 0.5, 0], [0, -50.0, 0]])
  scales = filters.smoothing_scales(means, batch(camera()))
  np.testing.assert_allclose(scales[2], max(scales[0], scales[1]))
