"""NIQE against pyiqa's numbers of pictures that any clone can make."""

import numpy as np
import pytest
from scipy import ndimage

from sr3d_jax import niqe
from sr3d_jax.io import images, paths, pristine


def _texture(height=200, width=300):
  """Noise whose spectrum falls as that of photographs: [H, W, 3]."""
  rng = np.random.default_rng(1)
  rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
  frequency = np.maximum(np.hypot(rows, columns), 1 / max(height, width))
  noise = np.fft.fft2(rng.normal(size=(3, height, width)))
  x = np.real(np.fft.ifft2(noise / frequency)).transpose(1, 2, 0)
  return np.clip(0.18 * x / x.std() + 0.5, 0, 1).astype(np.float32)


def _blurred(x):
  shifts = ((0, 0), (0, 1), (1, 0), (1, 1))
  return sum(np.roll(x, shift, (0, 1)) for shift in shifts) / 4


@pytest.fixture(scope='module')
def plain():
  """A model that any clone has."""
  return np.zeros(36), np.eye(36)


@pytest.fixture
def pristine_photos():
  try:
    return pristine.load(paths.data_path(pristine.PATH))
  except FileNotFoundError as error:
    pytest.skip(str(error))


def test_a_picture_scores_as_by_pyiqa(plain):
  # pyiqa 0.1.16, `calculate_niqe` with this model; it rounds to float32 here
  # and there, and tries shapes 0.001 apart
  texture = _texture()
  expected = {6.762618: texture, 6.577939: _blurred(texture)}
  for value, picture in expected.items():
    assert niqe.niqe(picture, *plain) == pytest.approx(value, abs=2e-3)


def test_a_picture_scores_as_in_papers(pristine_photos):
  texture = _texture()
  expected = {6.352251: texture, 6.023118: _blurred(texture)}
  for value, picture in expected.items():
    score = niqe.niqe(picture, *pristine_photos)
    assert score == pytest.approx(value, abs=5e-3)


def test_a_blurred_photo_is_worse(pristine_photos):
  try:
    file = paths.data_path('dev/images/set5') / 'butterfly.png'
  except FileNotFoundError as error:
    pytest.skip(str(error))
  pictures = [images.load(file)]
  for sigma in (0.5, 1.0, 2.0):
    pictures.append(ndimage.gaussian_filter(pictures[0], (sigma, sigma, 0)))
  scores = niqe.niqe(np.stack(pictures), *pristine_photos)
  assert np.all(np.diff(scores) > 0.3)


def test_a_row_alone_scores_as_in_a_batch(plain):
  batch = np.stack([_texture(), _texture()[::-1]])[None]
  scores = niqe.niqe(batch, *plain)
  assert scores.shape == (1, 2)
  assert scores[0, 1] == niqe.niqe(batch[0, 1], *plain)
  assert scores[0, 0] != scores[0, 1]


def test_what_is_beyond_whole_blocks_is_cut(plain):
  texture = _texture()
  inner = niqe.niqe(texture[:192, :288], *plain)
  assert niqe.niqe(texture, *plain) == inner


def test_the_second_scale_is_the_bicubic_half():
  ramp = np.linspace(0, 255, 192)[:, None] * np.ones(4)
  half = niqe._halve_rows(ramp)
  middle = (ramp[::2] + ramp[1::2]) / 2
  # exact for straight lines, but for the mirrored border
  np.testing.assert_allclose(half[2:-2], middle[2:-2], atol=1e-9)
  np.testing.assert_allclose(niqe._halve_rows(ramp * 0 + 7), 7, atol=1e-12)


def test_the_shape_of_a_known_distribution_is_found():
  rng = np.random.default_rng(0)
  for draw, shape in ((rng.normal, 2.0), (rng.laplace, 1.0)):
    x = np.abs(draw(size=(1, 400, 400)))
    # As high on both sides of 0, and twice as wide on the right.
    x = np.where(rng.random(x.shape) < 2 / 3, 2 * x, -x)
    fitted, left, right = niqe._fit(x)
    assert fitted == pytest.approx(shape, rel=0.02)
    assert right / left == pytest.approx(2, rel=0.02)


def test_flat_blocks_do_not_count(plain):
  texture = _texture()
  for level in (0.0, 1.0):
    wide = np.full((192, 480, 3), level, np.float32)
    wide[:, :288] = texture[:192, :288]
    rows = niqe.features(255 * wide[..., 1])
    assert np.isnan(rows).all(axis=1).sum() >= 2
    assert np.isfinite(niqe.niqe(wide, *plain))
  assert np.isnan(niqe.niqe(np.full((192, 192, 3), 0.7), *plain))


def test_errors_say_what_came(plain, tmp_path):
  with pytest.raises(ValueError, match='two blocks of 96'):
    niqe.niqe(_texture()[:100, :150], *plain)
  with pytest.raises(ValueError, match='36 features'):
    niqe.niqe(_texture(), plain[0][:18], plain[1])
  with pytest.raises(ValueError, match=r'\[..., H, W, 3\]'):
    niqe.niqe(_texture()[..., 0], *plain)
  broken = tmp_path / 'broken.npz'
  broken.write_bytes(b'PK\x03\x04 and no more')
  with pytest.raises(ValueError, match='fetch it anew'):
    pristine.load(broken)
  np.savez(tmp_path / 'other.npz', mu_pris_param=np.zeros((1, 18)))
  with pytest.raises(ValueError, match='must hold'):
    pristine.load(tmp_path / 'other.npz')
