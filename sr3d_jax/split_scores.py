"""How much each Gaussian calls for children, by every rule that we compare.

All are at least 0, larger where more is wanted, and 0 where nothing is known;
`selection.select` draws by their logarithms. G and S are the blocks of
`hessian.Curvature`, positions measured in the Gaussian's own deviations
(whitened by W = R diag(s)), so that no unit of the scene enters. G says how
strongly pixels answer to a change, S whether two children would lower the loss
(Wang et al. 2025, "SteepGS"): they are not the same wish.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from sr3d_kernels.rasterize import rasterize

from sr3d_jax import children, density, hessian, render
from sr3d_jax.numerics import safe_divide, safe_sqrt
from sr3d_jax.types import Array, Camera, Gaussians

POSITION, SHAPE = slice(0, 3), slice(0, 6)  # of a block: means, log_scales
SPLIT_SHIFT = 0.5  # deviations, rho: what `children.TEMPLATES` moves by
LOGDET_RIDGE = 1e-6  # of the mean eigenvalue
NEWTON_RIDGE = 1e-4  # likewise: a quaternion's length answers to nothing
NEWTON_VETO = 10.0  # times the gain of a split: rather move than split
STEEPEST = 1e-6  # least curvature that SteepGS splits for
# Our choice: what matters of SplatSuRe's sigmoid is that it rises.
FOOTPRINT_MIDDLE, FOOTPRINT_WIDTH = 2.0, 0.5
FOOTPRINT_VIEWS = 3
# Mallick et al. 2024, "Taming 3DGS": weights of what is divided by its median.
TAMING = {
  'opacity': 100.0, 'loss': 50.0, 'edge': 50.0, 'distance': 50.0,
  'blend': 50.0, 'gradient': 25.0, 'scale': 25.0,
}  # fmt: skip


class Evidence(NamedTuple):
  """What scores are made of; what is None was not given."""

  curvature: hessian.Curvature
  gaussians: Gaussians
  key: Array | None
  stats: density.ScreenStats | None
  sigma: Array | None
  edges: Array | None
  losses: Array | None
  distances: Array | None


def whitened(
  curvature: hessian.Curvature, gaussians: Gaussians, name: str
) -> Array:
  """A block [N, 11, 11] with its positions in deviations, W^T B W.

  Args:
    curvature: of the Gaussians.
    gaussians: [N].
    name: 'gauss_newton' or 'residual'.
  """
  block = getattr(curvature, name)
  frame = _frame(gaussians, block)
  return _einsum('nia,nij,njb->nab', frame, block, frame)


def fisher_logdet(
  curvature: hessian.Curvature, gaussians: Gaussians, *, is_raw: bool = False
) -> Array:
  """log det (G + 1e-6 tr G / 6 I) of positions and log_scales: [N].

  Minus infinity where G is 0. Raw, in scene units, it is the sensitivity by
  which PUP-3DGS prunes what is low (Hanson et al. 2025).
  """
  block = curvature.gauss_newton
  if not is_raw:
    block = whitened(curvature, gaussians, 'gauss_newton')
  block = block[:, SHAPE, SHAPE]
  mean = jnp.trace(block, axis1=-2, axis2=-1) / 6
  values = jnp.linalg.eigvalsh(safe_divide(block, mean[:, None, None]))
  # Rounding may leave an eigenvalue below 0.
  logs = jnp.log(jnp.maximum(values, 0.0) + LOGDET_RIDGE)
  seen = mean > 0
  logs = jnp.sum(logs, axis=-1) + 6 * jnp.log(jnp.where(seen, mean, 1.0))
  return jnp.where(seen, logs, -jnp.inf)


def split_gain(
  curvature: hessian.Curvature,
  gaussians: Gaussians,
  *,
  shift: float = SPLIT_SHIFT,
) -> Array:
  """What two children at +-rho deviations gain: rho²/2 max(0, -λ_min(S)): [N].

  Exact to second order for L = 1/2 sum r² (Wang et al. 2025, theorem 1).
  """
  values, _ = _bends(curvature, gaussians)
  return 0.5 * shift**2 * jnp.maximum(-values[:, 0], 0.0)


def split_directions(
  curvature: hessian.Curvature, gaussians: Gaussians
) -> Array:
  """Where the loss falls fastest by a split: [N, 3], unit, in `frames`."""
  return _bends(curvature, gaussians)[1][:, :, 0]


def newton_gain(curvature: hessian.Curvature, gaussians: Gaussians) -> Array:
  """What moving alone would gain, 1/2 g^T (G + lambda I)^-1 g: [N].

  lambda is `NEWTON_RIDGE` of the mean eigenvalue; positions in deviations.
  """
  block = whitened(curvature, gaussians, 'gauss_newton')
  frame = _frame(gaussians, block)
  gradient = _einsum('nia,ni->na', frame, curvature.gradient)
  size = block.shape[-1]
  ridge = NEWTON_RIDGE * jnp.trace(block, axis1=-2, axis2=-1) / size
  ridge = jnp.where(ridge > 0, ridge, 1.0)[:, None, None]
  moved = jnp.linalg.solve(
    block + ridge * jnp.eye(size, dtype=block.dtype), gradient[..., None]
  )
  return 0.5 * jnp.maximum(jnp.sum(gradient * moved[..., 0], axis=-1), 0.0)


def moves_first(
  curvature: hessian.Curvature,
  gaussians: Gaussians,
  *,
  ratio: float = NEWTON_VETO,
) -> Array:
  """[N] bool: moving gains more than `ratio` times what a split does."""
  gain = split_gain(curvature, gaussians)
  return newton_gain(curvature, gaussians) > ratio * gain


def score(
  name: str,
  curvature: hessian.Curvature,
  gaussians: Gaussians,
  *,
  key: Array | None = None,
  stats: density.ScreenStats | None = None,
  sigma: Array | None = None,
  edges: Array | None = None,
  losses: Array | None = None,
  distances: Array | None = None,
) -> Array:
  """Scores Gaussians by the rule of that name.

  Args:
    name: one of `SCORES`; those of `LABELLED` are 0 everywhere if the
      curvature was taken without images; those of `SUMMED` want it with
      `sum_channels`.
    curvature: of the Gaussians, at the cameras of the fine pictures.
    gaussians: [N].
    key: for 'random'.
    stats: for 'gradient', 'absgrad' and 'taming'.
    sigma: [N] deviation of the unknown residual, for 'exp_split'; None: 1.
    edges: [N] for 'edges', and 'taming' if given: `blended` of `laplacian`.
    losses: [N] for 'taming' if given: `blended` of the error.
    distances: [N] for 'taming' if given: from the cameras.

  Returns:
    [N] at least 0.
  """
  if name not in SCORES:
    raise ValueError(f'score must be one of {sorted(SCORES)}, got {name!r}')
  needs = NEEDS.get(name)
  given = {'key': key, 'stats': stats, 'edges': edges}
  if needs is not None and given[needs] is None:
    raise ValueError(f'{name} needs {needs}, got None')
  evidence = Evidence(
    curvature, gaussians, key, stats, sigma, edges, losses, distances
  )
  return SCORES[name](evidence)


def blended(
  gaussians: Gaussians,
  cameras: Camera,
  pictures: Array,
  *,
  backend: str | None = None,
  **projection,
) -> Array:
  """Sums pictures over each Gaussian's pixels, with weights alpha T: [N].

  Args:
    gaussians: [N], as they are drawn.
    cameras: [V].
    pictures: [V, H, W]; ones give `Curvature.blend`.
    backend: of `rasterize`.
    **projection: of `render.project`.
  """
  wanted = (len(cameras.world_to_cam), cameras.height, cameras.width)
  if pictures.shape != wanted:
    raise ValueError(f'pictures must be {wanted}, got {pictures.shape}')
  capacity = render.plan_capacity(
    gaussians, cameras, backend=backend, **projection
  )
  options = tuple(sorted(projection.items()))
  total = jnp.zeros(gaussians.means.shape[0], gaussians.means.dtype)
  for i, picture in enumerate(pictures):
    camera = render.view_of(cameras, i)
    total += _blend(gaussians, camera, picture, capacity, backend, options)
  return total


def pixel_rms(
  gaussians: Gaussians, cameras: Camera, pictures: Array, **drawing
) -> Array:
  """Root mean square of pictures over each Gaussian's pixels: [N].

  Arguments are those of `blended`; 0 for Gaussians that no view shows.
  """
  square = blended(gaussians, cameras, pictures**2, **drawing)
  weight = blended(gaussians, cameras, jnp.ones_like(pictures), **drawing)
  return safe_sqrt(safe_divide(square, weight))


def laplacian(images: Array) -> Array:
  """|sum of the four neighbours - 4 times the pixel|, mean of colours.

  Args:
    images: [..., H, W, C]; beyond the border the last pixel goes on.

  Returns:
    [..., H, W].
  """
  images = jnp.mean(images, axis=-1)
  widths = [(0, 0)] * (images.ndim - 2) + [(1, 1), (1, 1)]
  x = jnp.pad(images, widths, mode='edge')
  around = x[..., :-2, 1:-1] + x[..., 2:, 1:-1]
  around += x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
  return jnp.abs(around - 4 * images)


def _geometric_mean(evidence: Evidence, is_raw: bool = False) -> Array:
  """det^(1/6): ordered as the log determinant, and positive."""
  logdet = fisher_logdet(*evidence[:2], is_raw=is_raw)
  return jnp.exp(logdet / 6)


def _trace(evidence: Evidence) -> Array:
  block = whitened(*evidence[:2], 'gauss_newton')
  trace = jnp.trace(block[:, POSITION, POSITION], axis1=-2, axis2=-1)
  return jnp.maximum(trace, 0)  # of what is hardly seen, rounding


def _plain_trace(evidence: Evidence) -> Array:
  """Jiang et al. 2024, "FisherRF": the diagonal, all in units of the scene."""
  block = evidence.curvature.gauss_newton
  return jnp.maximum(jnp.trace(block, axis1=-2, axis2=-1), 0)


def _expected(evidence: Evidence) -> Array:
  """sigma sqrt(K): the deviation of S where the residual is white noise."""
  sigma = 1.0 if evidence.sigma is None else evidence.sigma
  return sigma * safe_sqrt(evidence.curvature.expected)


def _steepest(evidence: Evidence) -> Array:
  """Wang et al. 2025: positions in scene units, and a threshold."""
  block = evidence.curvature.residual[:, POSITION, POSITION]
  least = jnp.linalg.eigvalsh(block)[:, 0]
  return jnp.where(least < -STEEPEST, -least, 0.0)


def _mean_gradient(evidence: Evidence) -> Array:
  return safe_divide(evidence.stats.gradient, evidence.stats.count)


def _mean_absolute(evidence: Evidence) -> Array:
  return safe_divide(evidence.stats.absolute, evidence.stats.count)


def _footprint(evidence: Evidence, sign: float = 1.0) -> Array:
  """Asthana et al. 2026, "SplatSuRe": sigmoid of greatest over least radius."""
  curvature = evidence.curvature
  least, greatest = curvature.radii[:, 0], curvature.radii[:, 1]
  ratio = safe_divide(greatest, least)
  value = jax.nn.sigmoid(sign * (ratio - FOOTPRINT_MIDDLE) / FOOTPRINT_WIDTH)
  return jnp.where(curvature.num_views >= FOOTPRINT_VIEWS, value, 0.0)


def _taming(evidence: Evidence) -> Array:
  """Weighted sum of what is given, each over the median of its positives."""
  terms = {
    'opacity': evidence.gaussians.opacities,
    'blend': evidence.curvature.blend,
    'gradient': _mean_gradient(evidence),
    'scale': jnp.prod(evidence.gaussians.scales, axis=-1),
    'loss': evidence.losses,
    'edge': evidence.edges,
    'distance': evidence.distances,
  }
  total = jnp.zeros_like(evidence.gaussians.opacities)
  for name, term in terms.items():
    if term is not None:
      positive = jnp.where(term > 0, term, jnp.nan)
      part = jnp.nan_to_num(positive / jnp.nanmedian(positive))
      total += TAMING[name] * part
  return total


def _random(evidence: Evidence) -> Array:
  num = evidence.gaussians.means.shape[0]
  return jax.random.uniform(evidence.key, (num,))


SCORES: dict[str, Callable[[Evidence], Array]] = {
  'fisher_logdet': _geometric_mean,
  'fisher_logdet_raw': functools.partial(_geometric_mean, is_raw=True),
  'fisher_trace': _trace,
  'fisherrf': _plain_trace,
  'split_gain': lambda evidence: split_gain(*evidence[:2]),
  'exp_split': _expected,
  'newton': lambda evidence: newton_gain(*evidence[:2]),
  'removal': lambda evidence: evidence.curvature.removal,
  'steepgs': _steepest,
  'gradient': _mean_gradient,
  'absgrad': _mean_absolute,
  'opacity': lambda evidence: evidence.gaussians.opacities,
  'taming': _taming,
  'edges': lambda evidence: evidence.edges,
  'footprint': _footprint,
  'undersampled': functools.partial(_footprint, sign=-1.0),
  'random': _random,
}
LABELLED = frozenset({'split_gain', 'newton', 'steepgs'})
# As released, G is of the sum over the channels.
SUMMED = frozenset({'fisherrf'})
NEEDS = {
  'gradient': 'stats', 'absgrad': 'stats', 'taming': 'stats',
  'edges': 'edges', 'random': 'key',
}  # fmt: skip

_einsum = functools.partial(jnp.einsum, precision='highest')


def _frame(gaussians: Gaussians, block: Array) -> Array:
  """[N, 11, 11]: W for the positions, and the identity."""
  rotation, scales = children.frames(gaussians)
  eye = jnp.eye(block.shape[-1], dtype=block.dtype)
  frame = jnp.broadcast_to(eye, block.shape)
  axes = rotation * scales[:, None, :]
  return frame.at[:, POSITION, POSITION].set(axes.astype(block.dtype))


def _bends(curvature, gaussians) -> tuple[Array, Array]:
  """Eigenvalues [N, 3], rising, and vectors of S in whitened positions."""
  block = whitened(curvature, gaussians, 'residual')
  return jnp.linalg.eigh(block[:, POSITION, POSITION])


@functools.partial(jax.jit, static_argnames=('capacity', 'backend', 'options'))
def _blend(gaussians, camera, picture, capacity, backend, options):
  """The image is linear in the features; its transpose sums over pixels."""
  splats = render.project(gaussians, camera, backend=backend, **dict(options))

  def total(features):
    raster = rasterize(
      splats.means2d,
      splats.conics,
      splats.opacities,
      features,
      splats.depths,
      width=camera.width,
      height=camera.height,
      background=jnp.zeros(1, features.dtype),
      capacity=capacity,
      backend=backend,
    )
    return jnp.sum(raster.image * picture[..., None])

  features = jnp.zeros((*splats.opacities.shape, 1), splats.opacities.dtype)
  return jax.grad(total)(features)[:, 0]
