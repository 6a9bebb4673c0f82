"""A picture of any kind becomes the levels of a larger one, part by part."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import enlarge
from sr3d_jax.fields import Part
from sr3d_jax.io.images import MAX_PIXELS
from sr3d_jax.types import one_shot


def _repeat(colors, height, width):
  """Each pixel several times, in parts of a row."""
  rows, columns = (n // o for n, o in zip((height, width), colors.shape))
  whole = colors.repeat(rows, axis=0).repeat(columns, axis=1)
  for i in range(height):
    yield Part(slice(i, i + 1), slice(width), whole[i : i + 1])


def _picture(height, width, channels, seed=0):
  generator = np.random.default_rng(seed)
  return generator.random((height, width, channels), dtype=np.float32)


def test_hidden_pixels_have_the_colour_of_the_nearest_that_is_seen():
  pixels = _picture(3, 7, 4)
  pixels[..., 3] = 0
  pixels[1, 1, 3] = 0.01  # faint is seen
  pixels[1, 5, 3] = 1
  found = enlarge.fill_hidden(pixels)
  np.testing.assert_array_equal(found[..., 3], pixels[..., 3])
  for columns, seen in ((slice(3), 1), (slice(4, None), 5)):
    expected = np.broadcast_to(pixels[1, seen, :3], (3, 3, 3))
    np.testing.assert_array_equal(found[:, columns, :3], expected)


@pytest.mark.parametrize('channels, alpha', [(3, None), (4, 0.5), (4, 0.0)])
def test_a_picture_without_both_kinds_of_pixels_stays(channels, alpha):
  pixels = _picture(4, 5, channels)
  pixels[..., 3:] = alpha
  np.testing.assert_array_equal(enlarge.fill_hidden(pixels), pixels)


@pytest.mark.parametrize('bits, dtype', [(8, np.uint8), (16, np.uint16)])
def test_parts_become_levels_in_their_places(bits, dtype):
  left, right = np.full((2, 2, 3), 0.2), np.full((2, 3, 3), 1.7)
  parts = [
    Part(slice(2), slice(1, 4), right),  # the later one is believed
    Part(slice(2), slice(0, 2), left),
  ]
  levels = enlarge.gather(iter(parts), (2, 4, 3), bits)
  assert levels.dtype == dtype and levels.shape == (2, 4, 3)
  most = np.iinfo(dtype).max
  assert (levels[:, :2] == round(0.2 * most)).all()
  assert (levels[:, 2:] == most).all()  # clipped


@pytest.mark.parametrize('broken', [np.nan, np.inf])
def test_parts_that_are_not_finite_are_refused(broken):
  colors = np.full((2, 2, 3), 0.5)
  colors[1, 0, 2] = broken
  with pytest.raises(FloatingPointError, match='not finite: its weights are'):
    enlarge.gather([Part(slice(2), slice(2), colors)], (2, 2, 3), 8)


def test_transparency_is_enlarged_beside_the_colours():
  pixels = _picture(3, 4, 4)
  pixels[..., 3] = np.linspace(0.2, 0.8, 4)
  levels = enlarge.picture(_repeat, pixels, 9, 12, 16)
  assert levels.dtype == np.uint16
  colors = levels[1::3, 1::3, :3] / 65535
  np.testing.assert_allclose(colors, pixels[..., :3], atol=1 / 65535)
  # centres of the coarse pixels, which bicubic passes through
  alpha = levels[1::3, 1::3, 3] / 65535
  np.testing.assert_allclose(alpha, pixels[..., 3], atol=1 / 65535)
  opaque = enlarge.picture(_repeat, pixels[..., :3], 9, 12, 16)
  np.testing.assert_array_equal(opaque, levels[..., :3])


@pytest.mark.parametrize(
  'error', [MemoryError(), jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: 9')]
)
def test_too_little_memory_is_told_with_the_size(error):
  def ask(*_):
    raise error

  told = 'too little memory for 8 x 6 px: choose a smaller scale'
  with pytest.raises(ValueError, match=told):
    enlarge.picture(ask, _picture(3, 4, 3), 6, 8)


def test_another_failure_of_the_device_stays_what_it_is():
  def ask(*_):
    raise jax.errors.JaxRuntimeError('INTERNAL: a bug')

  with pytest.raises(jax.errors.JaxRuntimeError, match='a bug'):
    enlarge.picture(ask, _picture(3, 4, 3), 6, 8)


@pytest.mark.parametrize('height, width', [(6, 8), (6, 5)])
def test_a_prior_s_picture_is_resized_to_the_size_asked_for(height, width):
  prior = one_shot(
    init=lambda key: {'gain': 0.5},
    upsample=lambda params, images: params['gain'] * jnp.repeat(
      jnp.repeat(images, 2, axis=1), 2, axis=2
    ),
    scale=2.0,
  )  # fmt: skip
  params = prior.init(jax.random.key(0))
  colors = np.full((3, 4, 3), 0.8, np.float32)
  (part,) = enlarge.by_prior(prior, params, colors, height, width)
  assert part[:2] == (slice(height), slice(width))
  assert part.colors.shape == (height, width, 3)
  np.testing.assert_allclose(part.colors, 0.4, atol=1e-6)


def test_a_size_is_that_of_the_scale_or_the_one_asked_for():
  assert enlarge.target_size(10, 21, 2.5, None) == (25, 52)  # as Python rounds
  assert enlarge.target_size(10, 21, 2.5, (10, 40)) == (10, 40)


def test_the_largest_scale_that_is_named_is_taken():
  for sides in ((80, 100), (1, 1), (7, 1999), (20_000, 25_000)):
    with pytest.raises(ValueError, match='is the largest') as told:
      enlarge.target_size(*sides, 1e6, None)
    largest = float(re.search('scale (.*) is the', str(told.value))[1])
    height, width = enlarge.target_size(*sides, largest, None)
    assert height * width == pytest.approx(MAX_PIXELS, rel=0.01)
