"""How much of a scene some views see, and how closely.

The surface is what reference views show of it; a point of that counts as seen
where a view has a surface at the depth that the point has.
"""

from typing import Any

import jax
import numpy as np

from sr3d_jax import geometry, view_consistency
from sr3d_jax.render import render_each
from sr3d_jax.types import Camera, Gaussians, only_pinholes

OFTEN = 3  # views that should see a point, to place it and to even out errors
MAX_POINTS = 50_000


def report(
  gaussians: Gaussians,
  cameras: Camera,
  references: Camera,
  drawing: dict[str, Any],
) -> dict[str, float]:
  """Measures how views cover what reference views show.

  Args:
    gaussians: the scene.
    cameras: [V] pinholes.
    references: [R] likewise; where there are none, `cameras` are.
    drawing: options of `render_each`.

  Returns:
    'coverage', the share of the surface that is seen `OFTEN` times or more, and
    'footprint', the median side of the smallest pixel that sees a point, scene
    units; both NaN where nothing is seen at all.
  """
  if not len(references.focal):
    references = cameras
  points = surface_points(surfaces(gaussians, references, drawing), references)
  seen, sizes = counts(points, cameras, surfaces(gaussians, cameras, drawing))
  if not seen.any():
    return {'coverage': float('nan'), 'footprint': float('nan')}
  return {
    'coverage': float(np.mean(seen >= OFTEN)),
    'footprint': float(np.median(sizes[seen > 0])),
  }


def surfaces(
  gaussians: Gaussians, cameras: Camera, drawing: dict[str, Any]
) -> np.ndarray:
  """Depths [V, H, W] of the scene; 0 where it is faint."""
  return np.stack(
    [
      np.asarray(view_consistency.surface(output.depth, output.alpha))
      for output in render_each(gaussians, cameras, **drawing)
    ]
  )


def surface_points(depths: np.ndarray, cameras: Camera) -> np.ndarray:
  """Lifts depths [V, H, W] to points [P, 3], at most `MAX_POINTS` of them."""
  only_pinholes(cameras, 'coverage')
  views, rows, columns = np.nonzero(depths > 0)
  step = max(1, -(-len(views) // MAX_POINTS))
  views, rows, columns = views[::step], rows[::step], columns[::step]
  z = depths[views, rows, columns]
  pixels = np.stack([columns, rows], axis=-1) + 0.5
  slopes = (pixels - np.asarray(cameras.center)[views]) / np.asarray(
    cameras.focal
  )[views]
  local = np.concatenate([slopes * z[:, None], z[:, None]], axis=-1)
  poses = np.asarray(geometry.invert_pose(cameras.world_to_cam))[views]
  return np.einsum('pij,pj->pi', poses[:, :3, :3], local) + poses[:, :3, 3]


def counts(
  points: np.ndarray,
  cameras: Camera,
  depths: np.ndarray,
  *,
  tolerance: float = view_consistency.TOLERANCE,
) -> tuple[np.ndarray, np.ndarray]:
  """Counts the views that see each point.

  Args:
    points: [P, 3].
    cameras: [V] pinholes.
    depths: [V, H, W] of their surfaces, 0 where there is none.
    tolerance: relative difference of depth that is the same surface.

  Returns:
    [P] views, and [P] the side of the smallest pixel among them, scene units;
    infinite where there is none.
  """
  seen = np.zeros(len(points), int)
  sizes = np.full(len(points), np.inf)
  size = np.array([cameras.width, cameras.height])
  cameras = jax.tree.map(np.asarray, only_pinholes(cameras, 'coverage'))
  for depth, pose, focal, center in zip(
    depths, cameras.world_to_cam, cameras.focal, cameras.center, strict=True
  ):
    local = points @ pose[:3, :3].T + pose[:3, 3]
    z = local[:, 2]
    pixels = local[:, :2] / np.where(z > 0, z, 1.0)[:, None] * focal + center
    inside = (z > 0) & np.all((pixels >= 0) & (pixels < size), axis=-1)
    columns, rows = np.where(inside[:, None], pixels, 0).astype(int).T
    met = depth[rows, columns]
    is_met = inside & (met > 0) & (np.abs(met - z) <= tolerance * z)
    seen += is_met
    sizes = np.where(is_met, np.minimum(sizes, z / focal.max()), sizes)
  return seen, sizes
