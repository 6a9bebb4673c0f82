"""Views -> representation: the optimisation at the centre of the project.

The host moves whole chunks of steps: one jitted `lax.scan`, one look at its
outcome, one refinement, one checkpoint. A chunk whose rasteriser overflowed is
run again from its start with more capacity, which changes no bit of the result;
a chunk that met a non-finite number stops the run and names the step and field.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from sr3d_kernels.rasterize import next_capacity

from sr3d_jax import density, geometry, image, losses, render, sh
from sr3d_jax.numerics import all_finite
from sr3d_jax.types import (
  Array,
  Gaussians,
  Params,
  Representation,
  TrainState,
  Views,
)

CAPACITY_SLACK = 1.3  # over the fullest view seen, to recompile rarely


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOptions:
  """What one compiled chunk depends on; hashable.

  Attributes:
    num_steps: of the whole fit; sets the schedules.
    dssim_weight: of D-SSIM beside L1 (Kerbl et al. 2023: 0.2).
    anchor_weight: of the same loss between the shrunk render and the low
      resolution photo (3DSR, eq. of section 3.3; lambda).
    opacity_weight: of the mean opacity (mcmc: 0.01).
    scale_weight: of the mean scale over the scene extent (mcmc: 0.01).
    sh_every: steps between additions of one harmonic degree; 0: all at once.
    absgrad: refine by the sum of absolute gradients per pixel.
    blur, compensation: of `render.project`.
    background: colour behind everything.
    backend: of the rasteriser; None chooses.
  """

  num_steps: int
  dssim_weight: float = 0.2
  anchor_weight: float = 0.0
  opacity_weight: float = 0.01
  scale_weight: float = 0.01
  sh_every: int = 1000
  absgrad: bool = False
  blur: float = 0.1
  compensation: str = 'clamped'
  background: tuple[float, float, float] = (0.0, 0.0, 0.0)
  backend: str | None = None


def device_mesh(batch_size: int) -> Mesh:
  """A mesh ('views',) of as many devices as share a batch evenly."""
  devices = jax.devices()
  devices = devices[: math.gcd(batch_size, len(devices))]
  return Mesh(np.asarray(devices), ('views',), axis_types=(AxisType.Auto,))


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
  params, probe, index, views, anchor, degree, *, rep, options, capacity
):
  """The loss of one view, and what it says of the screen."""
  gaussians = _with_degree(rep.gaussians(params), degree)
  output = render.render(
    gaussians,
    render.view_of(views.cameras, index),
    background=options.background,
    screen_offset=None if options.absgrad else probe,
    abs_probe=probe if options.absgrad else None,
    capacity=capacity,
    backend=options.backend,
    blur=options.blur,
    compensation=options.compensation,
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
  error = jnp.square(output.image - target)
  if weights is not None:
    error = error * weights[..., None]
  return loss, (output.radii > 0, output.num_slots, jnp.mean(error))


def _batch_gradient(
  params, indices, views, anchor, degree, *, rep, options, capacity, batch_size
):
  """Sums loss, gradient and statistics over this device's share of views."""
  num = rep.gaussians(params).means.shape[0]
  loss_of = functools.partial(
    _view_loss, rep=rep, options=options, capacity=capacity
  )
  value_and_grad = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)
  half = 0.5 * jnp.asarray([views.cameras.width, views.cameras.height])

  def one(total, index):
    (loss, (drawn, slots, error)), (gradient, screen) = value_and_grad(
      params, jnp.zeros((num, 2)), index, views, anchor, degree
    )
    # The loss is a mean over the batch, so undo that for the statistics.
    stats = density.ScreenStats(
      gradient=jnp.linalg.norm(screen * half, axis=-1) * drawn,
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
def _compiled(
  rep: Representation,
  options: FitOptions,
  extent: float,
  mesh: Mesh,
  batch_size: int,
) -> tuple[Callable, Callable]:
  """The jitted chunk and refinement of one kind of fit."""
  optimizer = rep.optimizer(extent, options.num_steps)
  replicated, split = PartitionSpec(), PartitionSpec('views')

  def penalty(params: Params) -> Array:
    return _penalty(rep.gaussians(params), extent, options)

  def step(capacity, views, anchor, carry, indices):
    state, stats = carry
    degree = 99
    if options.sh_every:
      degree = state.step // options.sh_every
    share = functools.partial(
      _batch_gradient,
      rep=rep,
      options=options,
      capacity=capacity,
      batch_size=batch_size,
    )
    sums, slots = jax.shard_map(
      share,
      mesh=mesh,
      in_specs=(replicated, split, replicated, replicated, replicated),
      out_specs=replicated,
      check_vma=False,
    )(state.params, indices, views, anchor, jnp.asarray(degree))
    loss, error, gradient, seen = sums
    extra, pull = jax.value_and_grad(penalty)(state.params)
    gradient = jax.tree.map(jnp.add, gradient, pull)
    updates, opt_state = optimizer.update(
      gradient, state.opt_state, state.params
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
    return (state, stats), trace

  @functools.partial(jax.jit, static_argnames=('capacity',))
  def chunk(state, views, anchor, indices, *, capacity):
    params = rep.refresh(state.params, views.cameras)
    state = dataclasses.replace(state, params=params)
    stats = density.empty_stats(rep.gaussians(params).means.shape[0])
    run = functools.partial(step, capacity, views, anchor)
    (state, stats), trace = jax.lax.scan(run, (state, stats), indices)
    return state, stats, trace

  @jax.jit
  def refine(key, state, stats):
    params, opt_state = rep.refine(
      key, state.params, state.opt_state, stats, state.step
    )
    return dataclasses.replace(state, params=params, opt_state=opt_state)

  return chunk, refine


def _view_order(key: Array, first: int, count: int, num_views: int):
  """Views number `first` to `first + count` of an endless shuffled deck."""
  positions = np.arange(first, first + count)
  epochs = positions // num_views
  decks = {
    epoch: np.asarray(
      jax.random.permutation(jax.random.fold_in(key, epoch), num_views)
    )
    for epoch in np.unique(epochs).tolist()
  }
  return np.asarray(
    [decks[int(e)][p % num_views] for e, p in zip(epochs, positions)], np.int32
  )


def _check_finite(trace: dict[str, Any], first_step: int) -> None:
  finite = {k: np.asarray(v) for k, v in trace['finite'].items()}
  bad = {k: int(np.argmin(v)) for k, v in finite.items() if not v.all()}
  if bad:
    step = min(bad.values())
    fields = sorted(k for k, v in bad.items() if v == step)
    raise FloatingPointError(
      f'the fit met a non-finite number at step {first_step + step} in '
      f'{", ".join(fields)}: check the photos and poses for NaN, or lower '
      'the learning rates (representation.rates)'
    )


def _first_capacity(rep, params, cameras, options) -> int:
  """Slots for every view as it looks now, with room to grow."""
  return render.plan_capacity(
    rep.gaussians(rep.refresh(params, cameras)),
    cameras,
    slack=CAPACITY_SLACK,
    blur=options.blur,
    compensation=options.compensation,
  )


def _run_whole(run: Callable, capacity: int) -> tuple[Any, Any, Any, int]:
  """Runs a chunk, again from its start with more room while it overflows."""
  while True:
    state, stats, trace = run(capacity=capacity)
    most = int(np.max(trace['slots']))
    if most <= capacity:
      return state, stats, trace, capacity
    capacity = next_capacity(int(CAPACITY_SLACK * most))


def _scalars(trace: dict[str, Any]) -> dict[str, float]:
  error = max(float(np.mean(trace['error'])), 1e-12)
  return {
    'loss': float(np.mean(trace['loss'])),
    'psnr': -10 * float(np.log10(error)),
    'slots': int(np.max(trace['slots'])),
  }


def _check_views(views: Views, anchor: Views | None, weight: float) -> None:
  if views.images.ndim != 4 or views.images.shape[0] < 1:
    raise ValueError(
      'a fit needs images of shape [V, H, W, 3] with V >= 1, got '
      f'{views.images.shape}'
    )
  size = (views.cameras.height, views.cameras.width)
  if views.images.shape[1:3] != size:
    raise ValueError(
      f'images are {views.images.shape[1:3]} (rows, columns) but their '
      f'cameras are {size}: resize both with Camera.at_size'
    )
  if weight and anchor is None:
    raise ValueError(
      f'anchor_weight is {weight} but there are no anchor views: pass the low '
      'resolution photos as anchor=, or set anchor_weight=0'
    )


def fit(
  key: Array,
  rep: Representation,
  params: Params,
  views: Views,
  *,
  num_steps: int,
  anchor: Views | None = None,
  batch_size: int = 1,
  chunk: int = 100,
  refine_start: int = 500,
  refine_stop: int = 15_000,
  save_every: int = 500,
  mesh: Mesh | None = None,
  store: Any = None,
  log: Callable[[int, dict[str, float]], None] | None = None,
  **options: Any,
) -> Params:
  """Fits a representation to views.

  Args:
    key: randomness; a step's share is folded from its number, so that an
      interrupted fit resumes to the same result.
    rep: what is fitted.
    params: where it starts.
    views: [V] what it should look like.
    num_steps: optimisation steps.
    anchor: [V] the low-resolution photos behind `views`, or None.
    batch_size: views per step; a multiple of the mesh's size.
    chunk: steps between refinements and looks by the host.
    refine_start: first step at which the density may change.
    refine_stop: last such step.
    save_every: steps between checkpoints, a multiple of `chunk`.
    mesh: devices that share a step's views; None: as many as divide them.
    store: has `restore(state) -> state or None` and `save(step, state)`.
    log: called with the step and its scalars after every chunk.
    **options: of `FitOptions`.

  Returns:
    The fitted params, their filters following the cameras of `views`.

  Raises:
    ValueError: where views, anchor and options do not fit together.
    FloatingPointError: when a loss or gradient is not finite.
  """
  options = FitOptions(num_steps=num_steps, **options)
  _check_views(views, anchor, options.anchor_weight)
  mesh = device_mesh(batch_size) if mesh is None else mesh
  if batch_size % mesh.size:
    raise ValueError(
      f'batch_size {batch_size} must be a multiple of the {mesh.size} devices '
      'that share a step: raise it, or use fewer devices'
    )
  anchor = anchor if options.anchor_weight else None
  everywhere = NamedSharding(mesh, PartitionSpec())
  extent = float(geometry.scene_extent(views.cameras.world_to_cam))
  cameras = views.cameras
  num_views = len(views.images)
  run_chunk, refine = _compiled(rep, options, extent, mesh, batch_size)
  opt_state = rep.optimizer(extent, num_steps).init(params)
  state = TrainState(
    step=jnp.zeros((), jnp.int32), params=params, opt_state=opt_state
  )
  restored = store.restore(state) if store is not None else None
  state = state if restored is None else restored
  state, views, anchor = jax.device_put((state, views, anchor), everywhere)

  order_key, refine_key = jax.random.split(key)
  capacity = 0
  step = int(state.step)
  while step < num_steps:
    capacity = capacity or _first_capacity(rep, state.params, cameras, options)
    started = time.monotonic()
    count = min(chunk, num_steps - step)
    order = _view_order(
      order_key, step * batch_size, count * batch_size, num_views
    ).reshape(count, batch_size)
    run = functools.partial(run_chunk, state, views, anchor, order)
    state, stats, trace, capacity = _run_whole(run, capacity)
    _check_finite(trace, step)
    step += count
    if refine_start <= step <= refine_stop and step < num_steps:
      state = refine(jax.random.fold_in(refine_key, step), state, stats)
    if store is not None and (step % save_every == 0 or step == num_steps):
      store.save(step, state)
    if log is not None:
      pace = (time.monotonic() - started) / count
      live = density.is_live(rep.gaussians(state.params))
      splats = int(jnp.sum(live))
      log(step, _scalars(trace) | {'splats': splats, 'seconds_per_step': pace})
  return rep.refresh(state.params, cameras)
