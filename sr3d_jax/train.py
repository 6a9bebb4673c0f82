"""Trains a network on a stream of batches, one jitted step at a time.

Not a scan over steps: on a CPU, XLA runs a convolution inside a loop many times
slower, and on an accelerator the host queues the steps ahead anyway.

A batch and a key are functions of the step alone, so a run resumed from any
`TrainState` repeats what the uninterrupted run would have done.
"""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sr3d_jax.types import Array, Network, TrainState


def init(
  key: Array, network: Network, optimizer: optax.GradientTransformation
) -> TrainState:
  """The state before the first step; the average starts at the parameters."""
  params = network.init(key)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=optimizer.init(params),
    ema=jax.tree.map(jnp.copy, params),
  )


def adam(
  *,
  learning_rate: float,
  num_steps: int,
  warmup: int = 0,
  clip_norm: float = 1.0,
) -> optax.GradientTransformation:
  """Adam on clipped gradients, its rate rising from 0, then falling to 0.

  Args:
    learning_rate: the highest.
    num_steps: after which the rate has followed half a cosine down to 0.
    warmup: steps of the linear rise.
    clip_norm: bound on the global norm of the gradient.
  """
  rate = optax.warmup_cosine_decay_schedule(
    0.0 if warmup else learning_rate, learning_rate, warmup, num_steps
  )
  return optax.chain(optax.clip_by_global_norm(clip_norm), optax.adam(rate))


def train(
  key: Array,
  network: Network,
  batches: Callable[[int], dict],
  optimizer: optax.GradientTransformation,
  state: TrainState,
  *,
  num_steps: int,
  chunk: int = 50,
  ema_decay: float = 0.999,
) -> Iterator[tuple[TrainState, dict[str, float]]]:
  """Trains from `state` up to step `num_steps`, yielding after each chunk.

  Args:
    key: of the run; a step's key is folded from it and the step.
    network: what learns.
    batches: step -> batch of numpy arrays.
    optimizer: of the parameters.
    state: from `init`, or a checkpoint.
    num_steps: to reach, counted from the very first.
    chunk: steps between two reports.
    ema_decay: of the running average of the parameters, a step.

  Yields:
    The state and the mean over the chunk of each scalar of the loss.
  """
  step = jax.jit(lambda *args: _step(network, optimizer, ema_decay, *args))
  start = int(state.step)
  while start < num_steps:
    stop = min(start + chunk, num_steps)
    history = []
    for i in range(start, stop):
      state, scalars = step(state, key, batches(i))
      history.append(scalars)
    history = jax.tree.map(lambda *values: np.array(values), *history)
    _check_finite(history, start)
    yield state, {name: float(v.mean()) for name, v in history.items()}
    start = stop


def _step(network, optimizer, ema_decay, state, key, batch):
  """One update of the parameters and of their average."""
  step_key = jax.random.fold_in(key, state.step)
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
    ema=optax.incremental_update(params, state.ema, 1 - decay),
  )
  return state, scalars | {'loss': value}


def _check_finite(scalars: dict[str, np.ndarray], start: int) -> None:
  """Raises with the first step and scalar that is not finite."""
  for name, values in scalars.items():
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
      raise FloatingPointError(
        f'{name} is {float(values[bad[0]])} at step {start + int(bad[0])}: '
        'lower the learning rate, or look at that batch'
      )
