"""How well a scene's geometry fits a known surface.

Distances are in scene units, angles in radians. What a scene leaves out must
not improve its scores: depths come with the share of pixels that they cover,
and points are compared both ways.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from sr3d_jax import geometry
from sr3d_jax.numerics import normalize
from sr3d_jax.types import Array, Camera, Gaussians, only_pinholes

LEAST_ALPHA = 0.5  # a pixel with less shows no surface
LEAST_OPACITY = 0.1  # of a Gaussian whose centre should lie on the surface
DEPTH_RATIO = 1.25
FLAT_RATIO = 0.3  # least over middle deviation of a flat Gaussian
F_SHARES = (0.005, 0.01)  # of the surface's diagonal


def depth_scores(
  depth: Array,
  target: Array,
  alpha: Array,
  *,
  is_valid: Array | None = None,
  least_alpha: float = LEAST_ALPHA,
) -> dict[str, float]:
  """Compares depths [..., H, W] with a surface's, where both have one.

  Args:
    depth: of the scene, such as `RenderOutput.depth / alpha`.
    target: of the surface; 0 or not finite where there is none.
    alpha: of the scene, accumulated.
    is_valid: pixels that count besides; None: all.
    least_alpha: above which a pixel shows the scene's surface.

  Returns:
    `abs_rel` mean |d - t| / t, `rmse`, `delta` share with max(d / t, t / d) <
    1.25, `coverage` share of the surface's pixels that are compared; NaN, but
    for the coverage, where there are none.
  """
  depth, target, alpha = (
    np.asarray(x, np.float64) for x in (depth, target, alpha)
  )
  if not depth.shape == target.shape == alpha.shape:
    raise ValueError(
      'depth, target and alpha must be of one shape, got '
      f'{depth.shape}, {target.shape} and {alpha.shape}'
    )
  wanted = np.isfinite(target) & (target > 0)
  if is_valid is not None:
    wanted &= np.asarray(is_valid, bool)
  if not wanted.any():
    raise ValueError('no pixel of target is valid: depths must be above 0')
  met = wanted & (alpha > least_alpha) & np.isfinite(depth) & (depth > 0)
  found = {'coverage': float(met.sum() / wanted.sum())}
  if not met.any():
    return {**dict.fromkeys(('abs_rel', 'rmse', 'delta'), np.nan), **found}
  d, t = depth[met], target[met]
  return {
    'abs_rel': float(np.mean(np.abs(d - t) / t)),
    'rmse': float(np.sqrt(np.mean((d - t) ** 2))),
    'delta': float(np.mean(np.maximum(d / t, t / d) < DEPTH_RATIO)),
    **found,
  }


def point_scores(
  points: np.ndarray,
  targets: np.ndarray,
  *,
  shares: Sequence[float] = F_SHARES,
) -> dict[str, float]:
  """Compares samples of two surfaces by the distances to the nearest.

  Args:
    points: [P, 3] of the scene's surface.
    targets: [Q, 3] of the known one.
    shares: thresholds of the F-score, of the diagonal of the targets' box.

  Returns:
    `accuracy`, mean distance from points to targets; `completeness`, from
    targets to points; `chamfer`, their mean; and for each share, in percent,
    `f@..`, the harmonic mean of the shares of points and targets that are
    nearer than the threshold.
  """
  points, targets = _points(points), _points(targets)
  there = cKDTree(targets).query(points, workers=-1)[0]
  back = cKDTree(points).query(targets, workers=-1)[0]
  diagonal = np.linalg.norm(np.ptp(targets, axis=0))
  accuracy, completeness = float(there.mean()), float(back.mean())
  found = {
    'accuracy': accuracy,
    'completeness': completeness,
    'chamfer': (accuracy + completeness) / 2,
  }
  for share in shares:
    precision, recall = (np.mean(d < share * diagonal) for d in (there, back))
    total = precision + recall
    score = 2 * precision * recall / total if total else 0.0
    found[f'f@{100 * share:g}'] = float(score)
  return found


def sample_mesh(
  vertices: np.ndarray, faces: np.ndarray, num: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """Draws points evenly from triangles.

  Args:
    vertices: [N, 3].
    faces: [F, 3] int.
    num: P.
    seed: of the draw.

  Returns:
    [P, 3] points and [P, 3] normals, by the right hand around each face.
  """
  corners = np.asarray(vertices, np.float64)[np.asarray(faces)]
  a, b, c = np.moveaxis(corners, 1, 0)
  normals = np.cross(b - a, c - a)
  areas = np.linalg.norm(normals, axis=-1)
  if not areas.sum() > 0:
    raise ValueError(f'none of the {len(faces)} triangles has an area')
  rng = np.random.default_rng(seed)
  face = rng.choice(len(faces), num, p=areas / areas.sum())
  u, v = rng.random((2, num, 1))
  outside = u + v > 1
  u, v = np.where(outside, 1 - u, u), np.where(outside, 1 - v, v)
  points = a[face] + u * (b - a)[face] + v * (c - a)[face]
  return points, normals[face] / areas[face, None]


def center_scores(
  gaussians: Gaussians,
  targets: np.ndarray,
  *,
  normals: np.ndarray | None = None,
  least_opacity: float = LEAST_OPACITY,
) -> dict[str, float]:
  """How far centres lie from a surface, weighted by opacity.

  Args:
    gaussians: [N].
    targets: [Q, 3] dense samples of the surface.
    normals: [Q, 3] there: distances are taken across the surface, as far as
      the nearest sample's plane, and do not depend on how dense those are.
    least_opacity: of the Gaussians that are asked.

  Returns:
    `center_mean` and `center_95`, the weighted mean and 95th percentile.
  """
  targets = _points(targets)
  opacities = np.asarray(gaussians.opacities, np.float64)
  asked = opacities > least_opacity
  if not asked.any():
    raise ValueError(
      f'none of {len(opacities)} opacities is above {least_opacity}'
    )
  means = np.asarray(gaussians.means, np.float64)[asked]
  distance, index = cKDTree(targets).query(means, workers=-1)
  if normals is not None:
    across = np.sum((means - targets[index]) * np.asarray(normals)[index], -1)
    spacing = _spacing(targets)
    # Beyond a border of the surface its plane goes on, and would flatter.
    is_beside = distance**2 - across**2 < (3 * spacing) ** 2
    distance = np.where(is_beside, np.abs(across), distance)
  weights = opacities[asked]
  order = np.argsort(distance)
  share = np.cumsum(weights[order]) / weights.sum()
  last = order[min(np.searchsorted(share, 0.95), len(order) - 1)]
  return {
    'center_mean': float(np.average(distance, weights=weights)),
    'center_95': float(distance[last]),
  }


def depth_normals(depth: Array, camera: Camera) -> Array:
  """Normals of a depth image, by central differences of the lifted points.

  Args:
    depth: [H, W] z, scene units; 0 where there is none.
    camera: one pinhole.

  Returns:
    [H, W, 3] unit, in world space, towards the camera; 0 at the border and
    beside pixels without depth.
  """
  camera = only_pinholes(camera, 'depth_normals')
  columns = jnp.arange(camera.width) + 0.5
  rows = jnp.arange(camera.height) + 0.5
  x = (columns - camera.center[0]) / camera.focal[0]
  y = (rows - camera.center[1]) / camera.focal[1]
  slopes = jnp.stack(
    [*jnp.meshgrid(x, y), jnp.ones((camera.height, camera.width))], axis=-1
  )
  points = slopes * depth[..., None]
  right = points[1:-1, 2:] - points[1:-1, :-2]
  down = points[2:, 1:-1] - points[:-2, 1:-1]
  # x right and y down: down × right looks back along z.
  normals = normalize(jnp.cross(down, right))
  there = depth > 0
  whole = there[1:-1, 1:-1] & there[1:-1, 2:] & there[1:-1, :-2]
  whole &= there[2:, 1:-1] & there[:-2, 1:-1]
  normals = jnp.where(whole[..., None], normals, 0.0)
  normals = jnp.einsum(
    'hwi,ij->hwj', normals, camera.world_to_cam[:3, :3], precision='highest'
  )
  return jnp.pad(normals, [(1, 1), (1, 1), (0, 0)])


def shortest_axes(gaussians: Gaussians) -> Array:
  """[N, 3] unit directions in which Gaussians are thinnest, of either sign."""
  rotation = geometry.quat_to_rotation(gaussians.quats)
  least = jnp.argmin(gaussians.log_scales, axis=-1)
  return jnp.take_along_axis(rotation, least[:, None, None], axis=-1)[..., 0]


def normal_scores(
  normals: Array, targets: Array, *, weights: Array | None = None
) -> dict[str, float]:
  """Compares normals [..., 3], where both have one.

  Args:
    normals: unit, or 0 where there is none.
    targets: likewise.
    weights: [...] that each counts by; None: all alike.

  Returns:
    `angle`, the mean angle in [0, pi]; `cosine`, the mean |cos|, which does not
    ask for the sign; `coverage`, the share of the targets that is compared.
    NaN, but for the coverage, where nothing is.
  """
  normals, targets = (np.asarray(x, np.float64) for x in (normals, targets))
  if normals.shape != targets.shape or normals.shape[-1] != 3:
    raise ValueError(
      'normals and targets must both be [..., 3], got '
      f'{normals.shape} and {targets.shape}'
    )
  lengths = np.linalg.norm(normals, axis=-1) * np.linalg.norm(targets, axis=-1)
  wanted = np.linalg.norm(targets, axis=-1) > 0
  weights = np.ones(wanted.shape) if weights is None else np.asarray(weights)
  weights = np.where(lengths > 0, weights, 0.0)
  coverage = float(np.sum(lengths > 0) / max(np.sum(wanted), 1))
  if not weights.sum() > 0:
    return {'angle': np.nan, 'cosine': np.nan, 'coverage': coverage}
  inner = np.sum(normals * targets, axis=-1)
  cosine = np.clip(inner / np.where(lengths > 0, lengths, 1.0), -1, 1)
  return {
    'angle': float(np.average(np.arccos(cosine), weights=weights)),
    'cosine': float(np.average(np.abs(cosine), weights=weights)),
    'coverage': coverage,
  }


def flat_share(gaussians: Gaussians, *, ratio: float = FLAT_RATIO) -> float:
  """Share of Gaussians whose least deviation is below `ratio` of the middle."""
  least, middle, _ = np.sort(np.asarray(gaussians.scales), axis=-1).T
  return float(np.mean(least < ratio * middle))


def _spacing(points: np.ndarray) -> float:
  """Median distance of neighbours among at most 10,000 of the points."""
  if len(points) < 2:
    return 0.0
  asked = points[:: max(1, len(points) // 10_000)]
  return float(np.median(cKDTree(points).query(asked, k=2)[0][:, 1]))


def _points(points: np.ndarray) -> np.ndarray:
  points = np.asarray(points, np.float64)
  if points.ndim != 2 or points.shape[1] != 3 or not len(points):
    raise ValueError(f'a surface wants points [P, 3], got {points.shape}')
  if not np.isfinite(points).all():
    raise ValueError(
      f'{np.sum(~np.isfinite(points).all(-1))} of {len(points)} points are '
      'not finite'
    )
  return points
