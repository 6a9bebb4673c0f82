"""Pictures that are made to explain their low resolution."""

import jax.numpy as jnp
import numpy as np

from sr3d_jax import backproject, image

SIZE = 40


def test_back_projection_explains_the_low_resolution():
  rows, columns = np.mgrid[:20, :20] / 2
  waves = [np.sin(rows), np.cos(columns), np.sin(rows + columns)]
  lr = (0.5 + 0.3 * np.stack(waves, axis=-1)).astype(np.float32)
  blurred = image.gaussian_blur(image.resize(lr, SIZE, SIZE), 1.0)
  misses = [
    float(jnp.abs(image.resize(x, 20, 20) - lr).max())
    for n in (0, 1, 3)
    for x in [backproject.back_project(blurred, lr, num_steps=n)]
  ]
  assert misses[0] > 2 * misses[1] > 4 * misses[2] > 0
  same = backproject.back_project(blurred, lr, num_steps=0)
  np.testing.assert_array_equal(same, blurred)
