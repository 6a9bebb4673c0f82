"""The definition: every Gaussian at every position, nothing cut off."""

import jax.numpy as jnp
from sr3d_kernels.accumulate import gaussian


def unsupported(*, dtype) -> str | None:
  """Serves everything."""
  del dtype


def forward(
  values, covariances, opacities, offsets, positions, footprint, radius
):
  """Sums [..., C] and totals [...]; the window is the whole picture."""
  del radius
  height, width, channels = values.shape
  rows, columns = jnp.broadcast_arrays(*positions)
  centers = jnp.stack(jnp.mgrid[:height, :width], axis=-1) + 0.5
  if offsets is not None:
    centers = centers + offsets
  conic, amplitude = gaussian.conics(
    covariances.reshape(-1, 3), opacities.reshape(-1), footprint[..., None, :]
  )
  centers = centers.reshape(-1, 2)
  weights = gaussian.weight(
    conic,
    amplitude,
    rows[..., None] - centers[:, 0],
    columns[..., None] - centers[:, 1],
  )
  sums = jnp.matmul(weights, values.reshape(-1, channels), precision='highest')
  return sums, jnp.sum(weights, axis=-1)
