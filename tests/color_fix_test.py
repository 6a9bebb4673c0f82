"""Colours are lent as published, channel by channel and without seams.

One channel of the published numbers is kept here (tests/fixtures/diffusion);
all are compared where SR3D_DATA holds them.
"""

import os
import pathlib

import jax
import numpy as np
import pytest

from sr3d_jax import color_fix
from sr3d_jax.io import paths

KEPT = pathlib.Path(__file__).parent / 'fixtures' / 'diffusion/reference.npz'
RNG = np.random.default_rng(0)
CONTENT = RNG.normal(size=(2, 40, 36, 3)).astype(np.float32)
STYLE = RNG.normal(0.5, 2.0, size=CONTENT.shape).astype(np.float32)
# Compiled whole: many small pieces take longer to compile than to run.
WAVELET, ADAIN, LOW_BAND = map(
  jax.jit, (color_fix.wavelet, color_fix.adain, color_fix.low_band)
)


def _assert_as_published(content, style, wavelet, adain):
  """Sums of some ten float32 terms around 1, in another order."""
  found = WAVELET(content, style)
  np.testing.assert_allclose(found, wavelet, atol=1e-6)
  found = ADAIN(content, style)
  np.testing.assert_allclose(found, adain, atol=1e-6)


def test_both_are_as_published():
  with np.load(KEPT) as file:
    _assert_as_published(*file['colors'][..., None])


@pytest.mark.parametrize('case', ['a', 'small', 'batch'])
def test_both_are_as_published_on_all_pictures(case):
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  names = ('in/{}/content', 'in/{}/style')
  names += ('out/{}/wavelet_reconstruction', 'out/{}/adain')
  with np.load(paths.data_path('fixtures/wavelet_adain.npz')) as file:
    _assert_as_published(
      *(np.moveaxis(file[n.format(case)], 1, -1) for n in names)
    )


def test_the_low_band_follows_the_style_and_the_high_band_the_content():
  found = WAVELET(CONTENT, STYLE)
  expected = CONTENT - LOW_BAND(CONTENT) + LOW_BAND(STYLE)
  np.testing.assert_allclose(found, expected, atol=1e-5)
  np.testing.assert_allclose(
    WAVELET(CONTENT, CONTENT + 0.25), CONTENT + 0.25, atol=1e-6
  )


def test_a_point_is_blurred_by_one_two_one_at_each_spacing():
  point = np.zeros((31, 31, 1), np.float32)
  point[15, 15] = 1
  taps = np.convolve([1, 2, 1], [1, 0, 2, 0, 1]) / 16
  found = jax.jit(color_fix.low_band, static_argnames='levels')(
    point, levels=2
  )[12:19, 12:19, 0]
  np.testing.assert_allclose(found, np.outer(taps, taps), atol=1e-7)


def test_adain_gives_mean_and_spread_of_a_picture_of_any_size():
  style = STYLE[:, :20]
  found = ADAIN(CONTENT, style)
  axes = (-3, -2)
  np.testing.assert_allclose(found.mean(axes), style.mean(axes), atol=1e-5)
  np.testing.assert_allclose(
    found.std(axes, ddof=1), style.std(axes, ddof=1), rtol=1e-4
  )
  flat = ADAIN(np.ones((8, 8, 3), np.float32), style[0])
  np.testing.assert_allclose(flat, style[0].mean((0, 1)) + 0 * flat, atol=1e-5)


def test_a_picture_alone_equals_that_one_in_a_batch():
  for lend in (WAVELET, ADAIN):
    batch = lend(CONTENT, STYLE)
    np.testing.assert_allclose(lend(CONTENT[1], STYLE[1]), batch[1], atol=1e-6)


def test_a_coarse_style_is_to_be_enlarged_first():
  with pytest.raises(ValueError, match=r'same size.*enlarge the coarse one'):
    color_fix.wavelet(CONTENT, STYLE[:, ::2, ::2])


def _shrunk(fine):
  return fine.reshape(2, 20, 2, 18, 2, 3).mean((2, 4))


def test_a_shrunk_picture_gets_the_coarse_ones_mean_and_spread():
  coarse = 0.3 + 0.5 * _shrunk(STYLE)
  fixed = jax.jit(color_fix.shrunk_statistics)(CONTENT, coarse)
  found = _shrunk(np.asarray(fixed))
  axes = (1, 2)
  np.testing.assert_allclose(found.mean(axes), coarse.mean(axes), atol=1e-5)
  np.testing.assert_allclose(found.std(axes), coarse.std(axes), atol=1e-5)
  # A flat picture has no contrast to scale.
  flat = jax.jit(color_fix.shrunk_statistics)(0 * CONTENT + 0.5, coarse)
  np.testing.assert_allclose(
    flat, np.broadcast_to(coarse.mean(axes)[:, None, None], flat.shape),
    atol=1e-5,
  )  # fmt: skip


def test_a_tint_is_taken_back_and_detail_stays():
  fix = jax.jit(color_fix.shrunk_low_band)
  coarse = _shrunk(CONTENT)
  np.testing.assert_allclose(fix(CONTENT, coarse), CONTENT, atol=1e-6)
  tinted = CONTENT + np.array([0.1, -0.2, 0.05], np.float32)
  np.testing.assert_allclose(fix(tinted, coarse), CONTENT, atol=1e-5)
