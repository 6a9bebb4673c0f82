"""The 3D smoothing filter: a scene without detail that no photo has sampled.

Of the two filters of Yu et al. 2024, "Mip-Splatting", it is the one in the
scene; the one on the screen belongs to `render.project`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import optics
from sr3d_jax.types import Array, Camera, Gaussians

FILTER_VARIANCE = 0.2  # in squared sampling intervals
LEAST_SHARP = 0.04  # of a variance: what a filter leaves of it at least
SEEN_MARGIN = 0.15  # of the image on each side: a point there still counts


def smoothing_scales(
  means: Array, cameras: Camera, *, near: float = 0.2
) -> Array:
  """Standard deviation [N] of the 3D filter, scene units.

  sqrt(0.2) times the finest sampling interval (a pinhole's z / focal) among the
  cameras [V] that see the point (up to 15 % outside the frame, depth > near); a
  point that none sees takes the coarsest of those seen (Yu et al. 2024).
  """
  size = jnp.asarray([cameras.width, cameras.height], means.dtype)

  def nearest(interval: Array, camera: Camera):
    view, shift = camera.world_to_cam[:3, :3], camera.world_to_cam[:3, 3]
    points = jnp.matmul(means, view.T, precision='highest') + shift
    sees = optics.sees(camera, *points.T, near)
    x, y, z = optics.on_axis_unless(sees, points)
    imaged = optics.image(camera, x, y, z)
    plane = jnp.stack([imaged.u, imaged.v], axis=-1)
    pixels = camera.focal * plane + camera.center
    margin = SEEN_MARGIN * size
    inside = (pixels >= -margin) & (pixels <= size + margin)
    seen = sees & jnp.all(inside, axis=-1)
    step = jnp.where(seen, optics.spacing(camera, x, y, z), jnp.inf)
    return jnp.minimum(interval, step), None

  start = jnp.full(means.shape[:1], jnp.inf, means.dtype)
  interval, _ = jax.lax.scan(nearest, start, cameras)
  seen = jnp.isfinite(interval)
  coarsest = jnp.max(jnp.where(seen, interval, 0.0), initial=0.0)
  interval = jnp.where(seen, interval, coarsest)
  return jax.lax.stop_gradient(np.sqrt(FILTER_VARIANCE) * interval)


def reach(gaussians: Gaussians, cameras: Camera) -> Array:
  """[N] longest deviation over the distance to the nearest camera in sight."""
  pixel = smoothing_scales(gaussians.means, cameras) / np.sqrt(FILTER_VARIANCE)
  distance = pixel * jnp.max(cameras.focal)
  return jnp.max(gaussians.scales, axis=-1) / distance


def smooth(gaussians: Gaussians, deviation: Array) -> Gaussians:
  """Convolves each Gaussian with an isotropic one, keeping its integral.

  s' = sqrt(s^2 + f^2), o' = o prod_k s_k / s'_k: the 3D smoothing filter of
  Yu et al. 2024, eq. 8. The result needs no filter when it is drawn.

  Args:
    gaussians: [N].
    deviation: [N] standard deviation of the filter, scene units.
  """
  sharp = gaussians.scales
  log_scales = 0.5 * jnp.log(
    jnp.maximum(sharp**2 + deviation[:, None] ** 2, 1e-30)
  )
  loss = jnp.sum(gaussians.log_scales - log_scales, axis=-1)
  log_opacity = jax.nn.log_sigmoid(gaussians.opacity_logits)
  log_opacity = jnp.where(
    deviation > 0, jnp.minimum(log_opacity + loss, -1e-6), log_opacity
  )
  logits = log_opacity - jnp.log1p(-jnp.exp(jnp.minimum(log_opacity, -1e-6)))
  return dataclasses.replace(
    gaussians,
    log_scales=jnp.where(
      deviation[:, None] > 0, log_scales, gaussians.log_scales
    ),
    opacity_logits=jnp.where(deviation > 0, logits, gaussians.opacity_logits),
  )


def sharpen(gaussians: Gaussians, deviation: Array) -> Gaussians:
  """Inverts `smooth`: what it makes these Gaussians of, where there is such.

  s = sqrt(s'^2 - f^2), o = o' prod_k s'_k / s_k. Axes that are hardly wider
  than the filter keep `LEAST_SHARP` of their variance, and opacities stay below
  1, so that those grow a little.

  Args:
    gaussians: [N], as they are to be drawn.
    deviation: [N] standard deviation of the filter, scene units.
  """
  drawn = gaussians.scales
  variance = drawn**2
  variance = jnp.maximum(
    variance - deviation[:, None] ** 2, LEAST_SHARP * variance
  )
  log_scales = 0.5 * jnp.log(jnp.maximum(variance, 1e-30))
  gain = jnp.sum(gaussians.log_scales - log_scales, axis=-1)
  log_opacity = jax.nn.log_sigmoid(gaussians.opacity_logits) + gain
  log_opacity = jnp.minimum(log_opacity, -1e-6)
  logits = log_opacity - jnp.log1p(-jnp.exp(log_opacity))
  is_blurred = deviation > 0
  return dataclasses.replace(
    gaussians,
    log_scales=jnp.where(is_blurred[:, None], log_scales, gaussians.log_scales),
    opacity_logits=jnp.where(is_blurred, logits, gaussians.opacity_logits),
  )
