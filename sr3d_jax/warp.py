"""Pictures looked up where a flow points, as video networks align frames.

A flow [H, W, 2] holds (x, y), px: the pixel in column i, row j of the result is
that of the other picture at column i + x, row j + y.
"""

from collections.abc import Callable

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


def visible(flow: Array, back: Array) -> Array:
  """Finds where a flow is to be trusted: [B, H, W] bool.

  It must end between the other picture's pixels, for `by_flow` fades beyond;
  the way there and back must end where it began, and motion be smooth, by the
  thresholds of Ruder et al. (2016): |f + b~|² <= 0.01 (|f|² + |b~|²) + 0.5 and
  |grad f|² <= 0.01 |f|² + 0.002, b~ being the way back from where f ends.

  Args:
    flow: [B, H, W, 2] px, from frames into others.
    back: [B, H, W, 2] px, from the others.
  """
  returned = by_flow(back, flow)

  def square(x: Array) -> Array:
    return jnp.sum(x**2, axis=-1)

  down = jnp.diff(flow, axis=1, append=flow[:, -1:])
  right = jnp.diff(flow, axis=2, append=flow[:, :, -1:])
  length = square(flow)
  meets = square(flow + returned) <= 0.01 * (length + square(returned)) + 0.5
  is_smooth = square(down) + square(right) <= 0.01 * length + 0.002
  return inside(flow) & meets & is_smooth


def inside(flow: Array) -> Array:
  """Finds where a flow [B, H, W, 2] ends between pixels: [B, H, W] bool."""
  height, width = flow.shape[1:3]
  ends = flow + jnp.stack(
    jnp.meshgrid(jnp.arange(width), jnp.arange(height)), -1
  )
  last = jnp.array([width - 1, height - 1])
  return jnp.all((ends >= 0) & (ends <= last), axis=-1)


def follow(flows: Array, backs: Array) -> Callable:
  """Makes the alignment of a clip's neighbours, see `temporal`.

  Args:
    flows: [T - 1, H, W, 2] px, from each frame into the next.
    backs: [T - 1, H, W, 2] px, from the next into each.
  """
  trusted = visible(flows, backs)

  def align(t: int, pictures: Array) -> tuple[Array, Array]:
    return by_flow(pictures[None], flows[t : t + 1])[0], trusted[t]

  return align
