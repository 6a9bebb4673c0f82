"""Plain 3D Gaussians as a `Representation`: nothing stands between them and us.

Density control is `mcmc` (relocation, noise; Kheradmand et al. 2024), `classic`
(clone, split, prune, reset; Kerbl et al. 2023) or `gof` (the same by absolute
gradients, too, and without reset), all at a fixed capacity; the first alone is
penalised. Drawing applies Mip-Splatting's 3D filter of the cameras last seen.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.spatial import cKDTree

from sr3d_jax import density, filters, optim, sh
from sr3d_jax.numerics import inverse_sigmoid
from sr3d_jax.types import Array, Camera, Gaussians, Representation, Scene

TINY = {'capacity': 64, 'sh_degree': 1}

RESET_EVERY = {'classic': 3000, 'gof': 0}  # steps; as released
NUM_NEIGHBOURS = 3  # that set the first size of a Gaussian


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianParams:
  """Gaussians and what follows from the cameras rather than from learning.

  Attributes:
    gaussians: [N] learnt.
    filter: [N] standard deviation of the 3D filter, scene units.
    target: [] wanted number of live Gaussians.
  """

  gaussians: Gaussians
  filter: Array
  target: Array


def in_range(gaussians: Gaussians) -> Gaussians:
  """Squashes the constant part of colours so that it stays in [0, 1].

  SuperGaussian's lifting, as released: tanh of the coefficient, times what is
  white. First colours are not undone, so that they gain contrast.
  """
  constant = jnp.tanh(gaussians.sh[..., :1, :]) * (0.5 / sh.C0)
  coefficients = jnp.concatenate([constant, gaussians.sh[..., 1:, :]], axis=-2)
  return dataclasses.replace(gaussians, sh=coefficients)


def first_scales(points: np.ndarray) -> np.ndarray:
  """[P] root mean square distance to the three nearest neighbours."""
  neighbours = min(NUM_NEIGHBOURS, len(points) - 1)
  if neighbours < 1:
    return np.full(len(points), 0.01, np.float32)
  distances, _ = cKDTree(points).query(points, k=neighbours + 1)
  mean_square = np.mean(distances[:, 1:] ** 2, axis=1)
  return np.sqrt(np.maximum(mean_square, 1e-14)).astype(np.float32)


def _init(
  key: Array,
  scene: Scene,
  *,
  capacity: int,
  sh_degree: int,
  opacity: float,
  scale: float,
) -> GaussianParams:
  points = np.asarray(scene.points, np.float32)
  colors = np.asarray(scene.colors, np.float32)
  if not len(points):
    raise ValueError(
      f'scene {scene.name!r} has no points to start from: give it those of '
      'capture.find_points(scene.train)'
    )
  if len(points) > capacity:
    chosen = jax.random.permutation(key, len(points))[:capacity]
    chosen = np.sort(np.asarray(chosen))
    points, colors = points[chosen], colors[chosen]
  num = len(points)
  log_scales = np.zeros((capacity, 3), np.float32)
  log_scales[:num] = np.log(scale * first_scales(points))[:, None]
  means = np.zeros((capacity, 3), np.float32)
  means[:num] = points
  logits = np.full(capacity, density.DEAD_LOGIT, np.float32)
  logits[:num] = float(inverse_sigmoid(jnp.float32(opacity)))
  padded = np.zeros((capacity, 3), np.float32)
  padded[:num] = colors
  quats = np.tile(np.asarray([1, 0, 0, 0], np.float32), (capacity, 1))
  gaussians = Gaussians(
    means=means,
    log_scales=log_scales,
    quats=quats,
    opacity_logits=logits,
    sh=sh.from_rgb(jnp.asarray(padded), sh_degree),
  )
  return GaussianParams(
    gaussians=jax.tree.map(jnp.asarray, gaussians),
    filter=jnp.zeros(capacity),
    target=jnp.asarray(num, jnp.float32),
  )


def _on_gaussians(
  inner: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
  """Lets `inner` see the learnt field only; the others do not move."""
  inner = optax.with_extra_args_support(inner)

  def update(updates, state, params, **extra):
    moved, state = inner.update(
      updates.gaussians, state, params.gaussians, **extra
    )
    still = jax.tree.map(jnp.zeros_like, updates)
    return dataclasses.replace(still, gaussians=moved), state

  return optax.GradientTransformationExtraArgs(
    lambda params: inner.init(params.gaussians), update
  )


def _optimizer(
  extent: float,
  num_steps: int,
  *,
  sh_degree: int,
  noise: float,
  rates: dict[str, Any],
) -> optax.GradientTransformation:
  rates = optim.gaussian_rates(extent, num_steps, (sh_degree + 1) ** 2, **rates)
  inner = optim.gaussian_adam(rates)
  if noise > 0:
    inner = optax.chain(inner, optim.position_noise(rates.means, scale=noise))
  return _on_gaussians(inner)


def _refine_mcmc(key, params, opt_state, stats, step, extent, *, growth):
  del stats, step, extent
  capacity = params.gaussians.means.shape[0]
  target = jnp.minimum(jnp.ceil(params.target * growth), capacity)
  gaussians, source, fresh = density.relocate(
    key, params.gaussians, target, _drawn(params)
  )
  params = dataclasses.replace(params, gaussians=gaussians, target=target)
  return params, density.gather_moments(opt_state, source, fresh)


def _refine_classic(
  key, params, opt_state, stats, step, extent, *, reset_every, reset_at,
  **options,
):  # fmt: skip
  # A first fit needs its huge Gaussians: they go after the first reset.
  is_settled = (reset_every > 0) & (step > reset_every)
  gaussians, source, fresh = density.densify(
    key,
    params.gaussians,
    stats,
    extent=extent,
    max_fraction=jnp.where(is_settled, density.MAX_FRACTION, jnp.inf),
    **options,
  )
  opt_state = density.gather_moments(opt_state, source, fresh)
  if reset_every or reset_at:
    reset = (step % reset_every == 0) if reset_every else jnp.array(False)
    reset |= jnp.isin(step, jnp.array(reset_at, jnp.int32))
    dimmed = density.reset_opacity(gaussians)
    gaussians = jax.tree.map(
      lambda new, old: jnp.where(reset, new, old), dimmed, gaussians
    )
  return dataclasses.replace(params, gaussians=gaussians), opt_state


def _refresh(params: GaussianParams, cameras: Camera) -> GaussianParams:
  deviation = filters.smoothing_scales(params.gaussians.means, cameras)
  return dataclasses.replace(params, filter=deviation)


def _adopt(
  gaussians: Gaussians,
  cameras: Camera,
  *,
  capacity: int,
  sh_degree: int,
  filter3d: bool,
) -> GaussianParams:
  """Params that draw like Gaussians [N], under the filter of new cameras."""
  num, num_harmonics = gaussians.sh.shape[:2]
  missing = (sh_degree + 1) ** 2 - num_harmonics
  if missing < 0:
    raise ValueError(
      f'the Gaussians have {num_harmonics} harmonics, which sh_degree '
      f'{sh_degree} cannot hold: raise it'
    )
  padded = jnp.pad(gaussians.sh, ((0, 0), (0, missing), (0, 0)))
  gaussians = dataclasses.replace(gaussians, sh=padded)
  deviation = jnp.zeros(num)
  if filter3d:
    deviation = filters.smoothing_scales(gaussians.means, cameras)
  params = GaussianParams(
    gaussians=filters.sharpen(gaussians, deviation),
    filter=deviation,
    target=jnp.sum(density.is_live(gaussians)).astype(jnp.float32),
  )
  return density.grow(params, num, max(capacity, num))


def _drawn(params: GaussianParams) -> Gaussians:
  return filters.smooth(params.gaussians, jax.lax.stop_gradient(params.filter))


def _ranged(params: GaussianParams) -> Gaussians:
  return in_range(_drawn(params))


def make(
  *,
  capacity: int,
  sh_degree: int = 3,
  density_control: str = 'mcmc',
  init_opacity: float = 0.5,
  init_scale: float = 1.0,
  filter3d: bool = True,
  growth: float = 1.05,
  noise: float = optim.NOISE_SCALE,
  gradient_threshold: float = 2e-4,
  reset_every: int | None = None,
  reset_at: tuple[int, ...] = (),
  colors_in_range: bool = False,
  rates: dict[str, Any] | None = None,
) -> Representation:
  """Makes the representation.

  Args:
    capacity: number of slots N.
    sh_degree: of the colours, 0 to 3.
    density_control: 'mcmc', 'classic', 'gof', or 'none'.
    init_opacity: of the first Gaussians.
    init_scale: of the first Gaussians, in nearest-neighbour distances.
    filter3d: whether the 3D smoothing filter follows the training cameras.
    growth: (mcmc) factor on the live count at each refinement.
    noise: (mcmc) scale of the exploration noise; 0 for none.
    gradient_threshold: (classic, gof) mean screen gradient, in normalised
      device coordinates, that calls for more.
    reset_every: (classic, gof) steps between opacity resets; huge Gaussians go
      after the first. 0 for none of either; None: `RESET_EVERY`.
    reset_at: (classic, gof) further steps of an opacity reset, of those at
      which the density may change.
    colors_in_range: see `in_range`.
    rates: learning rates that differ from `optim.gaussian_rates`.
  """
  if reset_every is None:
    reset_every = RESET_EVERY.get(density_control, 0)
  classic = functools.partial(
    _refine_classic,
    reset_every=reset_every,
    reset_at=tuple(reset_at),
    gradient_threshold=gradient_threshold,
  )
  refinements = {
    'mcmc': functools.partial(_refine_mcmc, growth=growth),
    'classic': classic,
    'gof': functools.partial(classic, by_absolute=True),
    'none': lambda key, params, opt_state, *rest: (params, opt_state),
  }
  if density_control not in refinements:
    raise ValueError(
      f'density_control must be one of {sorted(refinements)}, '
      f'got {density_control!r}'
    )
  return Representation(
    init=functools.partial(
      _init,
      capacity=capacity,
      sh_degree=sh_degree,
      opacity=init_opacity,
      scale=init_scale,
    ),
    gaussians=_ranged if colors_in_range else _drawn,
    optimizer=functools.partial(
      _optimizer,
      sh_degree=sh_degree,
      noise=noise if density_control == 'mcmc' else 0.0,
      rates=dict(rates or {}),
    ),
    refine=refinements[density_control],
    refresh=_refresh if filter3d else lambda params, cameras: params,
    is_penalised=density_control == 'mcmc',
    sums_absolute=density_control == 'gof',
    adopt=None
    if colors_in_range
    else functools.partial(
      _adopt, capacity=capacity, sh_degree=sh_degree, filter3d=filter3d
    ),
  )
