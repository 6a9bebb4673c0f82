"""Denoising around the coarse picture, and how its parts are learnt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import diffusion
from sr3d_jax.models import autoencoder, latent_sr
from sr3d_jax.types import Network

RNG = np.random.default_rng(0)
ALPHA_BARS = diffusion.scaled_linear()
CODER = autoencoder.make(
  channels=(8, 8), patch=2, latent_channels=4, num_blocks=1, num_groups=None,
  mid_attention=False, scaling=1.0, fusion_levels=(0,), fusion_growth=4,
  shortcut=True,
)  # fmt: skip
SILENT = Network(  # a denoiser that has learnt nothing
  init=lambda key: {'gain': jnp.zeros(())},
  apply=lambda params, x, t: params['gain'] * x[..., : x.shape[-1] // 2],
  loss=None,
)
MODEL = latent_sr.make(CODER, SILENT, ALPHA_BARS)
PAIRS = {
  name: RNG.random((2, 16, 16, 3), np.float32) for name in ('hr', 'coarse')
}


@pytest.fixture(scope='module')
def coder_params():
  shapes = jax.eval_shape(CODER.init, jax.random.key(0))
  drawn = jax.tree.map(
    lambda x: 0.2 * RNG.standard_normal(x.shape, np.float32), shapes
  )
  # Narrow distributions, as after training.
  drawn['quant_conv']['kernel'][..., 4:] = 0
  drawn['quant_conv']['bias'][4:] = latent_sr.FIRST_LOG_VARIANCE
  return drawn


@pytest.fixture(scope='module')
def params(coder_params):
  units = latent_sr.measure_units(CODER, coder_params, [PAIRS])
  return {
    'autoencoder': coder_params,
    'unet': {'gain': jnp.zeros(())},
    'units': units,
  }


def test_a_silent_denoiser_is_the_best_linear_guess(params):
  """Of Gaussian latents about the coarse ones, at all times."""
  coarse = 3 * RNG.standard_normal((1, 100, 100, 4), np.float32)
  fine = coarse + RNG.standard_normal(coarse.shape, np.float32)
  noise = RNG.standard_normal(coarse.shape, np.float32)
  for t in (10, 300, 700, 999):
    a = ALPHA_BARS[t]
    x = diffusion.add_noise(fine, noise, a)
    guess = MODEL.estimate(params, x, np.array([t]), coarse)
    error = np.asarray(guess - fine)
    np.testing.assert_allclose(error.std(), np.sqrt(1 - a), rtol=0.02)
    # The best guess has an error that is not in what was seen.
    seen = x - np.sqrt(a) * coarse
    assert abs(np.mean(error * seen)) < 0.02


def test_latents_are_told_in_units_of_their_spread(params):
  (fine, _), _ = MODEL.encode(params, PAIRS['hr'])
  (coarse, std), _ = MODEL.encode(params, PAIRS['coarse'])
  apart = np.sqrt(np.mean((fine - coarse) ** 2, axis=(0, 1, 2)))
  np.testing.assert_allclose(apart, np.ones(4), rtol=1e-5)
  assert np.all(std > 0)
  seen = (coarse - params['units']['center']) / params['units']['size']
  np.testing.assert_allclose(seen.mean((0, 1, 2)), np.zeros(4), atol=1e-4)
  np.testing.assert_allclose(seen.std((0, 1, 2)), np.ones(4), rtol=1e-4)


def test_decoding_undoes_the_units(params, coder_params):
  (latents, _), _ = MODEL.encode(params, PAIRS['hr'])
  (plain, _), _ = CODER.encode(coder_params, PAIRS['hr'])
  np.testing.assert_allclose(
    MODEL.decode(params, latents), CODER.decode(coder_params, plain), atol=1e-4
  )


def test_the_loss_without_knowledge_is_1(params):
  """So it tells what share of the error the network has explained."""
  frozen = {name: params[name] for name in ('autoencoder', 'units')}
  learner = latent_sr.denoising(MODEL, frozen)
  keys = jax.random.split(jax.random.key(0), 20)
  loss = jax.jit(lambda key: learner.loss({'unet': params['unet']}, key, PAIRS))
  losses = [float(loss(key)[0]) for key in keys]
  np.testing.assert_allclose(np.mean(losses), 1.0, atol=0.1)


def test_a_regression_is_shown_no_noise(params):
  frozen = {name: params[name] for name in ('autoencoder', 'units')}
  learner = latent_sr.denoising(MODEL, frozen, is_regression=True)
  (fine, _), _ = MODEL.encode(params, PAIRS['hr'])
  (coarse, _), _ = MODEL.encode(params, PAIRS['coarse'])
  value, _ = learner.loss({'unet': params['unet']}, jax.random.key(0), PAIRS)
  wanted = np.mean((fine - coarse) ** 2) / (1 - ALPHA_BARS[-1])
  np.testing.assert_allclose(value, wanted, rtol=0.05)


def test_the_autoencoder_starts_as_principal_components():
  smooth = np.repeat(np.repeat(PAIRS['hr'], 4, axis=1), 4, axis=2)
  components = latent_sr.principal_components(smooth, CODER.factor, 4)
  learner = latent_sr.autoencoding(CODER, kl_weight=1e-5, components=components)
  params = learner.init(jax.random.key(0, impl='unsafe_rbg'))
  # Flat squares vary in three numbers, which four components hold.
  np.testing.assert_allclose(learner.apply(params, smooth), smooth, atol=1e-5)
  _, scalars = learner.loss(params, jax.random.key(0), {'hr': smooth})
  assert scalars['l1'] < 0.01


def test_components_are_orthonormal_and_sorted():
  pictures = RNG.random((3, 24, 24, 3), np.float32)
  mean, basis = latent_sr.principal_components(pictures, 4, 10)
  np.testing.assert_allclose(basis.T @ basis, np.eye(10), atol=1e-5)
  assert mean.shape == (48,)
  _, fewer = latent_sr.principal_components(pictures, 4, 3)
  np.testing.assert_allclose(np.abs(fewer), np.abs(basis[:, :3]), atol=1e-6)


def test_fusion_is_all_that_the_last_part_changes(params):
  learner = latent_sr.fusing(MODEL, params)
  start = learner.init(jax.random.key(0))
  grads, _ = jax.grad(learner.loss, has_aux=True)(
    start, jax.random.key(0), PAIRS
  )
  fusion = grads['autoencoder']['decoder']['fusion_layer_0']
  assert all(np.abs(x).max() > 0 for x in jax.tree.leaves(fusion))
  assert set(start) == {'autoencoder'}
