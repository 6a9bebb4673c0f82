"""Drawing a scene that outgrows one device: its Gaussians split over several.

Inside `shard_map`, each device of an axis holds a share of the Gaussians, in
the order of index. It projects its own; all gather the splats, 11 numbers each
however many harmonics there are; each draws a band of rows; all gather the
bands, so that every device ends with the whole image.

Differentiate inside, too, and say `check_vma=False`: every device finds the
same loss of the same image and pulls back its own band. The transpose of the
gather of splats, `psum_scatter`, sums over bands and leaves each device the
gradient of its share. That of anything that all hold alike, a camera or a
background, is one term of a sum: `psum` it.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from sr3d_kernels.rasterize import (
  count_slots,
  needs_capacity,
  next_capacity,
  rasterize,
)

from sr3d_jax.render import project
from sr3d_jax.types import Array, Camera, Gaussians, RenderOutput, Splats


def pad(gaussians: Gaussians, multiple: int) -> Gaussians:
  """Adds Gaussians that draw nothing until `multiple` divides their number."""
  missing = -gaussians.means.shape[0] % multiple

  def fill(x: Array, value: float = 0.0) -> Array:
    widths = [(0, missing)] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, widths, constant_values=value)

  return dataclasses.replace(
    jax.tree.map(fill, gaussians),
    opacity_logits=fill(gaussians.opacity_logits, -jnp.inf),
  )


def band_height(height: int, num_devices: int) -> int:
  """Rows that each device draws; the last ones may lie below the image."""
  return -(-height // num_devices)


def _seen_from_band(splats: Splats, axis: str, rows: int) -> Splats:
  """The splats [N] of all devices; y counts from this device's first row."""
  # In the order of index, by which equal depths are drawn.
  splats = jax.tree.map(
    lambda x: jax.lax.all_gather(x, axis, tiled=True), splats
  )
  top = (jax.lax.axis_index(axis) * rows).astype(splats.means2d.dtype)
  means2d = splats.means2d - jnp.stack([jnp.zeros_like(top), top])
  return dataclasses.replace(splats, means2d=means2d)


def _join(band: Array, axis: str) -> Array:
  """Bands [R, W, C] of all devices, one below the other, on every device.

  All hold the cotangent of the whole image. Plainly transposed, the gather
  would add these up; so only a device's own band, put into what the others
  sent, is differentiated.
  """
  whole = jax.lax.all_gather(jax.lax.stop_gradient(band), axis, tiled=True)
  top = jax.lax.axis_index(axis) * band.shape[0]
  return jax.lax.dynamic_update_slice_in_dim(whole, band, top, axis=0)


def render(
  gaussians: Gaussians,
  camera: Camera,
  *,
  axis: str = 'gaussians',
  background: Array | tuple[float, ...] = (0.0, 0.0, 0.0),
  screen_offset: Array | None = None,
  abs_probe: Array | None = None,
  capacity: int | None = None,
  backend: str | None = None,
  **projection: Any,
) -> RenderOutput:
  """Renders one view of the Gaussians of all devices: `render.render`, shared.

  Args:
    gaussians: [N / D] this device's share, in world space; see `pad`.
    camera: one camera.
    axis: of the D devices, in `shard_map`.
    background: [3].
    screen_offset: zeros [N / D, 2], as in `render.render`.
    abs_probe: zeros [N / D, 2], likewise.
    capacity: slots for one band; see `plan_capacity`.
    backend: of `rasterize`; None chooses.
    **projection: of `project`.

  Returns:
    The whole view on every device, but `radii` [N / D] of its share. The slots
    are those of the fullest band; where one overflows, all of it is NaN.
  """
  share = project(gaussians, camera, backend=backend, **projection)
  if screen_offset is not None:
    means2d = share.means2d + screen_offset
    share = dataclasses.replace(share, means2d=means2d)
  if abs_probe is not None:
    abs_probe = jax.lax.all_gather(abs_probe, axis, tiled=True)
  rows = band_height(camera.height, jax.lax.axis_size(axis))
  splats = _seen_from_band(share, axis, rows)
  raster = rasterize(
    splats.means2d,
    splats.conics,
    splats.opacities,
    splats.features,
    splats.depths,
    width=camera.width,
    height=rows,
    background=jnp.asarray(background, splats.features.dtype),
    abs_probe=abs_probe,
    capacity=capacity,
    backend=backend,
  )
  planes = [raster.image, raster.alpha[..., None], raster.depth[..., None]]
  whole = _join(jnp.concatenate(planes, axis=-1), axis)[: camera.height]
  overflow = jax.lax.pmax(raster.overflow.astype(jnp.int32), axis) > 0
  whole += jnp.where(overflow, jnp.nan, 0).astype(whole.dtype)
  return RenderOutput(
    image=whole[..., :-2],
    alpha=whole[..., -2],
    depth=whole[..., -1],
    radii=share.radii,
    num_slots=jax.lax.pmax(raster.num_slots, axis),
    overflow=overflow,
  )


@functools.partial(jax.jit, static_argnames=('mesh', 'axis', 'options'))
def _count(
  gaussians: Gaussians, cameras: Camera, mesh: Mesh, axis: str, options: tuple
) -> Array:
  """[V] slots of each view's fullest band."""
  rows = band_height(cameras.height, mesh.shape[axis])

  def one(gaussians: Gaussians, camera: Camera) -> Array:
    share = project(gaussians, camera, **dict(options))
    splats = _seen_from_band(share, axis, rows)
    slots = count_slots(
      splats.means2d,
      splats.conics,
      splats.opacities,
      splats.depths,
      width=camera.width,
      height=rows,
    )
    return jax.lax.pmax(slots, axis)

  return jax.shard_map(
    lambda gaussians, cameras: jax.lax.map(
      functools.partial(one, gaussians), cameras
    ),
    mesh=mesh,
    in_specs=(PartitionSpec(axis), PartitionSpec()),
    out_specs=PartitionSpec(),
    check_vma=False,
  )(gaussians, cameras)


def plan_capacity(
  gaussians: Gaussians,
  cameras: Camera,
  *,
  mesh: Mesh,
  axis: str = 'gaussians',
  slack: float = 1.0,
  backend: str | None = None,
  **projection: Any,
) -> int:
  """Slots that suffice for every band of `cameras` [V], times `slack`.

  Called outside `shard_map`, with all N Gaussians, which may lie split. 0 where
  the backend reserves none.
  """
  rows = band_height(cameras.height, mesh.shape[axis])
  size = {'width': cameras.width, 'height': rows}
  if not needs_capacity(backend, **size, dtype=gaussians.means.dtype):
    return 0
  options = tuple(sorted({'backend': backend, **projection}.items()))
  counts = _count(gaussians, cameras, mesh, axis, options)
  return next_capacity(int(slack * np.max(np.asarray(counts), initial=0)))
