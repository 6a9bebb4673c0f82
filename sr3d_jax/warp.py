"""Pictures looked up where a flow points, as video networks align frames.

A flow [H, W, 2] holds (x, y), px: the pixel in column i, row j of the result is
that of the other picture at column i + x, row j + y.
"""

import jax
import jax.numpy as jnp

from sr3d_jax import sampling
from sr3d_jax.types import Array


def by_flow(pictures: Array, flow: Array, *, beyond: str = 'zeros') -> Array:
  """Interpolates linearly where the flow points.

  Args:
    pictures: [B, H, W, C].
    flow: [B, H, W, 2] px.
    beyond: the border, 'zeros', into which it fades over a pixel, or 'edge',
      which goes on.

  Returns:
    [B, H, W, C]; PyTorch's `grid_sample` with aligned corners, whose padding is
    then 'zeros' or 'border'.
  """
  if beyond not in ('zeros', 'edge'):
    raise ValueError(f"beyond must be 'zeros' or 'edge', got {beyond!r}")
  if flow.shape != (*pictures.shape[:-1], 2):
    raise ValueError(
      f'pictures {pictures.shape} want a flow {(*pictures.shape[:-1], 2)}, got '
      f'{flow.shape}'
    )
  height, width = pictures.shape[1:3]
  # What lies beyond a ring of zeros is the ring.
  ring = 1 if beyond == 'zeros' else 0
  pictures = jnp.pad(pictures, [(0, 0), (ring, ring), (ring, ring), (0, 0)])
  columns = jnp.arange(width) + 0.5 + ring + flow[..., 0]
  rows = jnp.arange(height)[:, None] + 0.5 + ring + flow[..., 1]
  return jax.vmap(sampling.bilinear)(pictures, rows, columns)
