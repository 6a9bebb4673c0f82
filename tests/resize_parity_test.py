"""Resizing and padding as PyTorch does them around published priors.

A thinned copy of its pictures is kept here (tests/fixtures/diffusion); all of
them are compared where SR3D_DATA holds them.
"""

import os
import pathlib

import jax
import numpy as np
import pytest

from sr3d_jax import image
from sr3d_jax.io import paths

KEPT = pathlib.Path(__file__).parent / 'fixtures' / 'diffusion/reference.npz'


@pytest.fixture(scope='module')
def arrays():
  """The data's pictures by name, channels last."""
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  with np.load(paths.data_path('fixtures/resize.npz')) as file:
    return {
      name: np.moveaxis(values, 1, -1) if values.ndim == 4 else values
      for name, values in file.items()
    }


@pytest.mark.parametrize('case', ['up4', 'upfrac'])
def test_enlarging_by_the_other_bicubic_is_that_of_pytorch(case):
  with np.load(KEPT) as file:
    picture, expected = file[case], file[f'{case}_enlarged']
  scale = 4 if case == 'up4' else 4.3
  height, width = (int(side * scale) for side in picture.shape)
  found = image.resize(
    picture[..., None], height, width, method='bicubic_torch'
  )
  # PyTorch places its taps in float32; a = -1/2 would be 0.09 off.
  np.testing.assert_allclose(found[::5, ::5, 0], expected, atol=1e-5)


@pytest.mark.parametrize('case', ['up4', 'upfrac', 'noaa_down'])
def test_bicubic_without_antialiasing_is_that_of_pytorch(arrays, case):
  expected = arrays[f'out/{case}/raw']
  found = image.resize(
    arrays[f'in/{case}/x'],
    *expected.shape[1:3],
    method='bicubic_torch',
    antialias=False,
  )
  np.testing.assert_allclose(found, expected, atol=3e-5)  # float32 places


@pytest.mark.parametrize('case', ['down4', 'down4_ragged'])
def test_antialiased_shrinking_is_that_of_pytorch(arrays, case):
  expected = arrays[f'out/{case}/resized_by_size']
  found = image.resize(arrays[f'in/{case}/x'], *expected.shape[1:3])
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_ragged_picture_shrinks_by_a_factor_as_its_padded_twin(arrays):
  """We shrink to sizes alone: fine pictures are `scale` times coarse ones.

  PyTorch's factor of 1/4 leaves 2 rows and 3 columns over. Zeros up to the next
  multiple, weighed out again, give the same.
  """
  picture, expected = (
    arrays[f'{name}/down4_ragged/{what}']
    for name, what in (('in', 'x'), ('out', 'raw'))
  )
  widths = [(0, 0), (0, 2), (0, 1), (0, 0)]
  shrunk, weight = (
    image.resize(np.pad(values, widths), 24, 21)[:, :23, :20]
    for values in (picture, np.ones_like(picture))
  )
  np.testing.assert_allclose(shrunk / weight, expected, atol=1e-6)


def test_the_gradient_of_shrinking_is_that_of_pytorch(arrays):
  cotangent = arrays['in/down4_grad/cotangent']

  def project(picture):
    return (image.resize(picture, *cotangent.shape[1:3]) * cotangent).sum()

  found = jax.grad(project)(arrays['in/down4_grad/x'])
  np.testing.assert_allclose(found, arrays['out/down4_grad/x_grad'], atol=1e-6)


@pytest.mark.parametrize('divisor', [2, 4, 8])
def test_shrunk_levels_are_those_of_pillow(arrays, divisor):
  expected = arrays[f'out/pil/bicubic_div{divisor}_uint8'].astype(int)
  picture = image.to_float(jax.numpy.asarray(arrays['in/pil/x_uint8']))
  found = image.to_uint8(image.resize(picture, *expected.shape[:2]))
  # Pillow rounds to levels between its two passes as well.
  assert np.abs(np.asarray(found, int) - expected).max() <= 1
  assert (np.asarray(found, int) != expected).mean() < 0.2


@pytest.mark.parametrize('case', ['pad', 'pad_one_divisible'])
def test_published_padding_grows_both_sides(arrays, case):
  found = image.pad_ragged(arrays[f'in/{case}/x'], grow_both=True)
  np.testing.assert_array_equal(found, arrays[f'out/{case}/x'])


def test_padding_reflects_right_and_bottom_and_no_side_that_fits():
  picture = np.arange(15.0).reshape(3, 5, 1)
  found = image.pad_ragged(picture, 4)[..., 0]
  assert found.shape == (4, 8)
  np.testing.assert_array_equal(found[:3, :5], picture[..., 0])
  np.testing.assert_array_equal(found[3], found[1])
  np.testing.assert_array_equal(found[:, 5:], found[:, [3, 2, 1]])
  assert image.pad_ragged(picture, 5).shape == (5, 5, 1)
  assert image.pad_ragged(picture, 5, grow_both=True).shape == (5, 10, 1)
  same = image.pad_ragged(picture[:, :3], 3, grow_both=True)
  np.testing.assert_array_equal(same, picture[:, :3])


def test_padding_to_nothing_is_refused():
  with pytest.raises(ValueError, match='multiple must be at least 1 px, got 0'):
    image.pad_ragged(np.zeros((4, 4, 3)), 0)
