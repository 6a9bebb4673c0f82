"""Encoders: sizes and names as published, and how far a feature looks."""

import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.io import paths, pth, weights
from sr3d_jax.models import encoders

FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures' / 'image_networks'
KEY = jax.random.key(0, impl='unsafe_rbg')  # draws without much to compile
NAMES = encoders.EDSR_NAMES + encoders.RDN_NAMES
SMALL = {
  'edsr': dict(channels=3, num_blocks=2),
  'rdn': dict(channels=3, num_blocks=2, num_layers=1, growth=2),
}


def _init(module):
  return lambda key: module.init(key, jnp.zeros((1, 8, 8, 3)))['params']


def _published_shapes(**section):
  """Published name -> shape, as linen has it."""
  params = jax.eval_shape(_init(encoders.make(**section)), KEY)
  return {
    weights.published_name(name, NAMES): leaf.shape
    for name, leaf in weights.flatten(params).items()
  }


@pytest.mark.parametrize(
  'section, expected',
  [
    ({'name': 'edsr'}, 1_220_416),
    (encoders.PUBLISHED, 1_220_440),
    ({'name': 'rdn'}, 21_973_952),
  ],
)
def test_it_holds_as_many_numbers_as_published(section, expected):
  shapes = _published_shapes(**section).values()
  assert sum(int(np.prod(shape)) for shape in shapes) == expected


@pytest.mark.parametrize(
  'name, published, shape',
  [
    ('edsr', 'head.0.weight', (3, 3, 3, 64)),
    ('edsr', 'body.15.body.2.weight', (3, 3, 64, 64)),
    ('edsr', 'body.16.bias', (64,)),
    ('rdn', 'SFENet2.weight', (3, 3, 64, 64)),
    ('rdn', 'RDBs.15.convs.7.conv.0.weight', (3, 3, 512, 64)),
    ('rdn', 'RDBs.0.LFF.weight', (1, 1, 576, 64)),
    ('rdn', 'GFF.0.weight', (1, 1, 1024, 64)),
    ('rdn', 'GFF.1.bias', (64,)),
  ],
)
def test_its_layers_are_found_under_published_names(name, published, shape):
  assert _published_shapes(name=name)[published] == shape


@pytest.mark.parametrize('name', SMALL)
def test_a_feature_sees_its_radius_and_no_further(name):
  module = encoders.make(name=name, **SMALL[name])
  # positive weights: nothing between a pixel and a feature is cut off
  params = jax.tree.map(jnp.abs, jax.jit(_init(module))(KEY))
  size = 2 * module.radius + 5
  center = size // 2

  def feature(images):
    return module.apply({'params': params}, images)[0, center, center].sum()

  images = jnp.ones((1, size, size, 3))
  seen = jnp.any(jax.jit(jax.grad(feature))(images)[0] != 0, axis=-1)
  distance = jnp.abs(jnp.arange(size) - center)
  expected = jnp.maximum(distance[:, None], distance) <= module.radius
  np.testing.assert_array_equal(seen, expected)


def test_an_unknown_encoder_is_told_the_right_ones():
  with pytest.raises(ValueError, match="'rcan': choose from edsr, rdn"):
    encoders.make(name='rcan')


def test_rdn_computes_the_features_that_pytorch_does():
  module = encoders.make(
    name='rdn', channels=4, num_blocks=2, num_layers=2, growth=3
  )
  checkpoint = pth.load(FIXTURES / 'rdn.pth')
  params = weights.convert(checkpoint, _init(module), NAMES)
  with np.load(FIXTURES / 'io.npz') as arrays:
    found = module.apply({'params': params}, arrays['images'])
    # float32 sums of a hundred terms, in another order
    np.testing.assert_allclose(found[:, ::3, ::3], arrays['rdn'], atol=2e-6)


def test_edsr_computes_the_features_of_the_published_encoder():
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  module = encoders.make(**encoders.PUBLISHED)
  prefix = 'w/encoder.'
  with np.load(paths.data_path('fixtures/liif_edsr.npz')) as file:
    checkpoint = {
      name.removeprefix(prefix): file[name]
      for name in file.files
      if name.startswith(prefix)
    }
    images, expected = (
      np.moveaxis(file[name], 1, -1) for name in ('in/image', 'mid/feat')
    )
  params = weights.convert(checkpoint, _init(module), encoders.EDSR_NAMES)
  found = jax.jit(module.apply)({'params': params}, images)
  # float32 through 34 layers; values reach 2.4
  np.testing.assert_allclose(found, expected, atol=1e-5)
