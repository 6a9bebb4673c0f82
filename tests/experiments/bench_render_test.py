"""The benchmark's two calls draw the same picture."""

import numpy as np
from sr3d_kernels.rasterize import specs, timing

from experiments import bench_render


def test_render_and_rasterize_draw_the_same():
  cloud = specs.make_cloud(3, 80, (40, 24))
  cloud = cloud._replace(scales=30 * cloud.scales)
  calls = bench_render.make_calls(cloud, 'xla')
  assert calls.keys() == {'rasterize', 'render'}
  flat = calls['rasterize'][timing.FORWARD]()()
  deep = calls['render'][timing.FORWARD]()()
  assert flat[1].max() > 0.5
  for wanted, got in zip(flat, deep):
    np.testing.assert_allclose(got, wanted, atol=2e-4)
