"""Rays of views: one for each pixel, through its centre.

A direction's z in its camera is 1, so that multiples of it are depths.
"""

from collections.abc import Callable

import numpy as np

from sr3d_jax.types import Camera, Views, only_pinholes


def through(cameras: Camera, index: np.ndarray) -> dict[str, np.ndarray]:
  """Rays through pixels, which are counted along rows, then columns, views.

  Args:
    cameras: [V] pinholes.
    index: [B] of V · H · W pixels.

  Returns:
    `origins` [B, 3] and `directions` [B, 3], float32.
  """
  only_pinholes(cameras, 'rays')
  view, row, column = np.unravel_index(
    index, (len(cameras.focal), cameras.height, cameras.width)
  )
  poses = np.asarray(cameras.world_to_cam)[view]
  pixels = np.stack([column, row], axis=-1) + 0.5
  plane = pixels - np.asarray(cameras.center)[view]
  plane = plane / np.asarray(cameras.focal)[view]
  local = np.concatenate([plane, np.ones_like(plane[:, :1])], axis=-1)
  turns = poses[:, :3, :3]  # transposed, they lead from the camera
  return {
    'origins': -np.einsum('bji,bj->bi', turns, poses[:, :3, 3]),
    'directions': np.einsum('bji,bj->bi', turns, local).astype(np.float32),
  }


def batches(
  views: Views, *, batch_size: int, seed: int
) -> Callable[[int], dict[str, np.ndarray]]:
  """Random rays of views and what they should see, by the step.

  Args:
    views: [V, H, W, 3]; pixels without weight are never drawn.
    batch_size: rays a step.
    seed: of the choice.

  Returns:
    step -> {'origins', 'directions', 'colors' [B, 3], 'weights' [B]}.
  """
  if batch_size < 1:
    raise ValueError(f'batch_size should be at least 1, got {batch_size}')
  colors = np.asarray(views.images).reshape(-1, 3)
  if views.weights is None:
    trust, seen = np.ones(len(colors), np.float32), None
  else:
    trust = np.asarray(views.weights, np.float32).reshape(-1)
    seen = np.flatnonzero(trust > 0)
    if not len(seen):
      raise ValueError(
        'no pixel of the views has a weight above 0, so there is nothing to '
        'learn from: look at their masks'
      )

  def draw(step):
    rng = np.random.default_rng((seed, step))
    index = rng.integers(
      len(colors) if seen is None else len(seen), size=batch_size
    )
    index = index if seen is None else seen[index]
    return {
      **through(views.cameras, index),
      'colors': colors[index],
      'weights': trust[index],
    }

  return draw
