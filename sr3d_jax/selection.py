"""Which Gaussians are to have children: a budget spent by a score.

Gumbel noise on log scores / temperature makes the B largest a draw without
replacement, each in proportion to score^(1 / temperature) of what is left (Kool
et al. 2019): 0 takes the best, 1 is proportional.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from sr3d_jax.types import Array, Gaussians

LEAST_VIEWS = 3  # fewer say little of what a Gaussian hides
LEAST_OPACITY = 0.02  # a fourth of it is still drawn
LEAST_RADIUS = 1.0  # px of the fine picture: smaller are fine enough
# Longest deviation over distance: a splat is projected by a tangent, which the
# children of a longer one would leave.
MOST_REACH = 0.1
MAX_IN_VOXEL = 32
VOXEL_SPACINGS = 4.0  # side of a voxel in median distances of neighbours


def excluded(
  gaussians: Gaussians,
  num_views: Array,
  radii: Array,
  reach: Array,
  *,
  least_views: int = LEAST_VIEWS,
  least_opacity: float = LEAST_OPACITY,
  least_radius: float = LEAST_RADIUS,
  most_reach: float = MOST_REACH,
) -> Array:
  """[N] bool: hardly seen, faint, already small or huge, or not finite.

  Args:
    gaussians: [N].
    num_views: [N] views that see each.
    radii: [N, 2] least and greatest radius in those, px of the fine picture.
    reach: [N], see `filters.reach`.
    least_views: that must see it.
    least_opacity: it must have.
    least_radius: of the greatest, px.
    most_reach: it may have.
  """
  leaves = [gaussians.means, gaussians.log_scales, gaussians.quats]
  finite = jnp.isfinite(gaussians.opacity_logits)
  for leaf in leaves:
    finite &= jnp.all(jnp.isfinite(leaf), axis=-1)
  is_fit = finite & (num_views >= least_views)
  is_fit &= gaussians.opacities >= least_opacity
  is_fit &= radii[:, 1] >= least_radius
  return ~(is_fit & (reach <= most_reach))


def voxels(
  means: Array,
  *,
  spacings: float = VOXEL_SPACINGS,
  is_live: Array | None = None,
) -> np.ndarray:
  """Numbers the cubes that centres lie in, on the host.

  Args:
    means: [N, 3].
    spacings: side of a cube, in the median distance to the nearest neighbour.
    is_live: [N] bool, those that the distance is measured between; None: all.

  Returns:
    [N] int, equal for those in one cube.
  """
  means = np.asarray(means, np.float64)
  finite = np.isfinite(means).all(axis=-1)
  places = means[finite if is_live is None else finite & np.asarray(is_live)]
  if len(places) < 2:
    return np.zeros(len(means), int)
  apart = cKDTree(places).query(places, k=2)[0][:, 1]
  apart = apart[apart > 0]
  side = spacings * np.median(apart) if apart.size else 1.0
  cells = np.floor(np.where(finite[:, None], means, 0.0) / side)
  return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)


def select(
  key: Array,
  scores: Array,
  budget: int,
  *,
  temperature: float = 0.0,
  excluded: Array | None = None,
  voxels: Array | None = None,
  max_in_voxel: int = MAX_IN_VOXEL,
) -> Array:
  """Chooses Gaussians by their scores, each at most once.

  l = log(score) / temperature + Gumbel noise, the largest first; a score of 0
  comes after all others, at random among its like unless `temperature` is 0.

  Args:
    key: randomness.
    scores: [N], not negative.
    budget: B, how many.
    temperature: 0 takes the best (of equals, the first).
    excluded: [N] bool, never chosen.
    voxels: [N] int, of which no more than `max_in_voxel` each are chosen.
    max_in_voxel: likewise.

  Returns:
    [B] indices, the first choice first.
  """
  scores = jnp.asarray(scores)
  num = scores.shape[0]
  if excluded is None:
    excluded = jnp.zeros(num, bool)
  _check(scores, budget, temperature, excluded)
  if temperature == 0:
    rank = scores
  else:
    noise = jax.random.gumbel(key, scores.shape, scores.dtype)
    positive = jnp.where(scores > 0, scores, 1.0)
    rank = jnp.log(positive) / temperature + noise
  # Ordered by three keys, the last one first: out, of no worth, by rank.
  order = jnp.lexsort((-rank, ~(scores > 0), excluded))
  if voxels is not None:
    order = _thinned(order, jnp.asarray(voxels), excluded, max_in_voxel)
    allowed = int(order.shape[0])
    if budget > allowed:
      raise ValueError(
        f'budget {budget} is more than the {allowed} that {max_in_voxel} a '
        'voxel leave: ask for fewer, or take larger crowds'
      )
  return order[:budget]


def ranked(
  key: Array,
  scores: Array,
  budget: int,
  excluded: Array,
  means: Array,
  *,
  temperature: float = 0.0,
  max_in_voxel: int | None = None,
) -> np.ndarray:
  """Orders those that may have children, also beyond the budget.

  They inherit what others leave free; not where crowds are thinned, which a
  budget is held against.

  Args:
    key: randomness.
    scores: [N], see `select`.
    budget: B, the least that are wanted.
    excluded: [N] bool, never chosen.
    means: [N, 3] centres, of which `voxels` are made.
    temperature: see `select`.
    max_in_voxel: likewise; None: any.

  Returns:
    [B'] indices, B' >= B, the first choice first.
  """
  crowds, most = {}, max(budget, int(jnp.sum(~excluded)))
  if max_in_voxel is not None:
    crowds = {'voxels': voxels(means), 'max_in_voxel': max_in_voxel}
    most = budget
  chosen = select(
    key, scores, most, temperature=temperature, excluded=excluded, **crowds
  )
  return np.asarray(chosen)


def _thinned(order: Array, voxels: Array, excluded: Array, most: int) -> Array:
  """The order without the excluded and those after the `most` of a voxel."""
  voxel = np.asarray(voxels)[np.asarray(order)]
  together = np.argsort(voxel, kind='stable')
  kept = voxel[together]
  starts = np.flatnonzero(np.r_[True, kept[1:] != kept[:-1]])
  sizes = np.diff(np.r_[starts, len(kept)])
  place = np.empty(len(kept), int)
  place[together] = np.arange(len(kept)) - np.repeat(starts, sizes)
  is_out = np.asarray(excluded)[np.asarray(order)]
  return order[np.flatnonzero((place < most) & ~is_out)]


def _check(
  scores: Array, budget: int, temperature: float, excluded: Array
) -> None:
  num = scores.shape[0]
  if scores.ndim != 1 or excluded.shape != scores.shape:
    raise ValueError(
      f'scores and excluded are [N], got {scores.shape} and {excluded.shape}'
    )
  if temperature < 0:
    raise ValueError(f'temperature must be at least 0, got {temperature}')
  num_wrong = int(jnp.sum(~excluded & ~(scores >= 0)))
  if num_wrong:
    raise ValueError(
      f'{num_wrong} of {num} scores are negative or not a number: exclude '
      'what they belong to, see `excluded`'
    )
  allowed = int(jnp.sum(~excluded))
  if budget < 1:
    raise ValueError(f'budget must be at least 1, got {budget}')
  if not allowed:
    raise ValueError(
      f'all of {num} Gaussians are excluded: none is seen by {LEAST_VIEWS} '
      'views, opaque and large enough'
    )
  if budget > allowed:
    raise ValueError(
      f'budget {budget} is more than the {allowed} of {num} Gaussians that '
      'are not excluded: ask for fewer'
    )
