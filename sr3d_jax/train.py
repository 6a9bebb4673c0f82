"""Trains a network on a stream of batches, one jitted step at a time.

Not a scan over steps: on a CPU, XLA runs a convolution inside a loop many times
slower, and on an accelerator the host queues the steps ahead anyway.

A batch and a key are functions of the step alone, so a run resumed from any
`TrainState` repeats what the uninterrupted run would have done.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sr3d_jax import hosts, prefetch
from sr3d_jax.io import checkpoint, progress, weights
from sr3d_jax.types import (
  Array,
  FieldNetwork,
  Network,
  Params,
  TrainState,
)


class Diverged(FloatingPointError):
  """A scalar of the loss, or the gradient, is not finite at `step`."""

  def __init__(self, message: str, step: int):
    super().__init__(message)
    self.step = step


def init(
  key: Array,
  network: Network | FieldNetwork,
  optimizer: optax.GradientTransformation,
  averaged: str | None = None,
) -> TrainState:
  """The state before the first step; the average starts at the parameters.

  Args:
    key: of the start.
    network: what learns.
    optimizer: of the parameters.
    averaged: the part of the parameters whose average is kept; None: all.
  """
  params = network.init(key)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    ema=jax.tree.map(jnp.copy, _part(params, averaged)),
  )


def _part(params: Params, name: str | None) -> Params:
  return params if name is None else params[name]


def adam(
  *,
  learning_rate: float,
  num_steps: int,
  warmup: int = 0,
  milestones: Sequence[int] = (),
  clip_norm: float | None = None,
  rates: Mapping[str, float] | None = None,
  frozen: Mapping[str, int] | None = None,
  decay: float = 0.999,
) -> optax.GradientTransformation:
  """Adam, its rate rising from 0, then falling to 0 or halved at milestones.

  Args:
    learning_rate: the highest.
    num_steps: after which the rate has followed half a cosine down to 0.
    warmup: steps of the linear rise.
    milestones: steps after which the rate is halved, instead of the cosine.
    clip_norm: bound on the global norm of the gradient; None: none.
    rates: {pattern: factor} for the rate of parameters in whose dotted name
      the pattern is found; the first that is, counts.
    frozen: {pattern: steps} before which such parameters stay as they are.
    decay: of the mean square of the gradient, a step.
  """
  if milestones:
    halved = optax.piecewise_constant_schedule(
      learning_rate, {step: 0.5 for step in milestones}
    )

    def rate(step):
      return halved(step) * jnp.minimum(
        1.0, step / max(warmup, 1) + (not warmup)
      )
  else:
    rate = optax.warmup_cosine_decay_schedule(
      0.0 if warmup else learning_rate, learning_rate, warmup, num_steps
    )
  clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
  return optax.chain(
    clip,
    optax.scale_by_adam(b2=decay),
    optax.stateless(lambda updates, _: _scale_by_name(updates, rates or {})),
    *([_thaw(frozen)] if frozen else []),
    optax.scale_by_learning_rate(rate),
  )


def _thaw(frozen: Mapping[str, int]) -> optax.GradientTransformation:
  """Keeps parameters as they are until their step has come."""

  def update(updates, step, params=None):
    del params
    factors = {pattern: step >= first for pattern, first in frozen.items()}
    return _scale_by_name(updates, factors), step + 1

  return optax.GradientTransformation(
    lambda params: jnp.zeros((), jnp.int32), update
  )


def _scale_by_name(updates: Params, rates: Mapping[str, Any]) -> Params:
  """Multiplies each leaf by the factor of the first pattern in its name."""

  def scale(path, leaf):
    name = '.'.join(str(entry.key) for entry in path)
    found = (f for pattern, f in rates.items() if re.search(pattern, name))
    return leaf * next(found, 1.0)

  return jax.tree_util.tree_map_with_path(scale, updates) if rates else updates


def train(
  key: Array,
  network: Network | FieldNetwork,
  batches: Callable[[int], dict],
  optimizer: optax.GradientTransformation,
  state: TrainState,
  *,
  num_steps: int,
  chunk: int = 50,
  ema_decay: float = 0.999,
  mesh: Mesh | None = None,
  averaged: str | None = None,
) -> Iterator[tuple[TrainState, dict[str, float]]]:
  """Trains from `state` up to step `num_steps`, yielding after each chunk.

  Args:
    key: of the run; a step's key is folded from it and the step.
    network: what learns.
    batches: step -> batch of numpy arrays; the loss finds the step itself under
      'step'.
    optimizer: of the parameters.
    state: from `init`, or a checkpoint.
    num_steps: to reach, counted from the very first.
    chunk: steps between two reports.
    ema_decay: of the running average of the parameters, a step.
    mesh: with an axis 'views' of devices that share each batch evenly; None:
      one device.
    averaged: see `init`.

  Yields:
    The state and the means over the chunk of each scalar of the loss, of the
    'loss', and of 'gradient', the norm of the gradient before clipping.

  Raises:
    Diverged: one of them, the gradient included, is not finite.
  """
  step = jax.jit(
    lambda *args: _step(network, optimizer, ema_decay, averaged, *args)
  )
  start = int(state.step)
  state, place = _spread(state, mesh)
  while start < num_steps:
    stop = min(start + chunk, num_steps)
    history = []
    for i in range(start, stop):
      state, scalars = step(state, key, place(batches(i)))
      history.append(scalars)
    history = jax.tree.map(lambda *values: np.array(values), *history)
    _check_finite(history, start)
    yield state, {name: float(v.mean()) for name, v in history.items()}
    start = stop


def _spread(state, mesh):
  """The state on all devices, and what splits a batch's rows over them."""
  if mesh is None:
    return state, lambda batch: batch
  rows = NamedSharding(mesh, PartitionSpec('views'))
  return hosts.everywhere(state, mesh), lambda batch: jax.device_put(
    batch, rows
  )


def _step(network, optimizer, ema_decay, averaged, state, key, batch):
  """One update of the parameters and of their average; what to report.

  That is the loss, its scalars and the norm of the gradient before clipping.
  """
  step_key = jax.random.fold_in(key, state.step)
  batch = {**batch, 'step': state.step}
  loss = jax.value_and_grad(network.loss, has_aux=True)
  (value, scalars), grads = loss(state.params, step_key, batch)
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  # Early on a long memory would remember the random start.
  decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
  state = TrainState(
    step=state.step + 1,
    params=params,
    opt_state=opt_state,
    ema=optax.incremental_update(_part(params, averaged), state.ema, 1 - decay),
  )
  norm = optax.tree.norm(grads)
  return state, scalars | {'loss': value, 'gradient': norm}


def _check_finite(scalars: dict[str, np.ndarray], start: int) -> None:
  """Raises with the first step and scalar that is not finite."""
  for name, values in scalars.items():
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
      step = start + int(bad[0])
      raise Diverged(
        f'{name} is {float(values[bad[0]])} at step {step}: lower the learning '
        'rate, or look at that batch',
        step,
      )


def run(
  folder: Path,
  network: Network | FieldNetwork,
  batches: Callable[[int], dict],
  optimizer: optax.GradientTransformation,
  *,
  seed: int,
  num_steps: int,
  batch_size: int | None = None,
  averaged: str | None = None,
  check: Callable[[int, Params], Mapping[str, float]] | None = None,
  **options: Any,
) -> Params:
  """Trains in a folder, from its last checkpoint where there is one.

  Args:
    folder: of the run; takes ckpts/, the curves and weights.npz.
    network: what learns.
    batches: step -> batch of numpy arrays, which are made ahead.
    optimizer: of the parameters.
    seed: of the start and of every step.
    num_steps: to reach.
    batch_size: rows of a batch, which all devices share; None: one device.
    averaged: see `init`.
    check: (steps done, averaged parameters) -> what joins the curves after a
      chunk.
    **options: of `train`.

  Returns:
    The averaged parameters, of which weights.npz is a copy.
  """
  init_key, run_key = jax.random.split(jax.random.key(seed))
  fresh = init(init_key, network, optimizer, averaged)
  if batch_size and jax.device_count() > 1:
    options['mesh'] = hosts.device_mesh(batch_size)
  with checkpoint.Store(folder / 'ckpts') as store:
    start = state = store.restore(fresh) or fresh
    with progress.Progress(
      folder, num_steps, first_step=int(start.step)
    ) as bar:
      for state, scalars in train(
        run_key, network, prefetch.ahead(batches), optimizer, start,
        num_steps=num_steps, averaged=averaged, **options,
      ):  # fmt: skip
        step = int(state.step)
        bar.log(step, scalars | dict(check(step, state.ema) if check else {}))
        store.save(int(state.step), state)
  weights.save(folder / 'weights.npz', state.ema)
  return state.ema
