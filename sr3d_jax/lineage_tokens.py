"""The states of Gaussians as numbers that a network reads.

All is told in the frame of the newest state: its centre, its axes from the
longest to the shortest, its deviations. So a scene that is moved, turned or
scaled with its cameras gives the same numbers. Shapes are logarithms of
covariances, since quaternions and the order of axes are not unique. A symmetric
matrix is six numbers, its upper triangle row by row. Offsets may be thousands
of a thin axis's deviations, so their asinh is taken.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from sr3d_jax import geometry, sh
from sr3d_jax.numerics import safe_divide
from sr3d_jax.types import Array, Gaussians

NUM_HESSIAN = 14
LABELLED = slice(7, 12)  # of these: what only photos tell, S and gradients
TOKEN_PARTS = {
  'offset': 3, 'log_cov': 6, 'size': 1, 'anisotropy': 2, 'opacity': 1,
  'dc': 3, 'degree1': 9, 'bands': 6, 'code': 2, 'hessian': NUM_HESSIAN,
}  # fmt: skip
NEIGHBOR_PARTS = {
  'offset': 3, 'log_cov': 6, 'dc': 3, 'degree1': 3, 'opacity': 1, 'size': 1,
  'anisotropy': 2, 'ratio': 1,
}  # fmt: skip
TARGET_PARTS = {'offset': 3, 'log_cov': 6, 'opacity': 1, 'dc': 3, 'degree1': 9}
MAX_LOG = 16.0  # of a covariance beside another; beyond it both are needles
MAX_LOGIT = 10.0
FAINTEST = 1e-4  # opacity of a target that died out
_UPPER = np.triu_indices(3)
_SWEEPS = 5  # of rotations, by when rows are orthogonal to rounding
_MORTON_BITS = 10  # per axis
_MORTON_SPREAD = 3.0  # deviations of the centres on each side of their mean


@jax.jit
def canonical(gaussians: Gaussians, flips: Array | None = None) -> Gaussians:
  """The same Gaussians [...], their axes from the longest to the shortest.

  Args:
    gaussians: any leading axes.
    flips: [..., 3] of -1 and 1, of product 1: axes to turn about, which changes
      no Gaussian either.

  Returns:
    [...] with unit quaternions.
  """
  rotation, log_scales = _axes(gaussians)
  if flips is not None:
    rotation = rotation * flips[..., None, :]
  return dataclasses.replace(
    gaussians,
    log_scales=log_scales,
    quats=geometry.rotation_to_quat(rotation),
  )


@jax.jit
def tokens(
  states: Gaussians,
  mask: Array,
  *,
  pixel_size: Array,
  codes: Array,
  hessian: Array | None = None,
) -> Array:
  """Makes the tokens of lineages, `TOKEN_PARTS` in their order.

  With W = R diag(s) of the newest state: asinh(W^-1 (mu - mu_0)); the logarithm
  of W^-1 Sigma W^-T; the log of the mean deviation in pixels; the logs of the
  longest deviation over the middle one and of that over the shortest; the
  opacity's logit; harmonics of degree 0 and, in the frame, of degree 1; norms
  of each colour's harmonics of degrees 2 and 3; the codes; the Hessian.

  Args:
    states: [N, T] the newest first.
    mask: [N, T] bool; what is not there gives zeros, and may be anything.
    pixel_size: [N] scene units that a pixel of the wanted resolution covers at
      the newest state.
    codes: [N, T, 2] see `level_codes`.
    hessian: [N, T, 14], scaled by the caller; None: not known.

  Returns:
    [N, T, 47].
  """
  near = _beside(jax.tree.map(lambda x: x[:, 0], states), states)
  if hessian is None:
    hessian = jnp.zeros((*mask.shape, NUM_HESSIAN))
  parts = [
    near.offset,
    near.log_cov,
    near.size - jnp.log(pixel_size)[:, None, None],
    near.anisotropy,
    near.opacity,
    near.dc,
    near.degree1.reshape(*mask.shape, 9),
    _band_norms(states.sh),
    codes,
    hessian,
  ]
  found = jnp.concatenate(parts, axis=-1)
  return jnp.where(mask[..., None], found, 0.0)


def level_codes(scales: Array, phases: Array, wanted: Array) -> Array:
  """[..., 2] octaves from a state's resolution to the wanted, and its phase."""
  octaves = jnp.log2(wanted / scales)
  return jnp.stack([octaves, jnp.broadcast_to(phases, octaves.shape)], axis=-1)


@jax.jit
def neighbor_features(
  newest: Gaussians,
  neighbors: Gaussians,
  mask: Array,
  *,
  pixel_size: Array,
  ratio: Array | None = None,
) -> Array:
  """Tells what stands around Gaussians, `NEIGHBOR_PARTS` in their order.

  Offset, shape, size and anisotropy are those of tokens; colours and opacity
  are differences, that of degree 1 the mean over the colours.

  Args:
    newest: [N].
    neighbors: [N, k].
    mask: [N, k] bool; others give zeros.
    pixel_size: [N] see `tokens`.
    ratio: [N, k] of the neighbours' log score over that of `newest`, scaled by
      the caller; None: not known.

  Returns:
    [N, k, 20].
  """
  own = jax.tree.map(lambda x: x[:, None], newest)
  near, here = _beside(newest, neighbors), _beside(newest, own)
  ratio = jnp.zeros(mask.shape) if ratio is None else ratio
  parts = [
    near.offset,
    near.log_cov,
    near.dc - here.dc,
    jnp.mean(near.degree1 - here.degree1, axis=-1),
    near.opacity - here.opacity,
    near.size - jnp.log(pixel_size)[:, None, None],
    near.anisotropy,
    ratio[..., None],
  ]
  found = jnp.concatenate(parts, axis=-1)
  return jnp.where(mask[..., None], found, 0.0)


@jax.jit
def target_features(
  means: Array, covariances: Array, opacities: Array, colors: Array, mask: Array
) -> Array:
  """Tells what became of parents, `TARGET_PARTS` in their order.

  Args:
    means: [B, m, 3] in the parent's frame.
    covariances: [B, m, 3, 3] likewise.
    opacities: [B, m] in [0, 1).
    colors: [B, m, 4, 3] harmonics in the frame less the parent's.
    mask: [B, m] bool; others give zeros.

  Returns:
    [B, m, 22].
  """
  values, vectors = jnp.linalg.eigh(covariances)
  floor = np.exp(-MAX_LOG)
  logs = jnp.clip(jnp.log(jnp.maximum(values, floor)), -MAX_LOG, MAX_LOG)
  log_cov = jnp.einsum('...ik,...k,...jk->...ij', vectors, logs, vectors)
  parts = [
    jnp.arcsinh(means),
    _upper(log_cov),
    _logit(jnp.maximum(opacities, FAINTEST))[..., None],
    colors.reshape(*mask.shape, 12),
  ]
  found = jnp.concatenate(parts, axis=-1)
  return jnp.where(mask[..., None], found, 0.0)


def to_frame(coefficients: Array, quats: Array) -> Array:
  """Harmonics 0 to 3 of [..., K, 3], seen along the axes of `quats` [..., 4].

  Returns:
    [..., 4, 3]; zeros where K is less.
  """
  missing = 4 - min(coefficients.shape[-2], 4)
  widths = [(0, 0)] * (coefficients.ndim - 2) + [(0, missing), (0, 0)]
  low = jnp.pad(coefficients[..., :4, :], widths)
  back = jnp.swapaxes(geometry.quat_to_rotation(quats), -1, -2)
  linear = sh.rotate_linear(low[..., 1:, :], back)
  return jnp.concatenate([low[..., :1, :], linear], axis=-2)


def nearest(means: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
  """The exact neighbours of each centre, the nearest first; on the host.

  Args:
    means: [N, 3].
    num: k.

  Returns:
    [N, k] int32 rows and [N, k] bool: where there are fewer, the rest is 0 and
    not there.
  """
  means = np.asarray(means)
  found = min(num, len(means) - 1)
  rows = np.zeros((len(means), num), np.int32)
  mask = np.zeros((len(means), num), bool)
  if found < 1:
    return rows, mask
  _, near = cKDTree(means).query(means, k=found + 1)
  # Of centres in one place, any may come first: itself where it is among them,
  # else whichever came last, is left out.
  own = near == np.arange(len(means))[:, None]
  own[~own.any(axis=1), -1] = True
  rows[:, :found] = near[~own].reshape(-1, found)
  mask[:, :found] = True
  return rows, mask


@functools.partial(jax.jit, static_argnames=('num', 'window'))
def nearby(
  means: Array, live: Array, num: int, *, window: int = 16
) -> tuple[Array, Array]:
  """Neighbours of each centre among those beside it in Morton order.

  Without a tree, for an accelerator: the nearest of `window` centres on either
  side along a curve that fills space. Some of the true ones are missed.

  Args:
    means: [N, 3].
    live: [N] bool; others are nobody's neighbours.
    num: k, at most twice the window.
    window: centres on each side.

  Returns:
    [N, k] int32 rows and [N, k] bool, as of `nearest`.
  """
  if not 1 <= num <= 2 * window:
    raise ValueError(f'num must be 1 to {2 * window}, twice the window: {num}')
  total = means.shape[0]
  order = jnp.argsort(morton_codes(means, live))
  steps = np.concatenate([np.arange(-window, 0), np.arange(1, window + 1)])
  place = jnp.arange(total)[:, None] + steps
  there = order[jnp.clip(place, 0, total - 1)]
  away = jnp.sum((means[there] - means[order][:, None]) ** 2, axis=-1)
  is_there = (place >= 0) & (place < total) & live[there]
  away, chosen = jax.lax.top_k(-jnp.where(is_there, away, jnp.inf), num)
  rows = jnp.take_along_axis(there, chosen, axis=-1)
  mask = jnp.isfinite(away)
  rows = jnp.where(mask, rows, 0).astype(jnp.int32)
  empty = jnp.zeros((total, num))
  return (
    empty.astype(jnp.int32).at[order].set(rows),
    empty.astype(bool).at[order].set(mask),
  )


def morton_codes(means: Array, live: Array) -> Array:
  """[N] uint32 whose order keeps close what is close; the dead come last.

  The bits of three coordinates in turn, of 10 each, over three deviations of
  the living about their mean: a few that are far away do not coarsen the rest.
  """
  count = jnp.maximum(jnp.sum(live), 1)
  weight = (live / count)[:, None]
  center = jnp.sum(weight * means, axis=0)
  spread = jnp.sqrt(jnp.sum(weight * (means - center) ** 2))
  place = safe_divide(means - center, 2 * _MORTON_SPREAD * spread) + 0.5
  cells = 2**_MORTON_BITS
  place = jnp.clip(place * cells, 0, cells - 1).astype(jnp.uint32)
  code = jnp.zeros(means.shape[:1], jnp.uint32)
  for bit in range(_MORTON_BITS):
    for axis in range(3):
      code |= ((place[:, axis] >> bit) & 1) << (3 * bit + axis)
  return jnp.where(live, code, jnp.uint32(2**32 - 1))


@dataclasses.dataclass(frozen=True)
class _Told:
  """Gaussians [N, T] beside one [N], in its frame; each [N, T, ...]."""

  offset: Array
  log_cov: Array
  size: Array
  anisotropy: Array
  opacity: Array
  dc: Array
  degree1: Array


def _beside(newest: Gaussians, others: Gaussians) -> _Told:
  newest = canonical(newest)
  back = jnp.swapaxes(geometry.quat_to_rotation(newest.quats), -1, -2)
  back = back / newest.scales[..., None]
  turns = geometry.quat_to_rotation(others.quats) * others.scales[..., None, :]
  relative = jnp.einsum('nij,ntjk->ntik', back, turns, precision='highest')
  away = others.means - newest.means[:, None]
  away = jnp.einsum('nij,ntj->nti', back, away, precision='highest')
  ordered = -jnp.sort(-others.log_scales, axis=-1)
  colors = to_frame(others.sh, newest.quats[:, None])
  return _Told(
    offset=jnp.arcsinh(away),
    log_cov=_upper(log_gram(relative)),
    size=jnp.mean(ordered, axis=-1, keepdims=True),
    anisotropy=ordered[..., :2] - ordered[..., 1:],
    opacity=_logit(others.opacities)[..., None],
    dc=colors[..., 0, :],
    degree1=colors[..., 1:, :],
  )


def log_gram(a: Array) -> Array:
  """log(A A^T) of [..., 3, 3], by turning rows until they are orthogonal.

  One-sided Jacobi rotations (Hestenes 1958): A A^T itself is never formed, so
  that a thin axis keeps its digits. Logarithms lie within 16 of 0.
  """
  identity = jnp.broadcast_to(jnp.eye(3, dtype=a.dtype), a.shape)

  def sweep(_, state: tuple[Array, Array]) -> tuple[Array, Array]:
    for p, q in ((0, 1), (0, 2), (1, 2)):
      state = _orthogonal(state, p, q)
    return state

  rows, axes = jax.lax.fori_loop(0, _SWEEPS, sweep, (a, identity))
  values = jnp.sum(rows**2, axis=-1)
  logs = jnp.log(jnp.clip(values, np.exp(-MAX_LOG), np.exp(MAX_LOG)))
  return jnp.einsum(
    '...ki,...k,...kj->...ij', axes, logs, axes, precision='highest'
  )


def _orthogonal(
  state: tuple[Array, Array], p: int, q: int
) -> tuple[Array, Array]:
  """Turns rows p and q of matrices [..., 3, 3], and of their axes alike."""
  rows, _ = state
  overlap = jnp.sum(rows[..., p, :] * rows[..., q, :], axis=-1)
  excess = jnp.sum(rows[..., q, :] ** 2 - rows[..., p, :] ** 2, axis=-1) / 2
  # tan of the angle: the smaller root of t^2 + 2 t excess / overlap = 1.
  norm = jnp.abs(excess) + jnp.sqrt(excess**2 + overlap**2)
  sign = jnp.where(excess < 0, -1.0, 1.0)
  tangent = (sign * safe_divide(overlap, norm))[..., None]
  cos = 1 / jnp.sqrt(1 + tangent**2)

  def turn(x: Array) -> Array:
    first, second = x[..., p, :], x[..., q, :]
    x = x.at[..., p, :].set(cos * (first - tangent * second))
    return x.at[..., q, :].set(cos * (second + tangent * first))

  return turn(state[0]), turn(state[1])


def _axes(gaussians: Gaussians) -> tuple[Array, Array]:
  """Proper rotations [..., 3, 3] and log deviations, the longest axis first."""
  order = jnp.argsort(-gaussians.log_scales, axis=-1)
  rotation = geometry.quat_to_rotation(gaussians.quats)
  rotation = jnp.take_along_axis(rotation, order[..., None, :], axis=-1)
  # An odd order would mirror; the last axis may point either way.
  first, second = rotation[..., 0], rotation[..., 1]
  rotation = jnp.stack([first, second, jnp.cross(first, second)], axis=-1)
  return rotation, jnp.take_along_axis(gaussians.log_scales, order, axis=-1)


def _band_norms(coefficients: Array) -> Array:
  """[..., 6] norms of the bands of degrees 2 and 3, of each colour."""
  norms = []
  for first, last in ((4, 9), (9, 16)):
    band = coefficients[..., first:last, :]
    norms.append(jnp.sqrt(jnp.sum(band**2, axis=-2)))
  return jnp.concatenate(norms, axis=-1)


def _logit(opacities: Array) -> Array:
  logit = jnp.log(opacities) - jnp.log1p(-opacities)
  return jnp.clip(logit, -MAX_LOGIT, MAX_LOGIT)


def _upper(matrices: Array) -> Array:
  return matrices[..., _UPPER[0], _UPPER[1]]
