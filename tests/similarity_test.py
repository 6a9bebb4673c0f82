"""Structural scores against piq's numbers of pictures that any clone can make.

piq 0.8.0 pads an odd side of MS-SSIM at its start, the authors' code at its
end; so its pictures here have sides that halve five times.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import image, similarity

# (MS-SSIM, GMSD, HaarPSI) of `_pair`
NOISE = (0.946558, 0.067264, 0.754280)
BLUR = (0.944080, 0.067037, 0.756547)
SCORES = (similarity.ms_ssim, similarity.gmsd, similarity.haarpsi)
SMALL = (32, 38)  # of all tests but those of MS-SSIM: each size is compiled
_gmsd, _haarpsi = jax.jit(similarity.gmsd), jax.jit(similarity.haarpsi)


def _texture(height, width):
  """Noise whose spectrum falls as that of photographs: [H, W, 3]."""
  rng = np.random.default_rng(1)
  rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
  frequency = np.maximum(np.hypot(rows, columns), 1 / max(height, width))
  noise = np.fft.fft2(rng.normal(size=(3, height, width)))
  x = np.real(np.fft.ifft2(noise / frequency)).transpose(1, 2, 0)
  return np.clip(0.18 * x / x.std() + 0.5, 0, 1).astype(np.float32)


def _pair(kind, height=192, width=192):
  targets = _texture(height, width)
  if kind == 'noise':
    noise = np.random.default_rng(5).normal(size=targets.shape)
    images = np.clip(targets + 0.1 * noise, 0, 1)
  else:
    shifts = ((0, 0), (0, 1), (1, 0), (1, 1))
    images = sum(np.roll(targets, shift, (0, 1)) for shift in shifts) / 4
  return images.astype(np.float32), targets


@pytest.fixture(scope='module')
def scores():
  """Each score of a batch of noise, blur and equal pictures."""
  pairs = [_pair('noise'), _pair('blur'), (_pair('blur')[1],) * 2]
  batch = [np.stack(x) for x in zip(*pairs)]
  score = jax.jit(lambda a, b: [score(a, b) for score in SCORES])
  return np.stack(score(*batch))


def test_noise_and_blur_score_as_by_piq(scores):
  np.testing.assert_allclose(scores[:2, 0], NOISE[:2], atol=2e-6)
  np.testing.assert_allclose(scores[:2, 1], BLUR[:2], atol=2e-6)
  # The authors write I and Q of YIQ with three digits, piq with four.
  np.testing.assert_allclose(scores[2, :2], [NOISE[2], BLUR[2]], atol=5e-5)


def test_equal_pictures_score_best(scores):
  np.testing.assert_allclose(scores[:, 2], [1, 0, 1], atol=1e-4)
  black = jnp.zeros((*SMALL, 3))
  assert _haarpsi(black, black) == pytest.approx(1, abs=1e-5)


def test_a_row_alone_scores_as_in_a_batch():
  noise, blur = _pair('noise', *SMALL), _pair('blur', *SMALL)
  images, targets = (np.stack(x) for x in zip(noise, blur))
  for score in (_gmsd, _haarpsi):
    values = score(images, targets)
    assert values.shape == (2,)
    np.testing.assert_allclose(score(*blur), values[1], rtol=1e-5)


def test_the_deviation_sees_where_errors_are_not_how_many():
  _, targets = _pair('blur', *SMALL)
  somewhere = targets.copy()
  somewhere[:16] *= 0.5
  assert _gmsd(somewhere, targets) > _gmsd(0.5 * targets, targets)


def test_colour_alone_lowers_haarpsi_and_not_gmsd():
  targets = _pair('blur', *SMALL)[1] * 0.5 + 0.25
  # A step along I, which leaves Y as it is.
  step = np.linalg.inv(similarity._TO_YIQ)[:, 1].astype(np.float32)
  images = targets + 0.2 * step
  assert _gmsd(images, targets) < 1e-3
  assert _haarpsi(images, targets) < 0.95


def test_odd_sides_are_padded_at_their_end():
  x = jnp.asarray([[1.0, 3.0, 7.0]])[..., None] * jnp.ones(3)
  edge = similarity._halve(x, mode='edge')
  np.testing.assert_allclose(edge[..., 0], [[2, 7]])
  black = similarity._halve(x, mode='constant')
  np.testing.assert_allclose(black[..., 0], [[1, 1.75]])


def test_errors_say_what_came():
  images, targets = _pair('blur', 160, 192)
  with pytest.raises(
    ValueError, match=r'176 x 176 .* got pictures of 160 x 192'
  ):
    similarity.ms_ssim(images, targets)
  with pytest.raises(ValueError, match='16 x 16'):
    similarity.haarpsi(images[:8], targets[:8])
  with pytest.raises(ValueError, match='both be'):
    similarity.gmsd(images, targets[:100])
  with pytest.raises(ValueError, match='to_float'):
    similarity.gmsd(image.to_uint8(images), image.to_uint8(targets))
