"""The definition: every pixel meets every splat, O(N H W), any float type."""

import jax
import jax.numpy as jnp
from sr3d_kernels.moments.powers import POWERS
from sr3d_kernels.rasterize import constants

NEEDS_CAPACITY = False


def unsupported(**_) -> None:
  """This backend serves every input."""


def forward(
  means2d, conics, opacities, colors, depths, background, residual, weights,
  *, width, height, capacity,
):  # fmt: skip
  """Sums [N, 32] over the pixels, and no overflow; see `moments`."""
  del capacity
  order = jnp.argsort(depths, stable=True)
  splats = tuple(x[order] for x in (means2d, conics, opacities, colors))
  if residual is None:
    residual = jnp.zeros((height, width, len(background)), means2d.dtype)
  x, y = (jnp.arange(n, dtype=means2d.dtype) + 0.5 for n in (width, height))
  centers = jnp.stack(jnp.meshgrid(x, y), axis=-1)
  add_row = jax.vmap(_pixel, in_axes=(0, 0, 0, None, None))

  def step(sums, row):
    return sums + add_row(*row, splats, background).sum(0), None

  zeros = jnp.zeros((len(depths), 32), means2d.dtype)
  sums, _ = jax.lax.scan(step, zeros, (centers, residual, weights))
  return jnp.zeros_like(sums).at[order].set(sums), jnp.array(False)


def _pixel(center, residual, weight, splats, background):
  """What one pixel adds to the sums [N, 32] of splats, near to far."""
  means2d, conics, opacities, colors = splats
  dx, dy = jnp.moveaxis(center - means2d, -1, 0)
  xx, xy, yy = jnp.moveaxis(conics, -1, 0)
  raw = opacities * jnp.exp(-0.5 * (xx * dx**2 + yy * dy**2) - xy * dx * dy)
  alphas = jnp.minimum(raw, constants.ALPHA_MAX)
  alphas = jnp.where(raw >= constants.ALPHA_MIN, alphas, 0)
  after = jnp.cumprod(1 - alphas)
  before = jnp.concatenate([jnp.ones_like(after[:1]), after[:-1]])
  alphas = jnp.where(after > constants.TRANSMITTANCE_MIN, alphas, 0)

  def cover(behind, splat):
    alpha, color = splat
    return alpha * color + (1 - alpha) * behind, behind

  _, behind = jax.lax.scan(cover, background, (alphas, colors), reverse=True)
  slopes = before[:, None] * (colors - behind)  # dI / dalpha
  smooth = jnp.where(raw < constants.ALPHA_MAX, alphas, 0)
  squared = weight * jnp.sum(slopes**2, axis=1) * smooth**2
  signed = jnp.sum(slopes * residual, axis=1) * smooth
  powers = jnp.stack([dx**k * dy**l for k, l in POWERS], axis=1)
  drawn = alphas * before
  others = jnp.stack([weight * drawn**2, weight * drawn], axis=1)
  return jnp.concatenate(
    [squared[:, None] * powers, signed[:, None] * powers, others], axis=1
  )
