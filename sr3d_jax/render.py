"""Gaussians + Camera -> Splats -> RenderOutput."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels.rasterize import (
  count_slots,
  needs_capacity,
  next_capacity,
  rasterize,
)

from sr3d_jax.projection import project
from sr3d_jax.types import Array, Camera, Gaussians, RenderOutput


def render(
  gaussians: Gaussians,
  camera: Camera,
  *,
  background: Array | tuple[float, ...] = (0.0, 0.0, 0.0),
  screen_offset: Array | None = None,
  abs_probe: Array | None = None,
  capacity: int | None = None,
  backend: str | None = None,
  **projection: Any,
) -> RenderOutput:
  """Renders one view.

  Args:
    gaussians: [N], in world space.
    camera: one camera.
    background: [3].
    screen_offset: zeros [N, 2] added to `means2d`; differentiate with respect
      to it to see the screen-space gradient, px^-1.
    abs_probe: zeros [N, 2] whose cotangent is the per-pixel sum of absolute
      screen-space gradients (not a true derivative; see `rasterize`).
    capacity: static number of (splat, tile) slots; None counts them, outside
      `jit` only.
    backend: of `rasterize`; None chooses.
    **projection: of `project`.

  Returns:
    The image; NaN with `overflow` set where `capacity` does not suffice.
  """
  splats = project(gaussians, camera, backend=backend, **projection)
  means2d = splats.means2d
  if screen_offset is not None:
    means2d = means2d + screen_offset
  raster = rasterize(
    means2d,
    splats.conics,
    splats.opacities,
    splats.features,
    splats.depths,
    width=camera.width,
    height=camera.height,
    background=jnp.asarray(background, splats.features.dtype),
    abs_probe=abs_probe,
    capacity=capacity,
    backend=backend,
  )
  return RenderOutput(
    image=raster.image,
    alpha=raster.alpha,
    depth=raster.depth,
    radii=splats.radii,
    num_slots=raster.num_slots,
    overflow=raster.overflow,
  )


def view_of(cameras: Camera, index: Any) -> Camera:
  """Camera `index` of a batch."""
  return jax.tree.map(lambda x: x[index], cameras)


@functools.partial(jax.jit, static_argnames=('options',))
def _count(gaussians: Gaussians, cameras: Camera, options: tuple) -> Array:
  def one(camera: Camera) -> Array:
    splats = project(gaussians, camera, **dict(options))
    return count_slots(
      splats.means2d,
      splats.conics,
      splats.opacities,
      splats.depths,
      width=camera.width,
      height=camera.height,
    )

  return jax.lax.map(one, cameras)


def plan_capacity(
  gaussians: Gaussians,
  cameras: Camera,
  *,
  slack: float = 1.0,
  backend: str | None = None,
  **projection: Any,
) -> int:
  """Slots that suffice for every one of `cameras` [V], times `slack`.

  0 where the backend reserves none.
  """
  size = {'width': cameras.width, 'height': cameras.height}
  if not needs_capacity(backend, **size, dtype=gaussians.means.dtype):
    return 0
  if not cameras.world_to_cam.shape[0] or not gaussians.means.shape[0]:
    return next_capacity(0)
  # Projected as for drawing, so that rounding makes no other number of slots.
  options = tuple(sorted({'backend': backend, **projection}.items()))
  counts = _count(gaussians, cameras, options)
  return next_capacity(int(slack * np.max(np.asarray(counts))))


@functools.partial(jax.jit, static_argnames=('capacity', 'backend', 'options'))
def _render_jit(gaussians, camera, background, capacity, backend, options):
  return render(
    gaussians,
    camera,
    background=background,
    capacity=capacity,
    backend=backend,
    **dict(options),
  )


def render_each(
  gaussians: Gaussians,
  cameras: Camera,
  *,
  background: Array | tuple[float, ...] = (0.0, 0.0, 0.0),
  backend: str | None = None,
  **projection: Any,
) -> Iterator[RenderOutput]:
  """Renders every camera of a batch [V], one after the other.

  A view that needs more slots than planned is rendered again with the next
  capacity, so nothing is ever dropped.
  """
  capacity = plan_capacity(gaussians, cameras, backend=backend, **projection)
  options = tuple(sorted(projection.items()))
  background = jnp.asarray(background, jnp.float32)
  for index in range(cameras.world_to_cam.shape[0]):
    camera = view_of(cameras, index)
    while True:
      output = _render_jit(
        gaussians, camera, background, capacity, backend, options
      )
      if not bool(output.overflow):
        break
      capacity = next_capacity(int(output.num_slots))
    yield output


def render_views(
  gaussians: Gaussians, cameras: Camera, **drawing: Any
) -> np.ndarray:
  """The images of `render_each`, on the host: [V, H, W, 3]."""
  outputs = render_each(gaussians, cameras, **drawing)
  images = [np.asarray(output.image) for output in outputs]
  if not images:
    return np.zeros((0, cameras.height, cameras.width, 3), np.float32)
  return np.stack(images)
