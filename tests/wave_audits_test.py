"""Networks that interpolate, of which is known what becomes of waves."""

import numpy as np
import pytest

from sr3d_jax import image, sampling, wave_audits
from sr3d_jax.types import FieldNetwork


def _interpolation(word):
  """A network that knows nothing but one kind of interpolation."""
  look_up = getattr(sampling, word)
  return FieldNetwork(
    init=None,
    encode=lambda params, images: images,
    decode=lambda params, maps, q: look_up(maps[0], q.rows[0], q.columns[0])[
      None
    ],
    loss=None,
    halo=2,
  )


@pytest.fixture(scope='module')
def squares():
  """Smooth noise, two of [184, 184, 3]: six periods of seams at x4."""
  noise = np.random.default_rng(1).normal(0.5, 0.5, (2, 184, 184, 3))
  return np.clip(image.gaussian_blur(noise.astype(np.float32), 1.5), 0, 1)


def test_a_network_that_interpolates_by_bilinear(squares):
  found = wave_audits.patterns(_interpolation('bilinear'), {}, squares)
  assert found['ripple'] == pytest.approx(0, abs=1e-6)
  # A triangle wave's first harmonic is 8 / pi^2 of its height, at both; the
  # fine grid, 16 and 8 px a period, adds to it what it cannot tell apart.
  assert found['gain at 0.25'] == pytest.approx(8 / np.pi**2, abs=0.02)
  assert found['gain at 0.5'] == pytest.approx(8 / np.pi**2, abs=0.05)
  assert 0 < found['fine'] < 0.5


def test_a_network_that_repeats_pixels_shows_their_lattice(squares):
  nearest, smooth = (
    wave_audits.patterns(_interpolation(word), {}, squares, cycles=())
    for word in ('nearest', 'bicubic')
  )
  assert nearest['lattice'] > 3 * smooth['lattice']
  for found in (nearest, smooth):
    assert found['seams'] == pytest.approx(1, abs=0.2)


def test_a_network_that_works_in_tiles_shows_their_seams(squares):
  smooth = _interpolation('bicubic')

  def decode(params, maps, queries):
    beside = [q % 7 < 2 for q in (queries.rows, queries.columns)]
    seams = 0.15 * (1.0 * beside[0] + 1.0 * beside[1])[..., None]
    return smooth.decode(params, maps, queries) + seams

  network = smooth._replace(decode=decode)
  found = wave_audits.patterns(network, {}, squares, cycles=())
  assert found['seams'] > 3


@pytest.mark.parametrize('scale', [1.0, 1.5, 2.0])
def test_a_fine_grid_too_coarse_for_the_lattice_is_refused(scale, squares):
  with pytest.raises(ValueError, match=f'a scale above 2, got {scale:g}:'):
    wave_audits.patterns(None, {}, squares, scale=scale)


def test_squares_too_small_for_seams_are_refused(squares):
  with pytest.raises(ValueError, match=r'more than 318\.5 px, got 182'):
    wave_audits.patterns(None, {}, squares, scale=7.0)
