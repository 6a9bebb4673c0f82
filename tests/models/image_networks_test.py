"""Ported networks against PyTorch (tests/fixtures/image_networks/make.py)."""

import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.io import pth, weights
from sr3d_jax.models import (
  blocks,
  compact,
  edsr,
  imdn,
  pan,
  rlfn,
  rrdbnet,
  swinir,
)

FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures' / 'image_networks'
SWINIR = dict(channels=6, num_groups=1, num_blocks=2, num_heads=2, window=4)
NARROW = {
  'rlfn': (
    rlfn,
    dict(channels=4, middle_channels=6, attention_channels=4, num_blocks=1),
  ),
  'imdn': (imdn, dict(channels=16, num_blocks=1)),
  'pan': (pan, dict(channels=8, fine_channels=6, num_blocks=2)),
  'edsr': (edsr, dict(scale=2, channels=4, num_blocks=1)),
  'rrdbnet': (rrdbnet, dict(scale=2, channels=4, num_blocks=1, growth=2)),
  'swinir_light': (
    swinir,
    dict(scale=2, upsampler='pixelshuffledirect', **SWINIR),
  ),
  'swinir_classical': (swinir, dict(up_channels=4, **SWINIR)),
  'swinir_real': (
    swinir,
    dict(upsampler='nearest+conv', up_channels=4, **SWINIR),
  ),
}
SECTIONS = {'rrdbnet': 'params_ema', 'swinir_light': 'params'}


@pytest.fixture(scope='module', params=NARROW)
def ported(request):
  name = request.param
  module, options = NARROW[name]
  network = module.make(**options)
  checkpoint = pth.load(FIXTURES / f'{name}.pth', section=SECTIONS.get(name))
  constants = getattr(module, 'CONSTANTS', ())
  params = weights.convert(checkpoint, network.init, module.NAMES, constants)
  with np.load(FIXTURES / 'io.npz') as arrays:
    network = network._replace(apply=jax.jit(network.apply))
    return network, params, arrays['images'], arrays[name]


def test_ported_networks_compute_what_pytorch_does(ported):
  network, params, images, expected = ported
  found = network.apply(params, images)
  scale = found.shape[1] // 23
  assert found.shape == (1, scale * 23, scale * 18, 3)
  step = math.ceil(found.shape[1] / expected.shape[1])
  # float32 sums of a hundred terms, in another order
  np.testing.assert_allclose(
    found[:, ::step, ::step], expected, atol=2e-6, rtol=1e-5
  )


def test_a_row_alone_equals_that_row_in_a_batch(ported):
  network, params, images, _ = ported
  batch = jnp.concatenate([images[:, ::-1], images])
  together = network.apply(params, batch)
  alone = network.apply(params, jnp.asarray(images))
  np.testing.assert_allclose(together[1:], alone, atol=1e-6)


# those with roots, gates or norms
@pytest.mark.parametrize(
  'ported', ['rlfn', 'imdn', 'pan', 'swinir_light'], indirect=True
)
def test_gradients_are_finite_on_a_flat_image(ported):
  network, params, images, _ = ported
  enlarged = jax.eval_shape(network.apply, params, images)
  batch = {'lr': jnp.zeros_like(images), 'hr': jnp.ones(enlarged.shape)}
  gradient = jax.jit(jax.grad(lambda p: network.loss(p, None, batch)[0]))
  grads = gradient(params)
  assert all(jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(grads))


def test_rlfn_refuses_images_too_small_for_its_attention():
  network = rlfn.make(**NARROW['rlfn'][1])
  with pytest.raises(ValueError, match='15 x 15 px at least'):
    jax.eval_shape(
      network.apply,
      jax.eval_shape(network.init, jax.random.key(0)),
      jax.ShapeDtypeStruct((1, 14, 30, 3), jnp.float32),
    )


def test_pixel_shuffle_puts_channels_where_pytorch_does():
  # channel (c s + i) s + j of pixel (y, x) -> row s y + i, column s x + j
  x = jnp.arange(2 * 3 * 8.0).reshape(2, 3, 8)
  found = blocks.pixel_shuffle(x, 2)
  assert found.shape == (4, 6, 2)
  for y, column, c, i, j in [(0, 0, 0, 0, 1), (1, 2, 1, 1, 0), (0, 1, 1, 0, 1)]:
    expected = x[y, column, (c * 2 + i) * 2 + j]
    assert found[2 * y + i, 2 * column + j, c] == expected
  with pytest.raises(ValueError, match='a multiple of 9 channels, got 8'):
    blocks.pixel_shuffle(x, 3)


@pytest.mark.parametrize('scale', [2, 4])
def test_pixel_unshuffle_undoes_pixel_shuffle(scale):
  shape = 2, 3, 5, 2 * scale**2
  x = np.arange(math.prod(shape)).reshape(shape)
  shuffled = blocks.pixel_shuffle(x, scale)
  np.testing.assert_array_equal(blocks.pixel_unshuffle(shuffled, scale), x)


def test_pixel_unshuffle_reflects_what_does_not_divide():
  rows = jnp.arange(3.0)[:, None, None]
  found = blocks.pixel_unshuffle(jnp.tile(rows, (1, 2, 1)), 2)
  # rows 0 1, then 2 and the reflected 1
  expected = [[[0, 0, 1, 1]], [[2, 2, 1, 1]]]
  np.testing.assert_array_equal(found, expected)


def test_factors_that_no_network_has_are_refused():
  with pytest.raises(ValueError, match='by 4, 2 or 1, got 3'):
    rrdbnet.make(scale=3)
  with pytest.raises(ValueError, match='enlarge by 2, 3, 4, 8, got 5'):
    jax.eval_shape(edsr.make(scale=5).init, jax.random.key(0))


def test_an_edsr_of_another_mean_colour_is_refused():
  module, options = NARROW['edsr']
  checkpoint = pth.load(FIXTURES / 'edsr.pth')
  checkpoint['sub_mean.bias'] = checkpoint['sub_mean.bias'] / 255
  with pytest.raises(ValueError, match=r'sub_mean\.bias should be a constant'):
    weights.convert(
      checkpoint, module.make(**options).init, module.NAMES, module.CONSTANTS
    )


def test_an_untrained_compact_network_is_bicubic():
  network = compact.make(channels=4, num_blocks=0)
  params = network.init(jax.random.key(0))
  ramp = jnp.tile(jnp.linspace(0, 1, 16)[None, None, :, None], (1, 16, 1, 3))
  found = network.apply(params, ramp)
  # bicubic reproduces a ramp away from the border, at pixel centres
  centers = (jnp.arange(64) + 0.5) / 4 - 0.5
  np.testing.assert_allclose(
    found[0, 30, 12:-12, 0], centers[12:-12] / 15, atol=1e-5
  )


def test_upsampler_gives_the_exact_size_at_any_scale():
  def enlarge_by_4(params, x):
    return jnp.repeat(jnp.repeat(x, 4, axis=1), 4, axis=2)

  upsample = blocks.upsampler(enlarge_by_4, 2.6)
  images = jnp.full((2, 10, 7, 3), 0.25)
  found = upsample({}, images)
  assert found.shape == (2, 26, 18, 3)
  np.testing.assert_allclose(found, 0.25, atol=1e-6)


@pytest.mark.parametrize(
  'scale, message',
  [
    (0.25, 'got 0.25: a prior enlarges; did you mean 4?'),
    (0.0, 'got 0: a prior enlarges$'),
    (-2.0, 'got -2: a prior enlarges$'),
  ],
)
def test_a_scale_below_1_is_refused(scale, message):
  with pytest.raises(ValueError, match=f'scale must be at least 1, {message}'):
    blocks.check_scale(scale)
