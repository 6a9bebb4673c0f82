"""Views -> representation: the optimisation at the centre of the project.

The host moves whole chunks of steps: one jitted `lax.scan`, one look at its
outcome, one refinement, one checkpoint. A chunk whose rasteriser overflowed is
run again from its start with more capacity, which changes no bit of the result;
a chunk that met a non-finite number stops the run and names the step and field.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from sr3d_kernels.rasterize import next_capacity

from sr3d_jax import density, geometry, hosts, render
from sr3d_jax.fit_step import FitOptions, compiled
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


def _first_capacity(rep, params, cameras, options) -> int:
  """Slots for every view as it looks now, with room to grow."""
  return render.plan_capacity(
    rep.gaussians(rep.refresh(params, cameras)),
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
    views: [V] what it should look like; every host holds them all.
    num_steps: optimisation steps.
    anchor: [V] the low-resolution photos behind `views`, or None.
    batch_size: views per step; a multiple of the mesh's size.
    chunk: steps between refinements and looks by the host.
    refine_start: first step at which the density may change.
    refine_stop: last such step.
    save_every: steps between checkpoints, each made when its chunk ends.
    mesh: devices that share a step's views; None: as many as divide them.
    store: has `restore(state) -> state or None` and `save(step, state)`; of
      many hosts the first alone needs one.
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
  mesh = hosts.device_mesh(batch_size) if mesh is None else mesh
  if batch_size % mesh.size:
    raise ValueError(
      f'batch_size {batch_size} must be a multiple of the {mesh.size} devices '
      'that share a step: raise it, or use fewer devices'
    )
  anchor = anchor if options.anchor_weight else None
  cameras = views.cameras
  extent = _extent(cameras)
  num_views = len(views.images)
  run_chunk, refine = compiled(rep, options, extent, mesh, batch_size)
  opt_state = rep.optimizer(extent, num_steps).init(params)
  state = TrainState(
    step=jnp.zeros((), jnp.int32), params=params, opt_state=opt_state
  )
  restored = store.restore(state) if store is not None else None
  state = hosts.agreed(state if restored is None else restored)
  state, views, anchor = hosts.everywhere((state, views, anchor), mesh)

  order_key, refine_key, step_key = jax.random.split(key, 3)
  capacity = None
  step = int(state.step)
  while step < num_steps:
    if capacity is None:
      local = hosts.here(state.params)
      capacity = _first_capacity(rep, local, cameras, options)
    started = time.monotonic()
    count = min(chunk, num_steps - step)
    order = _view_order(
      order_key, step * batch_size, count * batch_size, num_views
    ).reshape(count, batch_size)
    run = functools.partial(run_chunk, step_key, state, views, anchor, order)
    state, stats, trace, capacity = _run_whole(run, capacity)
    _check_finite(trace, step)
    step += count
    is_due = step % save_every < count or step == num_steps
    if refine_start <= step <= refine_stop and step < num_steps:
      state = refine(jax.random.fold_in(refine_key, step), state, stats)
    if store is not None and is_due:
      store.save(step, hosts.here(state))
    if log is not None:
      pace = (time.monotonic() - started) / count
      live = density.is_live(rep.gaussians(hosts.here(state.params)))
      splats = int(jnp.sum(live))
      log(step, _scalars(trace) | {'splats': splats, 'seconds_per_step': pace})
  return rep.refresh(hosts.here(state.params), cameras)
