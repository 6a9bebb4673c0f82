"""StableSR behind the prior: its tiles as published, its file as converted."""

import os
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.convert import stablesr as stablesr_config
from sr3d_jax import diffusion, latent_views, samplers
from sr3d_jax.io import bundles, paths, weights
from sr3d_jax.models import autoencoder, stablesr, stablesr_latents
from sr3d_jax.priors import diffusion as prior_module
from sr3d_jax.types import Views

UNET = {
  'block_out_channels': (32, 64, 128, 128),
  'head_channels': 16,
  'cross_attention_dim': 64,
  'map_channels': 32,
}
ENCODER = {'block_out_channels': (32, 32, 64, 64), 'map_channels': 32}
CODER = {
  'channels': (8, 8, 8, 8),
  'num_blocks': 1,
  'num_groups': 4,
  'fusion_levels': (1, 2),
  'fusion_growth': 4,
}
# Shared, so that one compilation of the UNet serves both tests.
TILES = {
  'tile': 64, 'overlap': 32, 'is_published': True, 'rows_per_device': 4,
}  # fmt: skip
KEY = jax.random.key(0)


def _model():
  return stablesr_latents.make(
    autoencoder.make(**CODER),
    stablesr.make_unet(**UNET),
    stablesr.make_encoder(**ENCODER),
    diffusion.scaled_linear(),
  )


def _published(part, network, names):
  """Parameters of the published code's small run."""
  with np.load(paths.data_path('fixtures/stablesr_small.npz')) as file:
    checkpoint = {
      key.removeprefix(f'w/{part}.'): file[key].astype(np.float32)
      for key in file.files
      if key.startswith(f'w/{part}.')
    }
  return weights.convert(checkpoint, network.init, names)


@pytest.mark.skipif(
  not os.environ.get(paths.VARIABLE), reason='needs the fixtures in SR3D_DATA'
)
def test_a_step_over_tiles_is_the_published_one():
  """Its own error against float64 is 1e-5."""
  with np.load(paths.data_path('fixtures/tile_blend.npz')) as file:
    x, coarse, noise, text = (
      np.moveaxis(file[f'in/{name}'], 1, -1)
      for name in ('x', 'z_lr', 'step/noise', 'step/context')
    )
    x0, after = (
      np.moveaxis(file[f'out/step_small/{name}'], 1, -1)
      for name in ('x0_hat', 'x_prev')
    )
  model = _model()
  params = {
    'unet': _published('unet', stablesr.make_unet(**UNET), stablesr.UNET_NAMES),
    'encoder': _published(
      'structcond', stablesr.make_encoder(**ENCODER), stablesr.ENCODER_NAMES
    ),
    'text': {'embedding': np.moveaxis(text, -1, 1)},  # it has no channels
  }
  parts = latent_views.make(model, scale=4.0, **TILES)
  found = parts.estimate(params, x, 333, coarse)
  np.testing.assert_allclose(found, x0, atol=1e-4)
  steps = diffusion.timesteps(4, spacing='strided')
  sampler = samplers.ddpm(model.alpha_bars, steps)
  state = samplers.State(x, ())
  moved = sampler.step(state, jnp.asarray(found), None, noise, 2)
  np.testing.assert_allclose(moved.x, after, atol=1e-4)


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
  return _write(tmp_path_factory.mktemp('bundle') / 'stablesr.safetensors')


def _write(path, **more):
  """A file as `experiments.convert_weights` writes it, of narrow networks."""
  rng = np.random.default_rng(0)
  networks = {
    'unet': (stablesr.make_unet, UNET),
    'encoder': (stablesr.make_encoder, ENCODER),
    'autoencoder': (autoencoder.make, CODER),
    **more,
  }
  parts = {}
  for part, (make, sizes) in networks.items():
    shapes = weights.flatten(jax.eval_shape(make(**sizes).init, KEY))
    parts[part] = {
      name: 0.1 * rng.standard_normal(shape.shape, np.float32)
      for name, shape in shapes.items()
    }
  embedding = rng.standard_normal((1, 77, 64), np.float32)
  kinds = stablesr_config.get_config().parts
  said = {
    part: {'network': kinds[part].network, 'sizes': sizes}
    for part, (_, sizes) in networks.items()
  }
  bundles.save(
    path, parts | {'text': {'embedding': embedding}}, {'parts': said}
  )
  return path


def test_a_converted_file_runs_tile_by_tile(bundle):
  prior = prior_module.make(
    scale=4.0, weights=str(bundle), num_steps=2, timesteps='strided', **TILES
  )
  params = prior.init(KEY)
  assert set(params) == {'unet', 'encoder', 'autoencoder', 'text'}
  photos = np.random.default_rng(1).random((1, 128, 132, 3), np.float32)
  state = prior.begin(params, KEY, Views(images=photos, cameras=None))
  assert state.posterior[0].shape == (1, 68, 68, 4)
  state, images = prior.step(params, KEY, state, 0)
  state = prior.inject(params, state, images)
  _, images = prior.step(params, KEY, state, 1)
  assert images.shape == (1, 512, 528, 3)
  assert np.isfinite(images).all()


def test_an_encoder_of_its_own_gives_the_latents(tmp_path):
  coder = {**CODER, 'fusion_levels': ()}
  path = _write(
    tmp_path / 'two.safetensors', first_stage=(autoencoder.make, coder)
  )
  model, init = prior_module.load_bundle(path)
  params = init(KEY)
  images = jax.random.uniform(KEY, (1, 32, 32, 3))
  posterior, features = model.encode(params, images)
  first, _ = autoencoder.make(**coder).encode(params['first_stage'], images)
  second, seen = autoencoder.make(**CODER).encode(params['autoencoder'], images)
  np.testing.assert_array_equal(posterior.mean, first.mean)
  assert jnp.abs(posterior.mean - second.mean).max() > 1e-3
  jax.tree.map(np.testing.assert_array_equal, features, seen)


def test_half_precision_decodes_to_about_the_same(bundle):
  model, init = prior_module.load_bundle(bundle)
  half, half_init = prior_module.load_bundle(bundle, 'bfloat16')
  params, half_params = init(KEY), half_init(KEY)
  kinds = {x.dtype for x in jax.tree.leaves(half_params['unet'])}
  assert kinds == {jnp.dtype('bfloat16')}
  images = jax.random.uniform(KEY, (1, 32, 48, 3))
  posterior, features = model.encode(params, images)
  _, half_features = half.encode(half_params, images)
  assert jax.tree.leaves(half_features)[0].dtype == jnp.bfloat16
  exact = model.decode(params, posterior.mean, features, 0.5)
  found = half.decode(half_params, posterior.mean, half_features, 0.5)
  assert found.dtype == jnp.float32
  psnr = -10 * jnp.log10(jnp.mean(jnp.square(found - exact)))
  assert 45 < psnr < 90


@pytest.mark.parametrize('kind', diffusion.KINDS)
def test_the_estimate_is_read_off_what_the_denoiser_predicts(kind):
  """A denoiser that knows the noise finds the clean latents."""
  rng = np.random.default_rng(2)
  clean, noise = rng.standard_normal((2, 2, 4, 4, 4), np.float32)
  alpha_bars = diffusion.scaled_linear()
  t = np.array([100, 700])
  said = diffusion.target(kind, clean, noise, alpha_bars[t])
  model = stablesr_latents.make(
    SimpleNamespace(factor=8),
    SimpleNamespace(apply=lambda params, *inputs, maps: said),
    SimpleNamespace(apply=lambda params, latents, t: {}),
    alpha_bars,
    kind=kind,
  )
  x = diffusion.add_noise(clean, noise, alpha_bars[t])
  params = {'unet': {}, 'encoder': {}, 'text': {'embedding': np.zeros((1, 1))}}
  found = model.estimate(params, x, t, clean)
  np.testing.assert_allclose(found, clean, atol=2e-5)


def test_a_file_may_say_what_its_denoiser_predicts(bundle, monkeypatch):
  kinds = []
  monkeypatch.setattr(
    prior_module.stablesr_latents,
    'make',
    lambda **options: kinds.append(options['kind']),
  )
  prior_module.load_bundle(bundle)
  opened = bundles.load(bundle)
  said = opened._replace(manifest=opened.manifest | {'prediction': 'v'})
  monkeypatch.setattr(bundles, 'load', lambda path: said)
  prior_module.load_bundle(bundle)
  assert kinds == ['eps', 'v']


def test_an_unknown_prediction_is_refused():
  with pytest.raises(ValueError, match="one of eps, v, x0, got 'noise'"):
    stablesr_latents.make(None, None, None, diffusion.cosine(), kind='noise')


@pytest.mark.parametrize(
  'networks, has',
  [
    (
      {
        'unet': 'unet',
        'encoder': 'stablesr_encoder',
        'autoencoder': 'autoencoder_ldm',
      },
      r'autoencoder \(autoencoder_ldm\), encoder \(stablesr_encoder\), unet '
      r'\(unet\)',
    ),
    ({'network': 'imdn'}, r'network \(imdn\)'),
    ({'unet': 'stablesr_unet'}, r'unet \(stablesr_unet\)'),
  ],
)
def test_a_file_of_other_networks_is_refused_by_its_parts(
  tmp_path, networks, has
):
  path = tmp_path / 'other.safetensors'
  parts = {
    part: {'network': network, 'sizes': {'in_channels': 7}}
    for part, network in networks.items()
  }
  bundles.save(path, {'a': {'b': np.zeros(1)}}, {'parts': parts})
  told = (
    rf'other\.safetensors has the parts {has}, and this prior wants '
    r'autoencoder \(autoencoder_ldm\), encoder \(stablesr_encoder\), unet '
    r'\(stablesr_unet\): convert'
  )
  with pytest.raises(ValueError, match=told):
    prior_module.load_bundle(path)


def test_weights_are_never_drawn():
  with pytest.raises(ValueError, match=r'docs/weights\.md'):
    _model().init(KEY)


def test_a_picture_below_a_tile_is_refused_where_published_code_would_err():
  parts = latent_views.make(_model(), scale=4.0, **TILES)
  with pytest.raises(ValueError, match='below a tile of 512 px'):
    parts.enlarge(np.zeros((1, 100, 132, 3), np.float32))
