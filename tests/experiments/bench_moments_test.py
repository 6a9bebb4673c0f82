"""The benchmark of moments times what it says."""

import numpy as np
from sr3d_kernels.rasterize import specs

from experiments import bench_moments


def test_both_calls_see_the_same_splats():
  cloud = specs.make_cloud(3, 40, (40, 24))
  cloud = cloud._replace(scales=30 * cloud.scales)
  calls = bench_moments.make_calls(cloud, 'xla')
  assert calls.keys() == {'gradient', 'moments'}
  (image, alpha), grads = calls['gradient']()
  found = calls['moments']()
  assert alpha.max() > 0.5 and image.shape == (24, 40, 3)
  # Who gets a gradient is who has moments.
  is_drawn = np.abs(np.asarray(grads[3])).sum(1) > 0
  np.testing.assert_array_equal(is_drawn, np.asarray(found.blend) > 0)
  assert np.any(found.signed) and not found.overflow
