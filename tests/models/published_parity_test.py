"""SwinIR and RRDBNet against others' runs of the published code, step by step.

The files hold the weights, inputs, outputs and some layers' outputs; their
README gives each one's error against float64, 1e-6 to 3e-6.
"""

import os

import flax.linen as nn
import jax
import numpy as np
import pytest

from sr3d_jax.io import paths, weights
from sr3d_jax.models import edsr, rrdbnet, swinir

LIGHT = dict(channels=60, num_groups=4, upsampler='pixelshuffledirect')
SMALL = dict(channels=16, num_blocks=2, growth=8)
CASES = {
  'swinir_light_x4': (swinir, LIGHT, 5),
  'rrdbnet_small_x4': (rrdbnet, SMALL, 5),
  'rrdbnet_small_x2': (rrdbnet, dict(scale=2, **SMALL), 5),
}


def _every_output(network, names):
  """Makes (params, images) -> published module name -> what it returns."""

  def run(params, images):
    found = {}

    def keep(call, args, kwargs, context):
      result = call(*args, **kwargs)
      path = '.'.join((*context.module.path, ''))
      found[weights.published_name(path, names).strip('.')] = result
      return result

    with nn.intercept_methods(keep):
      network.apply(params, images)
    return found

  return jax.jit(run)


def _channels_last(array):
  return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


@pytest.fixture(scope='module', params=CASES)
def published(request):
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  module, sizes, num_middle = CASES[request.param]
  network = module.make(**sizes)
  with np.load(paths.data_path(f'fixtures/{request.param}.npz')) as file:
    arrays = {name: file[name] for name in file.files}
  checkpoint = {n[2:]: a for n, a in arrays.items() if n.startswith('w/')}
  params = weights.convert(checkpoint, network.init, module.NAMES)
  middle = {
    name.removeprefix('mid/'): _channels_last(array)
    for name, array in arrays.items()
    if name.startswith('mid/')
  }
  assert len(middle) == num_middle
  run = _every_output(network, module.NAMES)
  found = run(params, _channels_last(arrays['in/image']))
  return network, params, arrays, middle, found


def test_the_enlarged_images_are_the_published_ones(published):
  network, params, arrays, _, found = published
  # ten times the float32 error of the published run
  atol = 1e-5
  expected = _channels_last(arrays['out/sr'])
  np.testing.assert_allclose(found[''], expected, atol=atol)
  if 'in/image_rect' in arrays:
    images = _channels_last(arrays['in/image_rect'])
    expected = _channels_last(arrays['out/sr_rect'])
    found = jax.jit(network.apply)(params, images)
    np.testing.assert_allclose(found, expected, atol=atol)


def test_every_layer_that_is_known_agrees(published):
  _, _, _, middle, found = published
  for name, expected in middle.items():
    np.testing.assert_allclose(
      found[name].reshape(expected.shape),
      expected,
      rtol=1e-5,
      atol=1e-5 * np.abs(expected).max(),
      err_msg=name,
    )


@pytest.mark.parametrize(
  'module, sizes, expected',
  [
    (edsr, dict(scale=2), 1_369_859),
    (edsr, dict(scale=3), 1_554_499),
    (edsr, {}, 1_517_571),
    (edsr, dict(channels=256, num_blocks=32), 43_089_923),
    (rrdbnet, {}, 16_697_987),
    (rrdbnet, dict(scale=2), 16_703_171),
    (swinir, {}, 11_900_199),
    (swinir, LIGHT, 929_628),
    (swinir, dict(upsampler='nearest+conv'), 11_715_559),
  ],
)
def test_it_holds_as_many_numbers_as_published(module, sizes, expected):
  params = jax.eval_shape(module.make(**sizes).init, jax.random.key(0))
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected


@pytest.mark.parametrize(
  'module, scale', [(edsr, 4), (rrdbnet, 4), (rrdbnet, 2), (swinir, 4)]
)
def test_a_photo_of_720_lines_is_traced_whole(module, scale):
  network = module.make(scale=scale)
  params = jax.eval_shape(network.init, jax.random.key(0))
  images = jax.ShapeDtypeStruct((1, 720, 1280, 3), np.float32)
  found = jax.eval_shape(network.apply, params, images)
  assert found.shape == (1, scale * 720, scale * 1280, 3)
