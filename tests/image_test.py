"""Resizing agrees with Pillow, jax and hand arithmetic; colour inverts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sr3d_jax import image
from sr3d_jax.types import Camera

METHODS = ['area', 'bilinear', 'bicubic', 'bicubic_torch']


def _noise(*shape):
  return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize('size', [(7, 5), (12, 19), (60, 41)])
@pytest.mark.parametrize('method', ['bilinear', 'bicubic'])
def test_resize_equals_pillow(method, size):
  picture = _noise(24, 20)
  resample = getattr(Image.Resampling, method.upper())
  expected = Image.fromarray(picture).resize(size[::-1], resample)
  got = image.resize(picture[..., None], *size, method=method)[..., 0]
  np.testing.assert_allclose(got, np.asarray(expected), atol=1e-6)


@pytest.mark.parametrize('antialias', [True, False])
def test_resize_equals_jax(antialias):
  images = _noise(2, 24, 20, 3)
  expected = jax.image.resize(images, (2, 9, 33, 3), 'cubic', antialias)
  got = image.resize(images, 9, 33, antialias=antialias)
  # jax computes its weights in float32, we in float64.
  np.testing.assert_allclose(got, expected, atol=5e-6)


def test_area_weighs_partly_covered_pixels():
  row = jnp.asarray([1.0, 2.0, 4.0]).reshape(1, 3, 1)
  halves = image.resize(row, 1, 2, method='area').ravel()
  np.testing.assert_allclose(halves, [(1 + 1) / 1.5, (1 + 4) / 1.5], rtol=1e-6)


def test_bicubic_torch_repeats_the_border():
  # Doubling [0, 1]: the first sample lies at -1/4 and its taps, from the left,
  # are the a = -3/4 weights of 0, 0, 0, 1.
  row = jnp.asarray([0.0, 1.0]).reshape(1, 2, 1)
  first = image.resize(row, 1, 4, method='bicubic_torch')[0, 0, 0]
  far = -0.75 * (1.25**3 - 5 * 1.25**2 + 8 * 1.25 - 4)
  np.testing.assert_allclose(first, far, atol=1e-6)


@pytest.mark.parametrize('method', METHODS)
def test_resize_keeps_constants_and_mirror_images(method):
  flat = np.full((10, 9, 2), 0.3, np.float32)
  np.testing.assert_allclose(
    image.resize(flat, 23, 4, method=method), 0.3, rtol=1e-5
  )
  picture = _noise(10, 9, 2)
  resized = image.resize(picture, 23, 4, method=method)
  mirrored = image.resize(picture[::-1, ::-1], 23, 4, method=method)
  np.testing.assert_allclose(mirrored[::-1, ::-1], resized, atol=1e-6)


def test_resize_keeps_a_point_where_the_camera_says():
  camera = Camera(
    world_to_cam=jnp.eye(4),
    focal=jnp.asarray([30.0, 30.0]),
    center=jnp.asarray([11.3, 9.1]),
    width=24,
    height=18,
  )
  fine = camera.at_size(72, 54)
  picture = _blob(camera)
  enlarged = image.resize(picture, 54, 72)[..., 0]
  total = enlarged.sum()
  x = (enlarged.sum(0) * (np.arange(72) + 0.5)).sum() / total
  y = (enlarged.sum(1) * (np.arange(54) + 0.5)).sum() / total
  np.testing.assert_allclose([x, y], fine.center, atol=0.01)


def _blob(camera):
  x = np.arange(camera.width) + 0.5 - camera.center[0]
  y = np.arange(camera.height) + 0.5 - camera.center[1]
  return np.exp(-(x * x + y[:, None] ** 2) / 4)[..., None]


def test_shrinking_the_enlargement_nearly_returns_the_input():
  smooth = image.gaussian_blur(_noise(16, 20, 3), 1.5)
  enlarged = image.enlarge(smooth, 4)
  assert enlarged.shape == (64, 80, 3)
  np.testing.assert_allclose(image.shrink(enlarged, 4), smooth, atol=0.01)


def test_shrink_rounds_like_cameras():
  camera = Camera(
    world_to_cam=jnp.eye(4),
    focal=jnp.ones(2),
    center=jnp.ones(2),
    width=83,
    height=94,
  ).at_scale(1 / 4)
  assert image.shrink(_noise(94, 83, 1), 4).shape == (
    camera.height,
    camera.width,
    1,
  )


def test_resize_transposes_its_weights_in_the_gradient():
  picture, cotangent = _noise(12, 8, 1), _noise(5, 6, 1)
  value, pull = jax.vjp(lambda x: image.resize(x, 5, 6), picture)
  inner = np.vdot(value, cotangent)
  np.testing.assert_allclose(
    np.vdot(picture, pull(cotangent)[0]), inner, rtol=1e-5
  )


@pytest.mark.parametrize(
  'pad, scipy_mode', [('edge', 'nearest'), ('reflect', 'mirror')]
)
def test_blur_equals_scipy(pad, scipy_mode):
  picture = _noise(20, 17, 2)
  expected = ndimage.gaussian_filter(
    picture.astype(np.float64), (1.2, 1.2, 0), mode=scipy_mode, radius=(5, 5, 0)
  )
  got = image.gaussian_blur(picture, 1.2, radius=5, pad=pad)
  np.testing.assert_allclose(got, expected, atol=1e-6)


def test_blur_takes_a_traced_sigma():
  picture = _noise(9, 9, 1)
  blur = jax.jit(lambda sigma: image.gaussian_blur(picture, sigma, radius=4))
  np.testing.assert_allclose(
    blur(0.8), image.gaussian_blur(picture, 0.8, radius=4), atol=1e-6
  )


def test_luma_of_primaries_is_the_standard_one():
  colors = jnp.asarray([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 0, 1.0]])
  luma = image.rgb_to_y(colors)[:, 0] * 255
  np.testing.assert_allclose(luma, [16, 235, 81.481, 40.966], rtol=1e-6)
  ycbcr = image.rgb_to_ycbcr(colors) * 255
  np.testing.assert_allclose(ycbcr[:, 0], luma, rtol=1e-6)
  np.testing.assert_allclose(ycbcr[2, 1:], [128 - 37.797, 240], rtol=1e-6)
  np.testing.assert_allclose(ycbcr[1, 1:], [128, 128], rtol=1e-6)


def test_ycbcr_inverts():
  picture = _noise(4, 5, 3)
  back = image.ycbcr_to_rgb(image.rgb_to_ycbcr(picture))
  np.testing.assert_allclose(back, picture, atol=2e-6)


def test_uint8_rounds_clips_and_round_trips():
  levels = jnp.arange(256, dtype=jnp.uint8)
  np.testing.assert_array_equal(image.to_uint8(image.to_float(levels)), levels)
  edges = jnp.asarray([-1.0, 0.6 / 255, 254.6 / 255, 2.0])
  np.testing.assert_array_equal(image.to_uint8(edges), [0, 1, 255, 255])


@pytest.mark.parametrize(
  'call, words',
  [
    (lambda x: image.resize(x, 3, 3, method='lanczos'), 'choose from area'),
    (lambda x: image.resize(x, 0, 3), 'must be positive'),
    (lambda x: image.shrink(x, 0.25), 'use enlarge'),
    (lambda x: image.enlarge(x, 0.25), 'use shrink'),
    (image.to_float, 'wants uint8'),
  ],
)
def test_errors_say_what_to_do(call, words):
  with pytest.raises(ValueError, match=words):
    call(jnp.zeros((4, 4, 3)))
