"""One step of a fit, compiled: the gradient over views, split over devices.

Every device sums over its own share of the step's views; the sums meet in one
`psum`, so that all devices take the same step. Where several devices hold one
scene together, each keeps its share of the Gaussians and of all that belongs to
them, moments and statistics, from step to step. `fit` decides what runs when.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec

from sr3d_jax import density, hosts, image, losses, optim, render, sh, shards
from sr3d_jax.numerics import all_finite
from sr3d_jax.types import (
  Array,
  Gaussians,
  Params,
  Representation,
  TrainState,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOptions:
  """What one compiled chunk depends on; hashable.

  Attributes:
    num_steps: of the whole fit; sets the schedules.
    dssim_weight: of D-SSIM beside L1 (Kerbl et al. 2023: 0.2).
    anchor_weight: of the same loss between the shrunk render and the low
      resolution photo (3DSR, eq. of section 3.3; lambda).
    opacity_weight: of the mean opacity, where the representation is penalised.
    scale_weight: of the mean scale over the scene extent, likewise.
    sh_every: steps between additions of one harmonic degree; 0: all at once.
    position_factor: on the rate at which positions learn, beside what the
      representation says: a later fit may start where the first one ended.
    absgrad: refine by the sum of absolute gradients per pixel.
    blur, compensation, near: of `render.project`.
    background: colour behind everything.
    backend: of the rasteriser; None chooses.
  """

  num_steps: int
  dssim_weight: float = 0.2
  anchor_weight: float = 0.0
  opacity_weight: float = 0.01
  scale_weight: float = 0.01
  sh_every: int = 1000
  position_factor: float = 1.0
  absgrad: bool = False
  blur: float = 0.1
  compensation: str = 'clamped'
  near: float = 0.01
  background: tuple[float, float, float] = (0.0, 0.0, 0.0)
  backend: str | None = None


class Program(NamedTuple):
  """What is compiled for one kind of fit.

  Attributes:
    init: (params, step, opt_state) -> the state to start with at that step;
      without `opt_state` no gradient has been seen.
    chunk: (key, state, views, anchor, indices [S, B], *, capacity) -> the state
      after S steps, `ScreenStats`, and the trace of each step: loss, squared
      error, slots, and whether fields stayed finite.
    refine: (key, state, stats) -> state.
    count: (params) -> [] number of live Gaussians.
  """

  init: Callable
  chunk: Callable
  refine: Callable
  count: Callable


def _with_degree(gaussians: Gaussians, degree: Array) -> Gaussians:
  mask = sh.degree_mask(gaussians.sh.shape[-2], degree)
  return dataclasses.replace(gaussians, sh=gaussians.sh * mask[:, None])


def _penalty(gaussians: Gaussians, extent: float, options: FitOptions) -> Array:
  """Keeps Gaussians few and small (Kheradmand et al. 2024, section 4.3)."""
  live = jax.lax.stop_gradient(density.is_live(gaussians)).astype(jnp.float32)
  count = jnp.maximum(jnp.sum(live), 1.0)
  opacity = jnp.sum(live * gaussians.opacities) / count
  scale = jnp.sum(live[:, None] * gaussians.scales) / (3 * count * extent)
  return options.opacity_weight * opacity + options.scale_weight * scale


def _view_loss(
  params, probes, index, views, anchor, degree, *, draw, rep, options, capacity
):
  """The loss of one view, and what it says of the screen."""
  gaussians = _with_degree(rep.gaussians(params), degree)
  offset, abs_probe = probes
  output = draw(
    gaussians,
    render.view_of(views.cameras, index),
    background=options.background,
    screen_offset=offset,
    abs_probe=abs_probe,
    capacity=capacity,
    backend=options.backend,
    blur=options.blur,
    compensation=options.compensation,
    near=options.near,
  )
  target = views.images[index]
  weights = None if views.weights is None else views.weights[index]
  loss = losses.photometric(
    output.image, target, weights=weights, dssim_weight=options.dssim_weight
  )
  if options.anchor_weight:
    photo = anchor.images[index]
    trust = None if anchor.weights is None else anchor.weights[index]
    shrunk = image.resize(output.image, *photo.shape[:2])
    loss += options.anchor_weight * losses.photometric(
      shrunk, photo, weights=trust, dssim_weight=options.dssim_weight
    )
  error = losses.l2(output.image, target, weights)
  return loss, (output.radii > 0, output.num_slots, error)


def _batch_gradient(
  params, indices, views, anchor, degree, *, batch_size, rep, options, **drawing
):
  """Sums loss, gradient and statistics over this device's share of views."""
  num = rep.gaussians(params).means.shape[0]
  loss_of = functools.partial(_view_loss, rep=rep, options=options, **drawing)
  value_and_grad = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)
  half = 0.5 * jnp.asarray([views.cameras.width, views.cameras.height])
  # Sums over pixels cost more: they are made for those who ask.
  is_absolute = options.absgrad or rep.sums_absolute
  probes = jnp.zeros((num, 2)), jnp.zeros((num, 2)) if is_absolute else None

  def one(total, index):
    (loss, (drawn, slots, error)), (gradient, screen) = value_and_grad(
      params, probes, index, views, anchor, degree
    )
    # The loss is a mean over the batch, so undo that for the statistics.
    moved, absolute = (jnp.zeros(2) if x is None else half * x for x in screen)
    chosen = absolute if options.absgrad else moved
    stats = density.ScreenStats(
      gradient=jnp.linalg.norm(chosen, axis=-1) * drawn,
      absolute=jnp.sum(absolute, axis=-1) * drawn,
      count=drawn.astype(jnp.float32),
    )
    loss, error, gradient = jax.tree.map(
      lambda x: x / batch_size, (loss, error, gradient)
    )
    sums, most = total
    sums = jax.tree.map(jnp.add, sums, (loss, error, gradient, stats))
    return (sums, jnp.maximum(most, slots)), None

  zeros = jax.tree.map(jnp.zeros_like, params)
  empty = (jnp.zeros(()), jnp.zeros(()), zeros, density.empty_stats(num))
  (sums, most), _ = jax.lax.scan(
    one, (empty, jnp.zeros((), jnp.int32)), indices
  )
  return jax.lax.psum(sums, 'views'), jax.lax.pmax(most, 'views')


@functools.lru_cache(maxsize=16)
def compiled(
  rep: Representation,
  options: FitOptions,
  extent: float,
  mesh: Mesh,
  batch_size: int,
  num_slots: int,
  is_final: bool,
) -> Program:
  """The jitted parts of one kind of fit.

  Args:
    rep: what is fitted.
    options: of the fit.
    extent: of the scene, scene units.
    mesh: ('views', 'gaussians') the devices that share a step; the second may
      be missing where each holds a scene.
    batch_size: views per step; a multiple of the mesh's views.
    num_slots: Gaussians, dead ones included.
    is_final: whether a chunk is never run again, and may write the state it
      makes over the one it takes.
  """
  optimizer = optax.with_extra_args_support(
    rep.optimizer(options.position_factor * extent, options.num_steps)
  )
  replicated, split = PartitionSpec(), PartitionSpec('views')
  num_shards = hosts.num_shards(mesh)

  lie = dict(mesh=mesh, num_slots=num_slots)
  keep = functools.partial(hosts.keep, **lie)

  def specs(tree: Any) -> Any:
    return jax.tree.map(lambda x: x.spec, hosts.shardings(tree, **lie))

  def penalty(params: Params) -> Array | float:
    if not rep.is_penalised:
      return 0.0
    return _penalty(rep.gaussians(params), extent, options)

  def step(capacity, key, views, anchor, carry, indices):
    state, stats = carry
    degree = 99
    if options.sh_every:
      degree = state.step // options.sh_every
    share = functools.partial(
      _batch_gradient,
      draw=shards.render if num_shards > 1 else render.render,
      rep=rep,
      options=options,
      capacity=capacity,
      batch_size=batch_size,
    )
    own = specs(state.params)
    sums, slots = jax.shard_map(
      share,
      mesh=mesh,
      in_specs=(own, split, replicated, replicated, replicated),
      out_specs=((replicated, replicated, own, specs(stats)), replicated),
      check_vma=False,
    )(state.params, indices, views, anchor, jnp.asarray(degree))
    loss, error, gradient, seen = sums
    extra, pull = jax.value_and_grad(penalty)(state.params)
    gradient = jax.tree.map(jnp.add, gradient, pull)
    updates, opt_state = optimizer.update(
      gradient,
      state.opt_state,
      state.params,
      key=jax.random.fold_in(key, state.step),
    )
    state = dataclasses.replace(
      state,
      step=state.step + 1,
      params=optax.apply_updates(state.params, updates),
      opt_state=opt_state,
    )
    stats = jax.tree.map(jnp.add, stats, seen)
    trace = {'loss': loss + extra, 'error': error, 'slots': slots}
    trace['finite'] = all_finite({'loss': loss, 'gradient': gradient})
    return keep((state, stats)), trace

  @jax.jit
  def init(params, step, opt_state=None):
    step = jnp.asarray(step, jnp.int32)
    opt_state = optimizer.init(params) if opt_state is None else opt_state
    opt_state = optim.at_step(opt_state, step)
    return keep(TrainState(step=step, params=params, opt_state=opt_state))

  @functools.partial(
    jax.jit,
    static_argnames=('capacity',),
    donate_argnames=('state',) if is_final else (),
  )
  def chunk(key, state, views, anchor, indices, *, capacity):
    params = rep.refresh(state.params, views.cameras)
    state = dataclasses.replace(state, params=params)
    stats = density.empty_stats(num_slots)
    run = functools.partial(step, capacity, key, views, anchor)
    (state, stats), trace = jax.lax.scan(run, keep((state, stats)), indices)
    return state, stats, trace

  @functools.partial(jax.jit, donate_argnames=('state',))
  def refine(key, state, stats):
    state = hosts.turn(state, **lie)
    params, opt_state = rep.refine(
      key, state.params, state.opt_state, stats, state.step, extent
    )
    return keep(dataclasses.replace(state, params=params, opt_state=opt_state))

  @jax.jit
  def count(params):
    return jnp.sum(density.is_live(rep.gaussians(params)))

  return Program(init, chunk, refine, count)
