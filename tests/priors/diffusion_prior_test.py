"""The diffusion prior: the plain sampler, unless it is told something."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import noise_fields, samplers
from sr3d_jax.diffusion import timesteps
from sr3d_jax.priors import diffusion
from sr3d_jax.types import Camera, Views

KEY = jax.random.key(3)
PHOTOS = np.random.default_rng(0).random((2, 8, 9, 3), np.float32)
VIEWS = Views(images=jnp.asarray(PHOTOS), cameras=None)


def _make(**options):
  return diffusion.make(
    **diffusion.TINY | {'num_steps': 3, 'color': 'none'} | options
  )


def weights():
  """Random weights; drawn by NumPy, as networks are slow to initialise."""
  rng = np.random.default_rng(1)
  shapes = jax.eval_shape(_make().init, KEY)
  drawn = jax.tree.map(
    lambda x: 0.2 * rng.standard_normal(x.shape, np.float32), shapes
  )
  ones = np.ones(4, np.float32)
  return drawn | {'units': {'spread': ones, 'center': 0 * ones, 'size': ones}}


@pytest.fixture(scope='module')
def params():
  return weights()


def _run(prior, params, inject=None, views=VIEWS):
  """The images of all steps and the states after them."""
  state = prior.begin(params, KEY, views)
  shown, states = [], []
  for i in range(prior.num_steps):
    state, images = prior.step(params, jax.random.fold_in(KEY, i), state, i)
    shown.append(np.asarray(images))
    states.append(state)
    if inject is not None:
      state = prior.inject(params, state, inject(images))
  return shown, states


@pytest.mark.parametrize('update', ['eps', 'implied'])
def test_never_injected_it_is_the_plain_sampler(params, update):
  prior = _make(update=update)
  shown, states = _run(prior, params)
  _, net = diffusion.build(**diffusion.TINY['sizes'])
  steps = timesteps(3, spacing='trailing')
  sampler = samplers.ddim(net.alpha_bars, steps, eta=1.0)
  first = prior.begin(params, KEY, VIEWS)
  coarse, state = first.posterior[0], first.sampler
  for i, t in enumerate(steps):
    x = sampler.model_input(state, i)
    estimate = net.estimate(params, x, np.full(2, t), coarse)
    np.testing.assert_allclose(estimate, states[i].believed[0], atol=2e-4)
    key = jax.random.fold_in(KEY, i + 1)
    noise = jax.random.normal(key, x.shape)
    state = sampler.step(state, estimate, None, noise, i)
  images = net.decode(params, estimate, first.features, 0.5)[:, :32, :36]
  np.testing.assert_allclose(shown[-1], np.clip(images, 0, 1), atol=2e-4)


def test_all_steps_may_be_one(params):
  steps, _ = _run(_make(eta=0.0), params)
  once, _ = _run(_make(eta=0.0, at_once=True), params)
  assert len(once) == 1
  np.testing.assert_array_equal(once[0], steps[-1])


def test_what_is_injected_is_believed(params):
  prior = _make(eta=0.0)
  gray = jnp.full((2, 32, 36, 3), 0.5)
  _, plain = _run(prior, params)
  _, told = _run(prior, params, inject=lambda images: gray)
  _, net = diffusion.build(**diffusion.TINY['sizes'])
  (latents, _), _ = net.encode(params, gray)
  a = prior_levels(net)
  eps = told[0].believed[1]
  wanted = np.sqrt(a[1]) * latents + np.sqrt(1 - a[1]) * eps
  np.testing.assert_allclose(told[1].sampler.x, wanted, atol=1e-4)
  assert np.abs(plain[1].sampler.x - told[1].sampler.x).max() > 0.01


def prior_levels(net):
  """The shares of the signal at the three steps."""
  return np.asarray(net.alpha_bars)[timesteps(3, spacing='trailing')]


def test_a_stale_state_moves_all_views_on_from_the_last_one(params):
  same = Views(images=jnp.stack([VIEWS.images[0]] * 2), cameras=None)
  gray = jnp.full((2, 32, 36, 3), 0.5)
  options = {'eta': 0.0, 'update': 'implied'}
  for state, is_same in (('stale', True), ('carried', False)):
    prior = _make(state=state, **options)
    _, states = _run(prior, params, lambda images: gray, same)
    assert not np.allclose(*states[0].sampler.x)
    assert np.allclose(*states[1].sampler.x, atol=1e-5) == is_same
    first = states[0].first.x
    assert np.array_equal(states[2].first.x, first)


def test_shared_noise_starts_all_views_alike(params):
  same = Views(images=jnp.stack([VIEWS.images[0]] * 2), cameras=None)
  shared = _make(noise='shared').begin(params, KEY, same)
  np.testing.assert_array_equal(*shared.sampler.x)
  alone = _make(noise='independent').begin(params, KEY, same)
  assert not np.allclose(*alone.sampler.x)


def test_noise_of_a_scene_waits_for_the_scene(params, monkeypatch):
  asked = []

  def field(key, gaussians, cameras, channels):
    asked.append((gaussians, cameras.width, cameras.height, cameras.focal[0]))
    return np.full((2, cameras.height, cameras.width, channels), 0.5)

  monkeypatch.setitem(noise_fields.FIELDS, 'warped', field)
  prior = _make(noise='warped', scale=2.5)
  state = prior.begin(params, KEY, VIEWS)
  with pytest.raises(ValueError, match="noise 'warped' belongs to a scene"):
    prior.step(params, KEY, state, 0)
  cameras = Camera(
    world_to_cam=jnp.stack([jnp.eye(4)] * 2),
    focal=jnp.full((2, 2), 8.0),
    center=jnp.full((2, 2), 10.0),
    width=22,
    height=20,
  )
  state = prior.couple(KEY, state, 'scene', cameras)
  # The pictures are padded to 24 columns; a latent has 4 x 4 of their pixels.
  ((scene, width, height, focal),) = asked
  assert (scene, width, height) == ('scene', 6, 5)
  np.testing.assert_allclose(focal, 2.0)
  _, net = diffusion.build(**diffusion.TINY['sizes'])
  a = prior_levels(net)[0]
  wanted = np.sqrt(a) * state.posterior[0] + 0.5 * np.sqrt(1 - a)
  np.testing.assert_allclose(state.sampler.x, wanted, atol=1e-5)
  assert _make(noise='shared').couple is None


def test_latents_that_are_drawn_differ_from_their_mean(params):
  def start(encode):
    prior = _make(encode=encode)
    return _run(prior, params)[1][0].believed[0]

  assert np.abs(start('mode') - start('sample')).max() > 1e-6
  np.testing.assert_array_equal(start('sample'), start('sample'))


def test_truncated_images_have_8_bits(params):
  (shown, *_), _ = _run(_make(quantise='trunc', num_steps=2), params)
  np.testing.assert_allclose(255 * shown, np.round(255 * shown), atol=1e-3)
  (plain, *_), _ = _run(_make(num_steps=2), params)
  assert np.all(plain - shown >= -1e-6) and np.all(plain - shown < 1 / 254)


def test_fidelity_may_follow_the_steps(params):
  (a, b, _), _ = _run(_make(fidelity=(1.0, 0.0, 0.0)), params)
  (c, d, _), _ = _run(_make(fidelity=0.0), params)
  assert np.abs(a - c).max() > 1e-6
  np.testing.assert_array_equal(b, d)


def test_timesteps_may_be_given(params):
  prior = _make(timesteps=(900, 100), num_steps=4)
  assert prior.num_steps == 2  # as many as there are
  assert len(_run(prior, params)[0]) == 2


@pytest.mark.parametrize(
  'options, words',
  [
    ({'state': 'fresh'}, 'state must be one of carried, stale'),
    ({'color': 'gray'}, 'color must be one of none, wavelet, adain'),
    ({'scale': 0.25}, 'did you mean 4'),
    ({'timesteps': (1, 2)}, 'timesteps must fall'),
    ({'fidelity': (0.5, 0.5)}, 'one for each of 3 steps'),
    ({'fidelity': (0.5, 1.5, 1.0)}, r'fidelity must lie in 0\.\.1'),
    ({'fidelity': float('nan')}, r'fidelity must lie .* got nan'),
    ({'eta': -0.5}, r'eta must lie in 0\.\.1, .* got -0\.5'),
    ({'eta': 1.5}, r'eta must lie in 0\.\.1'),
    ({'back_projections': -1}, 'back_projections must be 0 or more, got -1'),
    ({'tile': 0}, 'tile must be 1 latent or more, or None, got 0'),
    ({'tile': 8, 'overlap': 8}, 'below tile=8, got 8'),
    ({'tile': 8, 'overlap': -1}, 'overlap must be 0 or more, .* got -1'),
    ({'patch': 30}, 'a multiple of 4 px, which are one latent, got 30'),
    ({'patch': 0}, 'patch must be None or a multiple of 4 px'),
    ({'rows_per_device': 0}, 'rows_per_device must be 1 or more, got 0'),
    ({'dtype': 'float16'}, "one of float32, bfloat16, got 'float16'"),
    ({'weights': 'a/b.ckpt'}, r'b\.ckpt is a checkpoint .* docs/weights\.md'),
    ({'weights': 'b.pth'}, 'convert it first'),
    ({'weights': 'shiped'}, "or .safetensors, got 'shiped'"),
  ],
)
def test_what_it_cannot_do_is_said(options, words):
  with pytest.raises(ValueError, match=words):
    _make(**options)


def test_half_precision_finds_about_the_same_latents(params):
  whole = _make().begin(params, KEY, VIEWS)
  half = _make(dtype='bfloat16').begin(params, KEY, VIEWS)
  (features,) = jax.tree.leaves(half.features)
  assert features.dtype == jnp.bfloat16
  mean, found = whole.posterior[0], half.posterior[0]
  assert found.dtype == np.float32
  # a layer rounds by 2^-9 of what it has
  error = np.sqrt(np.mean(np.square(found - mean))) / np.std(mean)
  assert 0 < error < 0.02


EIGHT = """
import numpy as np, jax
from tests.priors import diffusion_prior_test as t
assert jax.device_count() == 8
shown, _ = t._run(t._make(num_steps=1), t.weights())
np.save('{path}', shown[-1])
"""


def test_eight_devices_make_the_same_images_as_one(params, tmp_path):
  path = tmp_path / 'images.npy'
  flags = '--xla_force_host_platform_device_count=8'
  subprocess.run(
    [sys.executable, '-c', EIGHT.format(path=path)],
    env={**os.environ, 'XLA_FLAGS': flags},
    cwd=pathlib.Path(__file__).parents[2],
    check=True,
  )
  shown, _ = _run(_make(num_steps=1), params)
  np.testing.assert_allclose(np.load(path), shown[-1], atol=5e-5)


def test_each_injection_draws_its_own_latents(params):
  prior = _make(encode='sample')
  state = prior.begin(params, KEY, VIEWS)
  drawn = []
  for i in range(2):
    state, images = prior.step(params, KEY, state, i)
    told = prior.inject(params, state, np.full_like(images, 0.5))
    drawn.append(told.believed[0])
  assert np.abs(drawn[0] - drawn[1]).max() > 1e-3


def test_the_state_is_on_the_host(params):
  state = dataclasses.asdict(_run(_make(num_steps=2), params)[1][-1])
  del state['key'], state['index']
  assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(state))
