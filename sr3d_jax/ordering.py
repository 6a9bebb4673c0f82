"""Photos put into sequences that a video network can follow.

A video network wants neighbours that show nearly the same. Where the given
photos are in no such order, Sequence Matters (Ko et al. 2024) orders them: all
in one greedy chain, or in many short chains that never leap.

Distances are [V, V], symmetric, smaller being closer.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MIN_LENGTH = 3  # frames; a shorter chain has no middle
NUM_KEYPOINTS = 500  # a photo
NUM_BITS = 256  # of ORB's descriptors


class Chain(NamedTuple):
  """Photos to be shown as a clip.

  Attributes:
    frames: [T] indices of photos, in the order of the clip.
    kept: [T] whether the clip's result is taken for the photo; each photo is
      kept in exactly one chain.
  """

  frames: np.ndarray
  kept: np.ndarray


def by_pose(positions: np.ndarray, center: np.ndarray) -> np.ndarray:
  """Angles between camera centres, as seen from the middle of the scene.

  Args:
    positions: [V, 3] camera centres, scene units.
    center: [3].

  Returns:
    [V, V] radians.
  """
  rays = np.asarray(positions, np.float64) - np.asarray(center)
  lengths = np.linalg.norm(rays, axis=-1, keepdims=True)
  if not np.all(lengths > 0):
    raise ValueError(
      f'camera {int(np.argmin(lengths))} lies in the middle of the scene, from '
      'where it has no direction: order by features'
    )
  rays = rays / lengths
  return np.arccos(np.clip(rays @ rays.T, -1, 1))


def by_features(images: np.ndarray) -> np.ndarray:
  """Mean Hamming distances of ORB features that match both ways.

  Args:
    images: [V, H, W, 3] in [0, 1], RGB.

  Returns:
    [V, V] share of a descriptor's bits that differ; 1 where nothing matches.
  """
  try:
    from skimage import color, feature
  except ImportError as error:
    raise ImportError(
      "features of photos need scikit-image: pip install 'sr3d_jax[eval]'"
    ) from error
  found = []
  for picture in np.asarray(images):
    detector = feature.ORB(n_keypoints=NUM_KEYPOINTS)
    try:
      detector.detect_and_extract(color.rgb2gray(picture))
      found.append(detector.descriptors)
    except RuntimeError:  # of a photo without a single corner
      found.append(np.zeros((0, NUM_BITS), bool))
  distances = np.ones((len(found), len(found)))
  for i, ours in enumerate(found):
    distances[i, i] = 0.0
    for j, theirs in enumerate(found[:i]):
      if len(ours) and len(theirs):
        distances[i, j] = distances[j, i] = _mean_match(
          ours, theirs, feature.match_descriptors
        )
  return distances


def _mean_match(ours, theirs, match) -> float:
  """Share of bits that differ, over pairs that are each other's nearest."""
  pairs = match(ours, theirs, metric='hamming', cross_check=True)
  return float(np.mean(ours[pairs[:, 0]] != theirs[pairs[:, 1]]))


def greedy(distances: np.ndarray, start: int = 0) -> np.ndarray:
  """Goes from each photo to the nearest that is left: [V] indices."""
  distances = _checked(distances)
  return _follow(distances, start, np.isfinite(distances))


def chunks(order: np.ndarray, length: int, overlap: int = 0) -> list[Chain]:
  """Cuts one order into clips, whose overlap gives each frame company.

  An order that is no longer than a clip stays whole.

  Args:
    order: [V] indices.
    length: frames of a clip, at most.
    overlap: frames on either side that are shown and not kept.
  """
  check_chunks(length, overlap)
  step = length - 2 * overlap
  if len(order) <= length:
    return [Chain(order, np.ones(len(order), bool))]
  cut = []
  for first in range(0, len(order), step):
    begin = max(0, first - overlap)
    end = min(len(order), first + step + overlap)
    place = np.arange(begin, end)
    kept = (place >= first) & (place < first + step)
    cut.append(Chain(order[begin:end], kept))
  return cut


def check_chunks(length: int, overlap: int) -> None:
  """Raises where clips of this length could not be cut, see `chunks`."""
  if overlap < 0:
    raise ValueError(f'overlap must be at least 0, got {overlap}')
  if length <= 2 * overlap:
    raise ValueError(
      f'clips of {length} frames that lend {overlap} to either side keep none: '
      f'wanted a length above {2 * overlap}'
    )


def check_thresholds(thresholds: Sequence[float]) -> None:
  """Raises unless they grow, see `adaptive`."""
  if list(thresholds) != sorted(thresholds):
    raise ValueError(f'thresholds must grow, got {tuple(thresholds)}')


def adaptive(
  nearest: np.ndarray,
  leap: np.ndarray,
  thresholds: Sequence[float],
  *,
  max_length: int | None = None,
) -> list[Chain]:
  """Cuts chains where the next photo would be a leap (ALS).

  From every photo a greedy chain is started, for each threshold from the
  strictest to none; a photo is kept where it first lies inside a chain, not at
  its ends. At last the ends count, too.

  Args:
    nearest: [V, V] distances by which the next photo is chosen.
    leap: [V, V] distances that may not exceed the threshold.
    thresholds: growing; infinity is added.
    max_length: frames of a chain; None: any number.

  Returns:
    The chains that keep a photo.
  """
  nearest, leap = _checked(nearest), _checked(leap)
  if nearest.shape != leap.shape:
    raise ValueError(
      f'both distances are between the same photos, got {nearest.shape} and '
      f'{leap.shape}'
    )
  check_thresholds(thresholds)
  is_left = np.ones(len(nearest), bool)
  chains = []
  for threshold in (*thresholds, math.inf):
    is_last = threshold == math.inf
    for start in range(len(nearest)):
      frames = _follow(nearest, start, leap <= threshold, max_length)
      if len(frames) < MIN_LENGTH and not is_last:
        continue
      inside = np.ones(len(frames), bool)
      if not is_last:
        inside[[0, -1]] = False
      kept = inside & is_left[frames]
      if kept.any():
        chains.append(Chain(frames, kept))
        is_left[frames[kept]] = False
  return chains


def _follow(
  distances: np.ndarray,
  start: int,
  may_step: np.ndarray,
  max_length: int | None = None,
) -> np.ndarray:
  """The greedy chain from a photo, until it may not step."""
  frames = [start]
  away = distances.copy()
  away[:, start] = np.inf
  while len(frames) < min(max_length or len(distances), len(distances)):
    here, there = frames[-1], int(np.argmin(away[frames[-1]]))
    if not may_step[here, there]:
      break
    frames.append(there)
    away[:, there] = np.inf
  return np.asarray(frames)


def _checked(distances: np.ndarray) -> np.ndarray:
  distances = np.asarray(distances, np.float64)
  if distances.ndim != 2 or distances.shape[0] != distances.shape[1]:
    raise ValueError(f'distances are [V, V], got {distances.shape}')
  if not len(distances) or not np.isfinite(distances).all():
    raise ValueError(
      f'distances between {len(distances)} photos must be finite, and there '
      'must be a photo'
    )
  return distances
