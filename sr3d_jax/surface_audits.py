"""How well a scene of Gaussians fits a surface that is known exactly.

Both are seen by the same cameras, at the pixels' centres: what no camera sees
is left out of both, and no fusion of depths stands between a scene and its
score. Depths of Gaussians are the expected ones.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import coverage, density, surface_scores
from sr3d_jax.render import render_each
from sr3d_jax.types import Camera, Gaussians


def measure(
  gaussians: Gaussians,
  cameras: Camera,
  target: np.ndarray,
  drawing: Mapping[str, Any],
) -> dict[str, float]:
  """Compares depths, points, normals and centres with a surface's.

  Args:
    gaussians: [N].
    cameras: [V] pinholes.
    target: [V, H, W] z of the surface; infinite or 0 where there is none.
    drawing: of `render_each`.

  Returns:
    `abs_rel`, `rmse`, `delta` and `coverage` of `surface_scores.depth_scores`;
    `accuracy`, `completeness`, `chamfer` and `f@..` of `point_scores`, between
    the lifted depths; `angle`, radians, and `cosine` of the normals of depths;
    `center_mean` and `center_95`, across the surface; and `flat`, see
    `flat_share`.
  """
  target = np.where(np.isfinite(target), target, 0.0)
  outputs = list(render_each(gaussians, cameras, **drawing))
  alpha = np.stack([np.asarray(output.alpha) for output in outputs])
  depth = np.stack([np.asarray(output.depth) for output in outputs])
  is_there = alpha > surface_scores.LEAST_ALPHA
  depth = np.where(is_there, depth / np.where(is_there, alpha, 1), 0.0)
  live = jax.tree.map(
    lambda x: np.asarray(x)[np.asarray(density.is_live(gaussians))], gaussians
  )
  normals, wanted = _normals(depth, cameras), _normals(target, cameras)
  has_normal = np.any(wanted, axis=-1)
  step = max(1, -(-int(has_normal.sum()) // coverage.MAX_POINTS))
  points = coverage.surface_points(np.where(has_normal, target, 0), cameras)
  found = surface_scores.depth_scores(depth, target, alpha)
  found |= surface_scores.point_scores(
    coverage.surface_points(depth, cameras),
    coverage.surface_points(target, cameras),
  )
  angles = surface_scores.normal_scores(normals, wanted)
  return {
    **found,
    'angle': angles['angle'],
    'cosine': angles['cosine'],
    **surface_scores.center_scores(
      live, points, normals=wanted[has_normal][::step]
    ),
    'flat': surface_scores.flat_share(live),
  }


def _normals(depths: np.ndarray, cameras: Camera) -> np.ndarray:
  """[V, H, W, 3] of depths [V, H, W]."""
  return np.stack(
    [
      np.asarray(_one(jnp.asarray(depth), jax.tree.map(itemgetter(i), cameras)))
      for i, depth in enumerate(depths)
    ]
  )


_one = jax.jit(surface_scores.depth_normals)
