"""Times `rasterize` and the whole call from Gaussians, projection included.

    python -m experiments.bench_render --shapes 138766,648x420

Takes the flags of `sr3d_kernels.rasterize.bench`, and prints its lines: first
`rasterize` alone, then `render`, with gradients to means, scales, quaternions,
opacities and colours. With `--peer gsplat` the lines of gsplat are to be held
against those of `render`: the same Gaussians, the same outputs, the same run.
"""

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels.rasterize import bench, specs, timing

from sr3d_jax import render, sh
from sr3d_jax.numerics import inverse_sigmoid
from sr3d_jax.types import Camera, Gaussians


def make_gaussians(cloud: specs.Cloud) -> tuple[Gaussians, Camera]:
  """A cloud of the kernels in the words of this codebase."""
  cloud = jax.tree.map(
    lambda x: jnp.asarray(x, jnp.float32) if np.ndim(x) else x, cloud
  )
  gaussians = Gaussians(
    means=cloud.means,
    log_scales=jnp.log(cloud.scales),
    quats=cloud.quats,
    opacity_logits=inverse_sigmoid(jnp.clip(cloud.opacities, 1e-6, 1 - 1e-6)),
    sh=sh.from_rgb(cloud.colors, 0),
  )
  camera = Camera(
    world_to_cam=cloud.world_to_cam,
    focal=jnp.diag(cloud.intrinsics)[:2],
    center=cloud.intrinsics[:2, 2],
    width=cloud.width,
    height=cloud.height,
  )
  return gaussians, camera


def make_calls(cloud: specs.Cloud, backend: str) -> dict[str, bench.Calls]:
  """The calls of `rasterize` alone and of `render`."""
  gaussians, camera = make_gaussians(cloud)
  drawing = {
    'backend': backend, 'blur': specs.BLUR, 'compensation': 'none',
    'near': specs.NEAR,
  }  # fmt: skip
  cameras = jax.tree.map(lambda x: x[None], camera)
  capacity = render.plan_capacity(gaussians, cameras, **drawing)

  def draw(gaussians):
    output = render.render(
      gaussians,
      camera,
      background=cloud.background,
      capacity=capacity,
      **drawing,
    )
    return output.image, output.alpha

  shape = (cloud.height, cloud.width, 3)
  calls = {'render': timing.both_ways(draw, (gaussians,), shape)}
  return bench.make_calls(cloud, backend) | calls


if __name__ == '__main__':
  bench.run(make_calls, 'experiments.bench_render')
