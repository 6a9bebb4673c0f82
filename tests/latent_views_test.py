"""Pictures of any size through networks that know one."""

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import image, latent_views
from sr3d_jax.models.blocks import pixel_shuffle, pixel_unshuffle
from sr3d_jax.types import LatentDiffusion

RNG = np.random.default_rng(0)
SEEN = []  # shapes of what the denoiser was shown


def _estimate(params, x, t, coarse):
  SEEN.append(x.shape)
  return x + coarse + t[:, None, None, None]


def _encode(params, images):
  latents = pixel_unshuffle(images, 2)
  return (latents, 0 * latents), latents


# Latents are squares of pixels, and features are their own latents.
MODEL = LatentDiffusion(
  init=lambda key: {},
  encode=_encode,
  estimate=_estimate,
  decode=lambda params, latents, features, fidelity: pixel_shuffle(
    latents + fidelity * (features - latents), 2
  ),
  alpha_bars=np.linspace(0.9, 0.1, 10),
  factor=2,
)
PHOTOS = RNG.random((2, 11, 13, 3), np.float32)


def _make(**options):
  return latent_views.make(MODEL, **{'scale': 2.0, 'color': 'none'} | options)


def test_pictures_come_back_whatever_they_were_cut_into():
  whole = image.enlarge(PHOTOS, 2.0, method='bicubic_torch').clip(0, 1)
  for options in ({}, {'patch': 16}, {'patch': 20, 'is_published': True}):
    parts = _make(**options)
    coarse = parts.enlarge(PHOTOS)
    (latents, _), features = parts.encode({}, coarse)
    shown = parts.show({}, latents, features, coarse, PHOTOS, 0.0)
    np.testing.assert_allclose(shown, whole, atol=2e-6)


def test_patches_are_no_larger_than_allowed():
  assert _make(patch=16).enlarge(PHOTOS).shape == (8, 16, 16, 3)
  assert _make().enlarge(PHOTOS).shape == (2, 22, 26, 3)


def test_published_padding_lets_both_sides_grow():
  assert _make(is_published=True).enlarge(PHOTOS).shape == (2, 32, 32, 3)
  square = np.zeros((1, 16, 24, 3), np.float32)
  grown = _make(is_published=True).enlarge(square).shape
  assert grown == (1, 64, 64, 3)


def test_a_picture_below_a_tile_is_padded_to_it():
  assert _make(tile=20).enlarge(PHOTOS).shape == (2, 40, 40, 3)


def test_the_denoiser_sees_tiles_of_one_size_and_is_told_the_time():
  x, coarse = RNG.random((2, 2, 12, 14, 5), np.float32)
  SEEN.clear()
  found = _make(tile=8, overlap=4).estimate({}, x, 7, coarse)
  assert {shape[1:3] for shape in SEEN} == {(8, 8)}
  np.testing.assert_allclose(found, x + coarse + 7, atol=5e-6)


def test_fidelity_weighs_the_features():
  parts = _make()
  coarse = parts.enlarge(PHOTOS)
  (latents, _), features = parts.encode({}, coarse)
  off = parts.show({}, 0 * latents, features, coarse, PHOTOS, 0.0)
  half = parts.show({}, 0 * latents, features, coarse, PHOTOS, 0.5)
  full = parts.show({}, 0 * latents, features, coarse, PHOTOS, 1.0)
  assert not off.any()
  np.testing.assert_allclose(2 * half, full, atol=1e-6)


def test_colours_come_from_the_coarse_picture():
  parts = _make(color='wavelet')
  coarse = parts.enlarge(PHOTOS)
  (latents, _), features = parts.encode({}, coarse)
  shifted = parts.show({}, latents + 0.1, features, coarse, PHOTOS, 0.0)
  plain = parts.show({}, latents, features, coarse, PHOTOS, 0.0)
  np.testing.assert_allclose(shifted, plain, atol=1e-5)


def test_back_projection_makes_the_result_explain_the_photo():
  parts = _make(back_projections=8)
  coarse = parts.enlarge(PHOTOS)
  (latents, _), features = parts.encode({}, coarse)
  soft = jnp.zeros_like(latents) + 0.5
  shown = parts.show({}, soft, features, coarse, PHOTOS, 0.0)
  error = np.abs(image.resize(shown, 11, 13) - PHOTOS)
  assert error[:, 2:-2, 2:-2].mean() < 0.03


@pytest.mark.parametrize('rows', [1, 3])
def test_rows_of_a_batch_do_not_matter(rows):
  x, coarse = RNG.random((2, 2, 12, 14, 5), np.float32)
  found = _make(tile=8, rows_per_device=rows).estimate({}, x, 1, coarse)
  np.testing.assert_allclose(found, x + coarse + 1, atol=5e-6)
