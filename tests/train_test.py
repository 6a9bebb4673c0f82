"""The training loop: it learns, resumes bit for bit and stops at NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import train
from sr3d_jax.io import progress
from sr3d_jax.types import Network

KEY = jax.random.key(0)
TRUTH = np.array([2.0, -1.0], np.float32)


def _loss(params, key, batch):
  noise = 1e-3 * jax.random.normal(key)
  error = batch['x'] @ params['w'] - batch['y'] + noise
  return jnp.mean(error**2), {'error': jnp.mean(jnp.abs(error))}


LINE = Network(
  init=lambda key: {'w': jnp.zeros(2)},
  apply=lambda params, x: x @ params['w'],
  loss=_loss,
)


def _batch(step):
  x = np.random.default_rng(step).normal(size=(8, 2)).astype(np.float32)
  return {'x': x, 'y': x @ TRUTH}


def _train(num_steps, state=None, batches=_batch, **options):
  optimizer = train.adam(learning_rate=0.1, num_steps=200)
  state = train.init(KEY, LINE, optimizer) if state is None else state
  return list(
    train.train(
      KEY, LINE, batches, optimizer, state, num_steps=num_steps, **options
    )
  )


def test_it_finds_the_line():
  state, scalars = _train(200)[-1]
  np.testing.assert_allclose(state.params['w'], TRUTH, atol=0.02)
  assert scalars['error'] < 0.02
  assert set(scalars) == {'error', 'loss', 'gradient'}


def test_a_resumed_run_repeats_the_uninterrupted_one():
  whole = _train(30, chunk=7)[-1][0]
  half = _train(12, chunk=5)[-1][0]
  resumed = _train(30, state=half, chunk=10)[-1][0]
  jax.tree.map(np.testing.assert_array_equal, whole, resumed)


def test_it_reports_after_each_chunk_and_at_the_end():
  steps = [int(state.step) for state, _ in _train(25, chunk=10)]
  assert steps == [10, 20, 25]


def test_scalars_are_means_over_their_chunk():
  single = [scalars['loss'] for _, scalars in _train(6, chunk=1)]
  paired = [scalars['loss'] for _, scalars in _train(6, chunk=2)]
  np.testing.assert_allclose(
    paired, np.mean(np.reshape(single, (3, 2)), axis=1), rtol=1e-6
  )


def test_the_average_follows_the_parameters_late():
  states = [state for state, _ in _train(40, chunk=1, ema_decay=0.9)]
  ema = states[20].ema['w']
  for state in states[21:]:
    decay = min(0.9, (1 + int(state.step) - 1) / (10 + int(state.step) - 1))
    ema = decay * ema + (1 - decay) * state.params['w']
  np.testing.assert_allclose(states[-1].ema['w'], ema, rtol=1e-5)


def test_a_loss_that_is_not_finite_stops_and_names_the_step():
  def batches(step):
    batch = _batch(step)
    return batch | {'y': np.full(8, np.nan if step == 13 else 0, np.float32)}

  with pytest.raises(FloatingPointError, match='error is nan at step 13'):
    _train(20, batches=batches, chunk=10)


def _train_on(loss, start, optimizer):
  """Three steps, one a chunk, of a loss of the parameters alone."""
  network = LINE._replace(
    init=lambda key: start, loss=lambda params, key, batch: (loss(params), {})
  )
  state = train.init(KEY, network, optimizer)
  return train.train(
    KEY, network, _batch, optimizer, state, num_steps=3, chunk=1
  )


def test_the_gradient_is_told_as_it_was_before_clipping():
  def loss(params):
    return 3 * params['a'][0] ** 2 - 4 * params['b']

  start = {'a': jnp.array([2.0]), 'b': jnp.array(5.0)}
  optimizer = train.adam(learning_rate=0.1, num_steps=3, clip_norm=1e-3)
  params = start
  for state, scalars in _train_on(loss, start, optimizer):
    norm = np.hypot(6 * params['a'][0], -4)  # by hand, along a and along b
    np.testing.assert_allclose(scalars['gradient'], norm, rtol=1e-6)
    np.testing.assert_allclose(scalars['loss'], loss(params), rtol=1e-6)
    params = state.params
  assert params['a'][0] < 2


def test_a_gradient_that_is_not_finite_stops_though_the_loss_is():
  def loss(params):  # 0, of infinite slope
    return jnp.sqrt(jnp.sum(params['w'] ** 2))

  optimizer = train.adam(learning_rate=0.1, num_steps=3, clip_norm=1.0)
  with pytest.raises(FloatingPointError, match='gradient is nan at step 0'):
    next(_train_on(loss, {'w': jnp.zeros(2)}, optimizer))


def test_what_is_frozen_stays_until_its_step_and_then_moves():
  optimizer = train.adam(
    learning_rate=0.1, num_steps=100, frozen={'flow': 2}, rates={'flow': 0.5}
  )
  params = {'flow': jnp.zeros(2), 'rest': jnp.zeros(2)}
  state, grads = optimizer.init(params), jax.tree.map(jnp.ones_like, params)
  for step in range(3):
    updates, state = optimizer.update(grads, state, params)
    assert np.all(updates['rest'] < -0.09)
    np.testing.assert_allclose(
      updates['flow'], updates['rest'] * (0.5 if step >= 2 else 0.0)
    )


def test_the_loss_finds_its_step_and_a_check_joins_the_curves(tmp_path):
  def loss(params, key, batch):
    del key
    return jnp.sum(params['w'] ** 2), {'seen': batch['step'].astype(float)}

  network = LINE._replace(loss=loss)
  train.run(
    tmp_path, network, _batch, train.adam(learning_rate=0.1, num_steps=4),
    seed=0, num_steps=4, chunk=1,
    check=lambda step, ema: {'valid': 10 * step} if step % 2 == 0 else {},
  )  # fmt: skip
  curves = progress.load_curves(tmp_path)
  assert curves['seen'] == [0, 1, 2, 3]
  assert curves['valid'] == [None, 20, None, 40]
  progress.save_csv(tmp_path)
  header, first, second, *_ = (tmp_path / 'metrics.csv').read_text().split()
  place = header.split(',').index('valid')
  assert first.split(',')[place] == ''
  assert float(second.split(',')[place]) == 20


def test_the_rate_rises_then_falls_to_nothing():
  optimizer = train.adam(learning_rate=1.0, num_steps=100, warmup=10)
  params = {'w': jnp.zeros(())}
  state = optimizer.init(params)
  sizes = []
  for _ in range(101):
    updates, state = optimizer.update({'w': jnp.ones(())}, state)
    sizes.append(float(-updates['w']))
  # with a constant gradient Adam's step is its rate
  assert sizes[0] == 0
  np.testing.assert_allclose(sizes[5], 0.5, rtol=1e-3)
  np.testing.assert_allclose(sizes[10], 1.0, rtol=1e-3)
  np.testing.assert_allclose(sizes[55], 0.5, rtol=1e-3)
  assert sizes[100] < 1e-6
