"""MEt3R: whether two pictures show one scene, without knowing it.

Asim et al. 2025, "MEt3R: Measuring Multi-View Consistency in Generated Images".
A matcher says where in space the pixels of both lie; features of both are drawn
there as the first camera sees them, and compared. The published matcher is
MASt3R or DUSt3R, the published features DINO's, upsampled by FeatUp; both are
arguments here, and scores of others are other scores.

Float64 on the host: points are sorted, and no gradient is wanted.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sr3d_jax.types import Camera, only_pinholes

# px: 0.01 of half the 256 px that pictures are published at
RADIUS = 1.28
MOST = 10  # points that a pixel shows
_EPS = 1e-12


class Match(NamedTuple):
  """Where the pixels of two pictures lie, in the first camera's axes.

  Attributes:
    points: [H, W, 3] of the first picture: x right, y down, z ahead; NaN where
      there is nothing.
    others: [H', W', 3] of the second picture, in the same axes.
    focal: [2] px, of the first camera, a pinhole.
    center: [2] px.
  """

  points: np.ndarray
  others: np.ndarray
  focal: np.ndarray
  center: np.ndarray


Matcher = Callable[[np.ndarray, np.ndarray], Match]
Features = Callable[[np.ndarray], np.ndarray]  # [H, W, 3] -> [H, W, C]


class Score(NamedTuple):
  """What `met3r` found.

  Attributes:
    distance: 1 - (S12 + S21) / 2, in [0, 2]; NaN where a direction has no
      pixel that both pictures reach.
    similarities: S12 and S21.
    overlaps: the share of the pixels that each is the mean of.
  """

  distance: float
  similarities: tuple[float, float]
  overlaps: tuple[float, float]


def met3r(
  images: tuple[np.ndarray, np.ndarray],
  matcher: Matcher,
  features: Features,
  *,
  radius: float = RADIUS,
) -> Score:
  """Compares two pictures both ways.

  The published program returns 1 - S12 alone.

  Args:
    images: two of [H, W, 3] in [0, 1].
    matcher: (first, second picture) -> `Match`; asked for both orders.
    features: of a picture, one vector for each of its pixels.
    radius: of `similarity`.
  """
  first, second = images
  seen = features(first), features(second)
  ways = (
    similarity(matcher(first, second), *seen, radius=radius),
    similarity(matcher(second, first), *seen[::-1], radius=radius),
  )
  similarities, overlaps = zip(*ways)
  return Score(1 - sum(similarities) / 2, similarities, overlaps)


def similarity(
  match: Match,
  features: np.ndarray,
  others: np.ndarray,
  *,
  radius: float = RADIUS,
) -> tuple[float, float]:
  """Mean cosine of both pictures' features, as the first camera sees them.

  Args:
    match: of the two pictures.
    features: [H, W, C] of the first picture.
    others: [H', W', C] of the second.
    radius: px, of the discs that points are drawn as: their opacity falls from
      1 in the middle, as 1 - d² / radius². A pixel shows its nearest ten.

  Returns:
    The mean, in [-1, 1], over pixels that both reach; NaN where there is none.
    The share of such pixels.
  """
  _check(match, features, others)
  shape = match.points.shape[:2]
  drawn, covered = [], []
  for points, values in ((match.points, features), (match.others, others)):
    weights = _splat(points.reshape(-1, 3), match, shape, radius)
    values = np.asarray(values, np.float64).reshape(-1, values.shape[-1])
    drawn.append(weights @ values)
    covered.append(weights.sum(axis=1) > 0)
  both = np.logical_and(*covered)
  one, two = (x[both] for x in drawn)
  lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
  cosines = np.sum(one * two, axis=1) / np.maximum(lengths, _EPS)
  return float(cosines.mean()) if both.any() else np.nan, float(both.mean())


def from_depths(
  surfaces: tuple[np.ndarray, np.ndarray], cameras: tuple[Camera, Camera]
) -> Match:
  """The match of two views of a scene whose depth is known.

  Args:
    surfaces: two of [H, W], depth z; 0 where there is none.
    cameras: of the first and of the second view.
  """
  for camera in cameras:
    only_pinholes(camera, 'a match of depths')
  poses = [np.asarray(c.world_to_cam, np.float64) for c in cameras]
  points, others = (_lift(*pair) for pair in zip(surfaces, cameras))
  move = poses[0] @ np.linalg.inv(poses[1])
  return Match(
    points=points,
    others=others @ move[:3, :3].T + move[:3, 3],
    focal=np.asarray(cameras[0].focal, np.float64),
    center=np.asarray(cameras[0].center, np.float64),
  )


def _lift(surface: np.ndarray, camera: Camera) -> np.ndarray:
  """[H, W, 3] in the camera's axes; NaN where there is no surface."""
  height, width = surface.shape
  columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
  depth = np.where(surface > 0, surface, np.nan)[..., None]
  pixels = np.stack([columns, rows], axis=-1)
  slopes = (pixels - np.asarray(camera.center)) / np.asarray(camera.focal)
  return np.concatenate([slopes * depth, depth], axis=-1)


def _splat(
  points: np.ndarray, match: Match, shape: tuple[int, int], radius: float
) -> sparse.csr_array:
  """How much of each point [P] each pixel [H W] shows: [H W, P]."""
  (height, width), num = shape, len(points)
  ahead = np.flatnonzero(np.nan_to_num(points[:, 2]) > 0)
  depth = points[ahead, 2]
  places = points[ahead, :2] / depth[:, None] * match.focal + match.center
  pixels, sources, alphas = [], [], []
  reach = int(np.ceil(radius))
  for down in range(-reach, reach + 1):
    for right in range(-reach, reach + 1):
      corner = np.floor(places) + np.array([right, down])
      away = np.sum((corner + 0.5 - places) ** 2, axis=1)
      is_met = (away < radius**2) & np.all(
        (corner >= 0) & (corner < (width, height)), axis=1
      )
      column, row = corner[is_met].astype(int).T
      pixels.append(row * width + column)
      sources.append(np.flatnonzero(is_met))
      alphas.append(1 - away[is_met] / radius**2)
  pixels, sources, alphas = map(np.concatenate, (pixels, sources, alphas))
  order = np.lexsort((depth[sources], pixels))
  pixels, sources, alphas = pixels[order], sources[order], alphas[order]
  rank = np.arange(len(pixels)) - np.searchsorted(pixels, pixels)
  near = rank < MOST
  pixels, sources, rank = pixels[near], sources[near], rank[near]
  alpha = np.zeros((height * width, MOST))
  alpha[pixels, rank] = alphas[near]
  through = np.cumprod(1 - alpha, axis=1)
  shown = alpha * np.pad(through[:, :-1], ((0, 0), (1, 0)), constant_values=1)
  cells = (pixels, ahead[sources])
  return sparse.csr_array(
    (shown[pixels, rank], cells), shape=(height * width, num)
  )


def _check(match: Match, features: np.ndarray, others: np.ndarray) -> None:
  for points, values in ((match.points, features), (match.others, others)):
    if points.shape != (*values.shape[:2], 3) or values.ndim != 3:
      raise ValueError(
        'a match wants a point for each pixel of the features [H, W, C], got '
        f'points {points.shape} and features {values.shape}: upsample the '
        'features, or the points'
      )
  if features.shape[-1] != others.shape[-1]:
    raise ValueError(
      f'features of both pictures must be as many, got {features.shape[-1]} '
      f'and {others.shape[-1]}'
    )
