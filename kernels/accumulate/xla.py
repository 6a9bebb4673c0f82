"""A window around each position, one offset after another.

A step takes, for every position, the pixel at one offset from the one it lies
in. So memory does not grow with the window, and no array of positions times
window exists; the backward pass makes each step anew.
"""

import jax
import jax.numpy as jnp
from sr3d_kernels.accumulate import gaussian


def unsupported(*, dtype) -> str | None:
  """Serves everything."""
  del dtype


def forward(
  values, covariances, opacities, offsets, positions, footprint, radius
):
  """Sums [..., C] and totals [...]."""
  rows, columns = positions
  height, width, channels = values.shape
  uniform = footprint.size == 3  # one conic a pixel serves every position
  if uniform:
    conic, amplitude = gaussian.conics(
      covariances, opacities, footprint.reshape(3)
    )
  else:
    conic, amplitude = covariances, opacities
  parts = [values, conic, amplitude[..., None]]
  if offsets is not None:
    parts.append(offsets)
  maps = jnp.concatenate(parts, axis=-1)
  first_row = jnp.floor(rows).astype(int)
  first_column = jnp.floor(columns).astype(int)

  def step(sums, offset):
    i, j = first_row + offset[0], first_column + offset[1]
    inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
    found = maps[jnp.clip(i, 0, height - 1), jnp.clip(j, 0, width - 1)]
    value, conic, amplitude = (
      found[..., :channels],
      found[..., channels : channels + 3],
      found[..., channels + 3],
    )
    if not uniform:
      conic, amplitude = gaussian.conics(conic, amplitude, footprint)
    row, column = rows - i - 0.5, columns - j - 0.5
    if offsets is not None:
      row, column = row - found[..., -2], column - found[..., -1]
    weight = gaussian.weight(conic, amplitude, row, column)
    weight = jnp.where(inside, weight, 0)
    total, weights = sums
    return (total + weight[..., None] * value, weights + weight), None

  shape = jnp.broadcast_shapes(rows.shape, columns.shape)
  start = jnp.zeros((*shape, channels)), jnp.zeros(shape)
  steps = jnp.arange(-radius, radius + 1)
  window = jnp.stack(jnp.meshgrid(steps, steps, indexing='ij'), axis=-1)
  sums, _ = jax.lax.scan(jax.checkpoint(step), start, window.reshape(-1, 2))
  return sums
