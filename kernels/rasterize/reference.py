"""The definition: every pixel meets every splat; gradients by autodiff.

O(N H W) and any float type. Slow and obvious, it is what the other backends
are held to.
"""

import jax
import jax.numpy as jnp
from sr3d_kernels.rasterize import constants

NEEDS_CAPACITY = False


def unsupported(**_) -> None:
  """This backend serves every input."""


def forward(
  means2d, conics, opacities, channels, depths, *, width, height, capacity
):
  """Composites valid splats; see `rasterize` for shapes.

  Returns:
    ([H, W, C] accumulated channels, [H, W] transmittance, overflow), residuals.
  """
  del capacity
  order = jnp.argsort(depths, stable=True)
  splats = (means2d, conics, opacities, channels)
  near_to_far = tuple(x[order] for x in splats)
  rows = _pixel_centers(width, height, means2d.dtype)
  draw_row = jax.vmap(_pixel, in_axes=(0, None))
  image, transmittance = jax.lax.map(lambda p: draw_row(p, near_to_far), rows)
  return (image, transmittance, jnp.array(False)), (splats, order)


def backward(residuals, cotangents, *, width, height, with_abs):
  """Sums the cotangents that autodiff gives pixel by pixel.

  Returns:
    Cotangents of means2d, conics, opacities and channels, and the [N, 2] sum
    over pixels of |dL/dmeans2d|.
  """
  del with_abs
  splats, order = residuals
  near_to_far = tuple(x[order] for x in splats)
  rows = _pixel_centers(width, height, splats[0].dtype)

  def pixel_cotangents(center, v_image, v_transmittance):
    _, pull = jax.vjp(lambda s: _pixel(center, s), near_to_far)
    (v_splats,) = pull((v_image, v_transmittance))
    return (*v_splats, jnp.abs(v_splats[0]))

  def add_row(sums, row):
    v_row = jax.vmap(pixel_cotangents)(*row)
    return jax.tree.map(lambda a, b: a + b.sum(0), sums, v_row), None

  zeros = jax.tree.map(jnp.zeros_like, (*near_to_far, near_to_far[0]))
  sums, _ = jax.lax.scan(add_row, zeros, (rows, *cotangents))
  return tuple(jnp.zeros_like(x).at[order].set(x) for x in sums)


def _pixel_centers(width, height, dtype):
  """[H, W, 2] (x, y)."""
  x, y = jnp.arange(width, dtype=dtype), jnp.arange(height, dtype=dtype)
  return jnp.stack(jnp.meshgrid(x + 0.5, y + 0.5), axis=-1)


def _pixel(center, splats):
  """Composites splats, near to far, at one [2] pixel centre.

  w_i = alpha_i T_i with T_i = prod_{j<i} (1 - alpha_j). The product only falls,
  so the pixel stops before the first splat that would bring it to the minimum.
  """
  means2d, conics, opacities, channels = splats
  dx, dy = jnp.moveaxis(means2d - center, -1, 0)
  xx, xy, yy = jnp.moveaxis(conics, -1, 0)
  raw = opacities * jnp.exp(-0.5 * (xx * dx**2 + yy * dy**2) - xy * dx * dy)
  alphas = jnp.minimum(raw, constants.ALPHA_MAX)
  alphas = jnp.where(raw >= constants.ALPHA_MIN, alphas, 0)
  after = jnp.cumprod(1 - alphas)
  before = jnp.concatenate([jnp.ones_like(after[:1]), after[:-1]])
  is_drawn = after > constants.TRANSMITTANCE_MIN
  weights = jnp.where(is_drawn, alphas * before, 0)
  transmittance = jnp.prod(jnp.where(is_drawn, 1 - alphas, 1))
  return jnp.matmul(weights, channels, precision='highest'), transmittance
