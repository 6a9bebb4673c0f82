"""The autoencoder against runs of diffusers and of StableSR.

Where the data has them; elsewhere narrow ones return what they did when these
runs were last reproduced.
"""

import os

import autoencoder_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.io import diffusers_folder, paths, weights
from sr3d_jax.models import autoencoder, autoencoder_config

KEY = jax.random.key(0)
SCALING = 0.18215
CONFIG = {
  '_class_name': 'AutoencoderKL',
  'block_out_channels': [8, 8],
  'down_block_types': ['DownEncoderBlock2D'] * 2,
  'up_block_types': ['UpDecoderBlock2D'] * 2,
  'norm_num_groups': 4,
  'force_upcast': True,
}


def _fixture(name):
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  return paths.data_path(f'fixtures/{name}')


def _load(path):
  """Arrays of a file, pictures with channels last."""
  with np.load(path) as file:
    arrays = {name: file[name] for name in file.files}
  return {
    name: np.moveaxis(a, 1, -1) if a.ndim == 4 and name[0] != 'w' else a
    for name, a in arrays.items()
  }


@pytest.fixture(scope='module', params=['vae_f8_like', 'vae_f4_like'])
def diffusers(request):
  """The network of a folder as pure functions of arrays, and its run."""
  folder = _fixture(f'diffusers_tiny/{request.param}')
  config = diffusers_folder.config(folder, ['AutoencoderKL'])
  options = autoencoder_config.options(config)
  network = autoencoder.make(**options)
  arrays, _ = diffusers_folder.load(folder)
  names = autoencoder.diffusers_names(len(options['channels']))
  params = weights.convert(arrays, network.init, names)
  return network, params, options['scaling'], _load(folder / 'io.npz')


def test_latents_are_those_of_diffusers(diffusers):
  network, params, scaling, run = diffusers
  images = (run['in/image'] + 1) / 2
  mean, std = jax.jit(lambda p: network.encode(p, images)[0])(params)
  np.testing.assert_allclose(mean / scaling, run['out/mean'], atol=2e-5)
  drawn = (mean + std * run['in/noise']) / scaling
  np.testing.assert_allclose(drawn, run['out/z_sample'], atol=2e-5)


def test_pictures_are_those_of_diffusers(diffusers):
  network, params, scaling, run = diffusers
  latents = run['in/z_decode'] * scaling
  found = jax.jit(lambda p: network.decode(p, latents))(params)
  np.testing.assert_allclose(2 * found - 1, run['out/decoded'], atol=2e-5)


@pytest.fixture(scope='module')
def stablesr():
  run = _load(_fixture('cfw_small.npz'))
  network = autoencoder.make(channels=(32, 64, 128, 128), fusion_levels=(1, 2))
  checkpoint = {n[2:]: a for n, a in run.items() if n.startswith('w/')}
  params = weights.convert(checkpoint, network.init, autoencoder.LDM_NAMES)
  return jax.jit(network.encode), jax.jit(network.decode), params, run


@pytest.mark.parametrize('case', ['sq', 'rect'])
def test_pictures_are_those_of_stablesr_at_each_fidelity(stablesr, case):
  encode, decode, params, run = stablesr
  (mean, _), features = encode(params, (run[f'in/{case}/image'] + 1) / 2)
  expected = run[f'out/{case}/posterior_mean']
  np.testing.assert_allclose(mean / SCALING, expected, atol=1e-4)
  if case == 'sq':
    for level in (1, 2):
      expected = run[f'out/sq/enc_fea_level{level}']
      np.testing.assert_allclose(features[level], expected, atol=1e-4)
  latents = run[f'in/{case}/z_decode'] * SCALING
  for fidelity in (0.0, 0.5, 1.0):
    found = 2 * decode(params, latents, features, fidelity) - 1
    expected = run[f'out/{case}/decoded_w{fidelity}']
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_no_fidelity_is_the_plain_decoder(stablesr):
  encode, decode, params, run = stablesr
  latents = run['in/sq/z_decode'] * SCALING
  _, features = encode(params, (run['in/sq/image'] + 1) / 2)
  fused = decode(params, latents, features, 0.0)
  np.testing.assert_array_equal(fused, decode(params, latents))


def test_a_variance_is_bounded_as_published():
  run = _load(_fixture('cfw_small.npz'))
  network = autoencoder.make(
    channels=(2,), latent_channels=1, num_blocks=1, num_groups=1, scaling=1.0
  )
  shapes = jax.eval_shape(network.init, KEY)
  params = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes)
  encode = jax.jit(network.encode)
  for moments, std in zip(run['in/clamp/moments'], run['out/clamp/std']):
    params['quant_conv'] = {
      'kernel': jnp.zeros((1, 1, 2, 2)), 'bias': moments.ravel()
    }  # fmt: skip
    found, _ = encode(params, jnp.zeros((1, 1, 1, 3)))
    np.testing.assert_allclose(found.std.ravel(), std.ravel(), rtol=1e-6)


@pytest.mark.parametrize('case', autoencoder_cases.CASES)
def test_narrow_ones_return_what_they_did_when_that_held(case):
  found = autoencoder_cases.run(case)
  with np.load(autoencoder_cases.OUTPUTS) as expected:
    for name, array in found.items():
      np.testing.assert_allclose(
        array, expected[f'{case}/{name}'], atol=2e-5, err_msg=name
      )


SMALL = dict(
  channels=(8, 8, 8), num_groups=4, num_blocks=1, fusion_growth=4,
  fusion_levels=(1,),
)  # fmt: skip


def _small(dtype):
  """A narrow network, parameters drawn by NumPy, and a picture."""
  network = autoencoder.make(**SMALL, dtype=dtype)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: 0.1 * rng.standard_normal(x.shape, np.float32),
    jax.eval_shape(network.init, KEY),
  )
  return network, params, rng.random((1, 16, 24, 3), np.float32)


def test_only_features_that_the_decoder_reads_are_kept():
  network, params, images = _small('float32')
  _, features = jax.eval_shape(network.encode, params, images)
  assert {n: a.shape for n, a in features.items()} == {1: (1, 8, 12, 8)}
  plain = autoencoder.make(**SMALL | {'fusion_levels': ()})
  _, features = jax.eval_shape(plain.encode, params, images)
  assert features == {}


def test_half_precision_stays_so_in_every_layer_that_is_wide():
  network, params, images = _small('bfloat16')
  posterior, features = jax.eval_shape(network.encode, params, images)
  assert features[1].dtype == jnp.bfloat16
  fidelity = jnp.ones((1, 1, 1, 1))
  jaxpr = jax.make_jaxpr(network.decode)(
    params, posterior.mean, features, fidelity
  )
  convolved = [
    equation.outvars[0].aval
    for equation in jaxpr.jaxpr.eqns
    if equation.primitive.name == 'conv_general_dilated'
  ]
  # but where latents come in
  (whole,) = [x for x in convolved if x.dtype == jnp.float32]
  assert whole.shape == posterior.mean.shape
  assert jaxpr.out_avals[0].dtype == jnp.float32


@pytest.mark.parametrize(
  'options, whole, decoder',
  [
    ({}, 83_653_863, 49_490_179),
    ({'fusion_levels': (1, 2)}, 128_047_591, 93_883_907),
  ],
)
def test_it_holds_as_many_numbers_as_published(options, whole, decoder):
  params = jax.eval_shape(autoencoder.make(**options).init, KEY)
  count = lambda tree: sum(x.size for x in jax.tree.leaves(tree))  # noqa: E731
  assert (count(params), count(params['decoder'])) == (whole, decoder)
  assert count(params['encoder']) == 34_163_592
  assert count(params['quant_conv']) + count(params['post_quant_conv']) == 92


def test_sizes_are_those_of_the_config():
  options = autoencoder_config.options(CONFIG)
  assert options == {
    'channels': (8, 8),
    'latent_channels': 4,
    'num_blocks': 1,
    'num_groups': 4,
    'mid_attention': True,
    'scaling': SCALING,
  }
  # a keyword of `make` each
  autoencoder.make(**options)


@pytest.mark.parametrize(
  'change, told',
  [
    ({'act_fn': 'gelu'}, "act_fn = 'gelu', .* only does 'silu'"),
    ({'shift_factor': 0.1}, 'shift_factor = 0.1, .* only does None'),
    ({'use_quant_conv': False}, 'use_quant_conv = False, .* does True'),
    ({'depth': 3}, 'depth = 3, and this autoencoder knows no such key'),
    (
      {'down_block_types': ['DownEncoderBlock2D', 'AttnDownEncoderBlock2D']},
      'down_block_types = .* has 2 times DownEncoderBlock2D',
    ),
    ({'block_out_channels': [8]}, 'down_block_types = .* 1 times'),
  ],
)
def test_a_config_that_asks_for_more_is_refused(change, told):
  with pytest.raises(ValueError, match=f'unsupported value: .* {told}'):
    autoencoder_config.options(CONFIG | change)


def test_what_does_not_fit_is_refused():
  network = autoencoder.make(channels=(4, 4), num_groups=2, num_blocks=1)
  images = jax.ShapeDtypeStruct((1, 6, 7, 3), jnp.float32)
  params = jax.eval_shape(network.init, KEY)
  with pytest.raises(ValueError, match='multiples of 2 px, got 6 x 7: pad'):
    jax.eval_shape(network.encode, params, images)
  with pytest.raises(ValueError, match=r'must be 0 to 3, got \(1, 4\)'):
    autoencoder.make(fusion_levels=(1, 4))
