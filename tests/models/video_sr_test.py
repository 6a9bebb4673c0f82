"""What a video network learns from: each loss pulls what it is meant to."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sr3d_jax import image
from sr3d_jax.models import basicvsr, video_sr
from sr3d_jax.types import VideoNetwork


def _toy():
  """Brightens, repeats pixels, and finds one flow everywhere."""

  def enlarge(params, clips):
    return jnp.repeat(jnp.repeat(clips, 4, axis=-3), 4, axis=-2) + params['b']

  return VideoNetwork(
    init=lambda key: {'a': 0.0, 'b': 0.0, 'u': jnp.zeros(2)},
    clean=lambda params, clips: clips + params['a'],
    enlarge=enlarge,
    flow=lambda params, frames, others: jnp.broadcast_to(
      params['u'], (*frames.shape[:-1], 2)
    ),
    scale=4,
  )


def _batch():
  hr = jax.random.uniform(jax.random.key(0), (2, 3, 32, 32, 3))
  lr = image.resize(hr, 8, 8, method='area')
  flow = np.full((2, 2, 8, 8, 2), np.nan)
  flow[1] = (3.0, -4.0)
  return {'lr': lr, 'hr': hr, 'flow': jnp.asarray(flow, jnp.float32)}


def _loss(params, **weights):
  network = video_sr.learning(_toy(), **weights)
  start = _toy().init(None)
  return network.loss(start | params, None, _batch())


def test_each_weight_counts_its_own_error():
  total, scalars = _loss(
    {'a': 0.25, 'b': -0.25}, charbonnier=2.0, clean=3.0, flow=0.5
  )
  batch = _batch()
  smooth = jnp.repeat(jnp.repeat(batch['lr'], 4, axis=-3), 4, axis=-2)
  expected = jnp.mean(jnp.abs(smooth - batch['hr']))
  assert scalars['charbonnier'] == pytest.approx(float(expected), rel=1e-4)
  assert scalars['clean'] == pytest.approx(0.25, rel=1e-5)
  assert scalars['flow'] == pytest.approx(5.0, rel=1e-5)
  parts = 2 * scalars['charbonnier'] + 0.75 + 2.5
  assert total == pytest.approx(float(parts), rel=1e-5)


def test_small_errors_count_squared_and_large_ones_as_they_are():
  """sqrt(d² + e²) - e is d² / 2e where d is small, |d| - e where large."""
  values = [
    float(_loss({'b': 0.0}, charbonnier=1.0, eps=eps)[0])
    for eps in (1e-6, 10.0)
  ]
  batch = _batch()
  smooth = jnp.repeat(jnp.repeat(batch['lr'], 4, axis=-3), 4, axis=-2)
  gap = smooth - batch['hr']
  assert values[0] == pytest.approx(float(jnp.mean(jnp.abs(gap))), rel=1e-4)
  assert values[1] == pytest.approx(float(jnp.mean(gap**2)) / 20, rel=1e-2)


def test_unknown_flow_teaches_nothing_and_spoils_nothing():
  network = video_sr.learning(_toy(), flow=1.0)
  grads = jax.grad(lambda p, b: network.loss(p, None, b)[0])
  found = grads(_toy().init(None), _batch())
  # away from the true flow, (3, -4) / 5
  np.testing.assert_allclose(found['u'], [-0.6, 0.8], atol=1e-6)
  batch = _batch()
  batch['flow'] = jnp.full_like(batch['flow'], jnp.nan)
  found = grads(_toy().init(None), batch)
  np.testing.assert_array_equal(found['u'], 0)
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_a_clip_that_is_met_exactly_stops_nothing():
  network = video_sr.learning(_toy())
  black = jax.tree.map(jnp.zeros_like, _batch())
  _, scalars = network.loss(_toy().init(None), None, black)
  assert scalars['psnr'] == pytest.approx(120, abs=0.1)


def test_a_network_learns_a_clip_by_heart():
  network = video_sr.learning(
    basicvsr.make(
      channels=4,
      num_blocks=1,
      fine_channels=4,
      flow_channels=(2,),
      flow_levels=2,
    ),
    flow=0.1,
  )
  batch = jax.tree.map(lambda x: x[:, :2], _batch())
  batch['flow'] = batch['flow'][:, :1]
  optimizer = optax.adam(3e-3)
  params = network.init(jax.random.key(0))

  @jax.jit
  def step(params, state):
    value, grads = jax.value_and_grad(
      lambda p: network.loss(p, None, batch)[0]
    )(params)
    updates, state = optimizer.update(grads, state)
    return optax.apply_updates(params, updates), state, value

  state, losses = optimizer.init(params), []
  for _ in range(40):
    params, state, value = step(params, state)
    losses.append(float(value))
  assert losses[-1] < 0.9 * losses[0]


def test_losses_that_teach_nothing_are_refused():
  for weights in ({'charbonnier': 0.0}, {'clean': -1.0}):
    with pytest.raises(ValueError, match='at least 0, and one is more'):
      video_sr.learning(_toy(), **weights)
