"""Views -> representation: the optimisation at the centre of the project.

The host moves whole chunks of steps: one jitted `lax.scan`, one look at its
outcome, one refinement, one checkpoint. A chunk whose rasteriser overflowed is
run again from its start with more capacity, which changes no bit of the result;
a chunk that met a non-finite number stops the run and names the step and field.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from sr3d_kernels.rasterize import needs_capacity, next_capacity

from sr3d_jax import geometry, hosts, render
from sr3d_jax.fit_step import FitOptions, compiled
from sr3d_jax.shards import band_height, plan_capacity
from sr3d_jax.types import (
  Array,
  Camera,
  Params,
  Representation,
  TrainState,
  Views,
)

CAPACITY_SLACK = 1.3  # over the fullest view seen, to recompile rarely
ROUNDING = 1e-6  # of a camera's centre, as a share of its distance


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


def _first_capacity(rep, params, cameras, options, mesh) -> int:
  """Slots for every view as it looks now, with room to grow."""

  def drawn(params, cameras):
    return rep.gaussians(rep.refresh(params, cameras))

  if hosts.num_shards(mesh) > 1:
    plan = functools.partial(plan_capacity, mesh=mesh)
    drawn = jax.jit(drawn)
  else:
    plan = render.plan_capacity
    params, cameras = hosts.here((params, cameras))
  return plan(
    drawn(params, cameras),
    cameras,
    slack=CAPACITY_SLACK,
    backend=options.backend,
    blur=options.blur,
    compensation=options.compensation,
    near=options.near,
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
  if weight and len(anchor.images) != len(views.images):
    raise ValueError(
      f'there are {len(anchor.images)} anchor photos for {len(views.images)} '
      'views: pass the photo behind each view, in the same order'
    )


def _check_mesh(
  rep, params, num_slots: int, batch_size: int, mesh: Mesh
) -> None:
  """Raises unless views, params and Gaussians can be shared evenly."""
  copies, num = mesh.shape['views'], hosts.num_shards(mesh)
  if batch_size % copies:
    raise ValueError(
      f'batch_size {batch_size} must be a multiple of the {copies} copies of '
      'the scene that share a step: raise it, or use fewer devices'
    )
  if num_slots % num:
    raise ValueError(
      f'{num_slots} Gaussians cannot be shared evenly by {num} devices: set '
      f'representation.capacity to {-(-num_slots // num) * num}, or fit.shards '
      'to a divisor'
    )
  share = jax.tree.map(
    lambda x, place: jax.ShapeDtypeStruct(place.shard_shape(x.shape), x.dtype),
    params,
    hosts.shardings(params, mesh, num_slots),
  )
  made = jax.eval_shape(rep.gaussians, share).means.shape[0]
  if made * num != num_slots:
    raise ValueError(
      f'of a share of its params the representation makes {made} Gaussians, '
      f'not {num_slots // num}: it needs them whole; set fit.shards=1'
    )


def _start(
  program, params, first: int, opt_state, num_slots: int, mesh: Mesh, store
) -> TrainState:
  """The state to begin with or to go on from, where its devices want it."""

  def spread(tree):
    return hosts.spread(tree, hosts.shardings(tree, mesh, num_slots))

  state = hosts.here(program.init(spread(params), first, spread(opt_state)))
  restored = store.restore(state) if store is not None else None
  return spread(hosts.agreed(state if restored is None else restored))


def _extent(cameras: Camera) -> float:
  """Of the scene, scene units; raises where there is no parallax."""
  extent = float(geometry.scene_extent(cameras.world_to_cam))
  distance = float(np.max(np.linalg.norm(cameras.position, axis=-1)))
  if extent <= ROUNDING * distance:
    raise ValueError(
      f'all {len(cameras.world_to_cam)} cameras stand in one place, so that '
      'nothing shows how far things are: a fit needs photos from several '
      'places; check the poses'
    )
  return extent


def fit_state(
  key: Array,
  rep: Representation,
  params: Params,
  views: Views,
  *,
  num_steps: int,
  first: int = 0,
  total: int | None = None,
  opt_state: Any = None,
  anchor: Views | None = None,
  batch_size: int = 1,
  chunk: int = 100,
  refine_start: int = 500,
  refine_stop: int = 15_000,
  save_every: int = 500,
  shards: int = 1,
  mesh: Mesh | None = None,
  store: Any = None,
  log: Callable[[int, dict[str, float]], None] | None = None,
  **options: Any,
) -> TrainState:
  """Fits a representation to views.

  A fit may go on from an earlier one, to other views if need be. With the same
  key and views, and no refinement due between, parts are the whole to the bit.

  Args:
    key: randomness; a step's share is folded from its number, so that an
      interrupted fit resumes to the same result.
    rep: what is fitted.
    params: where it starts.
    views: [V] what it should look like; every host holds them all.
    num_steps: optimisation steps.
    first: steps of earlier fits that this one goes on from: rates, harmonics
      and refinements are those of the steps after them.
    total: steps of all such fits, by whose end rates have fallen; None: this
      one is the last.
    opt_state: of the fit before, whose moments go on; None: they begin.
    anchor: [V] the low-resolution photos behind `views`, or None.
    batch_size: views per step; a multiple of those that `mesh` splits.
    chunk: steps between refinements and looks by the host.
    refine_start: first step at which the density may change.
    refine_stop: last such step.
    save_every: steps between checkpoints, each made when its chunk ends.
    shards: devices that hold one copy of the scene together, where it is too
      large for one.
    mesh: ('views', 'gaussians') devices that share a step; None: as many copies
      of the scene as divide its views.
    store: has `restore(state) -> state or None` and `save(step, state)`, which
      copies what it keeps: the next chunk may write over the state. Of many
      hosts the first alone needs one.
    log: called with the step and its scalars after every chunk.
    **options: of `FitOptions`.

  Returns:
    The state after the last step, the filters of its params following the
    cameras of `views`; what lay in shares is in the memory of the host.

  Raises:
    ValueError: where views, anchor and options do not fit together.
    FloatingPointError: when a loss or gradient is not finite.
  """
  total = first + num_steps if total is None else total
  options = FitOptions(num_steps=total, **options)
  _check_views(views, anchor, options.anchor_weight)
  mesh = hosts.device_mesh(batch_size, shards) if mesh is None else mesh
  anchor = anchor if options.anchor_weight else None
  cameras = views.cameras
  extent = _extent(cameras)
  num_views = len(views.images)
  means = jax.eval_shape(rep.gaussians, params).means
  num_slots = means.shape[0]
  _check_mesh(rep, params, num_slots, batch_size, mesh)
  reserves = needs_capacity(
    options.backend,
    width=cameras.width,
    height=band_height(cameras.height, hosts.num_shards(mesh)),
    dtype=means.dtype,
  )
  program = compiled(
    rep, options, extent, mesh, batch_size, num_slots, is_final=not reserves
  )
  state = _start(program, params, first, opt_state, num_slots, mesh, store)
  views, anchor = hosts.everywhere((views, anchor), mesh)

  order_key, refine_key, step_key = jax.random.split(key, 3)
  capacity = None if reserves else 0
  step = int(state.step) - first
  while step < num_steps:
    if capacity is None:
      capacity = _first_capacity(
        rep, state.params, views.cameras, options, mesh
      )
    started = time.monotonic()
    count = min(chunk, num_steps - step)
    order = _view_order(
      order_key, (first + step) * batch_size, count * batch_size, num_views
    ).reshape(count, batch_size)
    run = functools.partial(
      program.chunk, step_key, state, views, anchor, order
    )
    state, stats, trace, capacity = _run_whole(run, capacity)
    _check_finite(trace, step)
    step += count
    is_due = step % save_every < count or step == num_steps
    if refine_start <= first + step <= refine_stop and step < num_steps:
      now = jax.random.fold_in(refine_key, first + step)
      state = program.refine(now, state, stats)
    # Every host must ask, though not every host tells.
    live = program.count(state.params)
    if store is not None and is_due:
      store.save(step, hosts.here(state))
    if log is not None:
      pace = (time.monotonic() - started) / count
      scalars = {'splats': int(live), 'seconds_per_step': pace}
      log(step, _scalars(trace) | scalars)
  state = hosts.here(state)
  return dataclasses.replace(state, params=rep.refresh(state.params, cameras))


def fit(
  key: Array, rep: Representation, params: Params, views: Views, **options: Any
) -> Params:
  """The fitted params alone, see `fit_state` for arguments and errors."""
  return fit_state(key, rep, params, views, **options).params
