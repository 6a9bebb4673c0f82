"""Fixed crops, and low resolution made of them in several ways."""

import numpy as np
import pytest

from sr3d_jax import degrade, sampling, validate
from sr3d_jax.io import images
from sr3d_jax.types import FieldNetwork


@pytest.fixture
def square():
  """Waves, [48, 48, 3]."""
  rows, columns = np.mgrid[:48, :48] / 8
  waves = [np.sin(rows), np.cos(columns), np.sin(rows + columns)]
  return (0.5 + 0.3 * np.stack(waves, axis=-1)).astype(np.float32)


def _bicubic():
  """A network that knows nothing but interpolation."""
  return FieldNetwork(
    init=None,
    encode=lambda params, images: images,
    decode=lambda params, maps, q: sampling.bicubic(
      maps[0], q.rows[0], q.columns[0]
    )[None],
    loss=None,
    halo=2,
  )


def _upsampler(network):
  return validate.by_network(network, {})


def test_crops_are_the_middles_of_what_is_large_enough(tmp_path):
  ramp = np.arange(40 * 30 * 3).reshape(40, 30, 3) % 256
  for name, side in (('a', 30), ('b', 19), ('c', 30), ('d', 30)):
    images.save(tmp_path / f'{name}.png', ramp[:, :side].astype(np.uint8))
  found = validate.crops(roots=(str(tmp_path),), size=20, most=2)
  assert len(found) == 2
  np.testing.assert_allclose(found[0] * 255, ramp[10:30, 5:25], atol=1e-3)
  with pytest.raises(ValueError, match='is 41 px wide'):
    validate.crops(roots=(str(tmp_path),), size=41)


def test_a_network_that_interpolates_scores_as_bicubic(square):
  # Two of the pixels compared lie where beyond the border is asked for.
  found, expected = (
    validate.psnr(upsample, [square], 2.0)
    for upsample in (_upsampler(_bicubic()), validate.by_bicubic)
  )
  assert found == pytest.approx(expected, abs=0.5)


def test_a_shift_by_half_a_pixel_costs_decibels(square):
  network = _bicubic()
  shifted = network._replace(
    decode=lambda params, maps, q: sampling.bicubic(
      maps[0], q.rows[0] + 0.5, q.columns[0]
    )[None]
  )
  there, off = (
    validate.psnr(_upsampler(x), [square], 2.0)[0] for x in (network, shifted)
  )
  assert off < there - 10


def test_low_resolution_differs_by_how_it_was_made(square):
  lows = {
    name: degrade.frozen_pairs([square], 3.0, shrinker=name)[0][0]
    for name in degrade.SHRINKERS
  }
  away = {k: 255 * np.abs(v - lows['pillow']).max() for k, v in lows.items()}
  assert {low.shape for low in lows.values()} == {(16, 16, 3)}
  assert away['pillow'] == 0
  assert away['matlab'] <= 1.01  # a rounding more or less
  assert away['area'] > 1.5 and away['jpeg'] > 2


def test_areas_are_means(square):
  ((lr, hr),) = degrade.frozen_pairs([square], 4.0, shrinker='area')
  means = hr.reshape(12, 4, 12, 4, 3).mean(axis=(1, 3))
  np.testing.assert_allclose(lr, means, atol=0.51 / 255)


def test_a_shrinker_that_nobody_knows_is_told(square):
  with pytest.raises(ValueError, match=r"shrinker 'lanczos'.*pillow, matlab"):
    validate.psnr(validate.by_bicubic, [square], 2.0, shrinker='lanczos')


def test_one_seed_has_no_spread():
  assert validate.mean_and_spread([3.0]) == (3.0, 0.0)
  mean, spread = validate.mean_and_spread([1.0, 3.0])
  assert (mean, spread) == (2.0, pytest.approx(2**0.5))
