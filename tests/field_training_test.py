"""Training a field network: resumed, on many devices, in half precision."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import train
from sr3d_jax.priors import continuous
from sr3d_jax.types import Queries

SIZES = {'name': 'gaussian_sr', **continuous.TINY['sizes']}
QUICK = 'unsafe_rbg'  # draws without much to compile


def _batch(step, batch_size=4):
  rng = np.random.default_rng(step)
  shape = (batch_size, 10)
  return {
    'lr': rng.random((batch_size, 9, 9, 3), np.float32),
    'rgb': rng.random((*shape, 3), np.float32),
    'queries': Queries(
      rows=9 * rng.random(shape, np.float32),
      columns=9 * rng.random(shape, np.float32),
      footprint=np.tile(np.float32([0.1, 0, 0.1]), (batch_size, 1, 1)),
    ),
  }


def _run(folder, num_steps, **sizes):
  network = continuous.build(**SIZES | sizes)
  optimizer = train.adam(learning_rate=1e-3, num_steps=10, rates={'bank': 5.0})
  with jax.default_prng_impl(QUICK):
    return train.run(
      folder, network, _batch, optimizer, seed=1, num_steps=num_steps, chunk=2
    )


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
  whole = _run(tmp_path / 'whole', 6)
  _run(tmp_path / 'parts', 4)
  parts = _run(tmp_path / 'parts', 6)
  jax.tree.map(np.testing.assert_array_equal, whole, parts)
  assert (tmp_path / 'parts' / 'weights.npz').exists()


def test_half_precision_computes_and_keeps_whole_parameters(tmp_path):
  params = _run(tmp_path, 2, dtype='bfloat16')
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
  half, full = (
    continuous.build(**SIZES | {'dtype': dtype}) for dtype in ('bfloat16', None)
  )
  values = [net.loss(params, None, _batch(0))[0] for net in (half, full)]
  assert values[0].dtype == jnp.float32
  assert 0 < abs(values[0] - values[1]) < 0.02 * values[1]


def test_the_bank_may_learn_faster():
  params = {'bank': {'rho': jnp.zeros(3)}, 'coef': {'kernel': jnp.zeros(2)}}
  optimizer = train.adam(learning_rate=1e-3, num_steps=10, rates={'bank': 5.0})
  ones = jax.tree.map(jnp.ones_like, params)
  updates, _ = optimizer.update(ones, optimizer.init(params), params)
  np.testing.assert_allclose(updates['coef']['kernel'], -1e-3, rtol=1e-4)
  np.testing.assert_allclose(updates['bank']['rho'], -5e-3, rtol=1e-4)


@pytest.mark.parametrize('warmup', [0, 2])
def test_the_rate_is_halved_at_milestones(warmup):
  optimizer = train.adam(
    learning_rate=1.0, num_steps=0, warmup=warmup, milestones=(4, 7)
  )
  params = jnp.zeros(())
  state, sizes = optimizer.init(params), []
  for _ in range(9):
    # with a constant gradient, Adam's step is its rate
    update, state = optimizer.update(jnp.ones(()), state)
    sizes.append(-float(update))
  rise = [0.0, 0.5] if warmup else [1.0, 1.0]
  expected = rise + [1.0, 1.0] + [0.5] * 3 + [0.25] * 2
  np.testing.assert_allclose(sizes, expected, rtol=1e-3)


def test_gradients_are_clipped_only_where_asked():
  huge = {'x': jnp.asarray([3e4, 4e4])}

  def first(clip_norm):
    optimizer = train.adam(learning_rate=1.0, num_steps=9, clip_norm=clip_norm)
    state = optimizer.update(huge, optimizer.init(huge), huge)[1]
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (2,)]
    return max(float(jnp.max(leaf)) for leaf in moments)

  assert first(None) > 1e4 and first(0.0) > 1e4
  assert first(1.0) < 1


ON_EIGHT = """
import sys, json
sys.path.insert(0, 'tests')
import jax, numpy as np
from sr3d_jax import hosts, train
from sr3d_jax.priors import continuous
from field_training_test import QUICK, SIZES, _batch
jax.config.update('jax_default_prng_impl', QUICK)
network = continuous.build(**SIZES)
optimizer = train.adam(learning_rate=1e-3, num_steps=10)
def result(mesh):
  state = train.init(jax.random.key(0), network, optimizer)
  *_, (state, scalars) = train.train(
    jax.random.key(1), network, lambda i: _batch(i, 8), optimizer, state,
    num_steps=3, mesh=mesh)
  return state.params, scalars['loss']
mesh = hosts.device_mesh(8)
(one, loss), (many, shared) = result(None), result(mesh)
far = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), one, many)
print(json.dumps({'devices': mesh.size, 'far': max(jax.tree.leaves(far)),
                  'loss': abs(loss - shared)}))
"""


def test_eight_devices_share_a_batch_to_the_same_end():
  environment = os.environ | {
    # Eight devices; compiled in half the time.
    'XLA_FLAGS': '--xla_force_host_platform_device_count=8'
    ' --xla_backend_optimization_level=0',
    'JAX_PLATFORMS': 'cpu',
  }
  done = subprocess.run(
    [sys.executable, '-c', ON_EIGHT],
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  found = json.loads(done.stdout.splitlines()[-1])
  assert found['devices'] == 8
  # Adam's first steps are as large where a gradient is next to nothing
  assert found['far'] < 2e-4 and found['loss'] < 1e-6
