"""Squares and their enlarged coarse twins show one place, at any scale."""

import itertools

import numpy as np
import pytest

from sr3d_jax import degrade, image
from sr3d_jax.batches import enlarged_pairs
from sr3d_jax.io import images as image_files

TURNS = tuple(itertools.product((0, 1, 2, 3), (False, True)))


@pytest.fixture(scope='module')
def noise(tmp_path_factory):
  """A folder of one photograph that is told by any of its squares."""
  folder = tmp_path_factory.mktemp('noise')
  levels = np.random.default_rng(0).integers(256, size=(65, 89, 3))
  image_files.save(folder / 'noise.png', levels.astype(np.uint8))
  return folder


@pytest.fixture(scope='module')
def ramps(tmp_path_factory):
  """A folder of a photograph: red climbs 4 levels a column, green a row."""
  folder = tmp_path_factory.mktemp('ramps')
  rows, columns = np.mgrid[:62, :62]
  levels = np.stack([4 * columns, 4 * rows, np.full((62, 62), 99)], axis=-1)
  image_files.save(folder / 'ramps.png', levels.astype(np.uint8))
  return folder


def _make(folder, **options):
  options = {'side': 12, 'scales': (3.0,), 'batch_size': 16} | options
  return enlarged_pairs.make(roots=(str(folder),), **options)


def test_a_square_looks_as_it_does_within_a_whole_picture(noise):
  """Whatever its orientation: the margin hides that less was shrunk."""
  photo = np.round(255 * image_files.load(noise / 'noise.png')).astype(np.uint8)
  phases = itertools.product(range(3), repeat=2)
  wholes = {(i, j): _enlarged(photo[i:, j:][:63, :87]) for i, j in phases}
  batch, seen = _make(noise, batch_size=48)(0), set()
  for hr, coarse in zip(batch['hr'], batch['coarse']):
    levels = np.round(255 * hr).astype(np.uint8)
    ((turn, (top, left)),) = (
      (turn, corner)
      for turn in TURNS
      for corner in _corners(_turn(levels, turn), photo)
    )
    rows, columns = (slice(x // 3 * 3, x // 3 * 3 + 12) for x in (top, left))
    wanted = wholes[top % 3, left % 3][rows, columns]
    np.testing.assert_allclose(_turn(coarse, turn), wanted, atol=1e-5)
    seen.add(turn)
  assert seen == set(TURNS)


def _enlarged(levels):
  """A whole picture of [63, 87, 3] uint8 after shrinking it by 3."""
  lr = degrade.shrink_levels(levels, 21, 29).astype(np.float32) / 255
  whole = image.resize(lr, 63, 87, method='bicubic_torch', antialias=False)
  return np.clip(whole, 0, 1)


def _turn(square, turn):
  """Quarter turns of [n, n, 3], and perhaps a mirror."""
  square = np.rot90(square, turn[0])
  return np.ascontiguousarray(square[:, ::-1] if turn[1] else square)


def _corners(square, photo) -> list[tuple[int, int]]:
  """Where a square lies in a photograph, as it is."""
  height, width = (x - len(square) + 1 for x in photo.shape[:2])
  starts = np.nonzero((photo[:height, :width] == square[0, 0]).all(axis=-1))
  return [
    (i, j)
    for i, j in zip(*starts)
    if (photo[i : i + len(square), j : j + len(square)] == square).all()
  ]


@pytest.mark.parametrize('scale', [1.0, 1.3, 2.0, 2.5, 3.7])
def test_a_ramp_stays_where_it_is_at_any_scale(ramps, scale):
  batch = _make(ramps, scales=(scale,), side=13)(0)
  assert batch['coarse'].shape == batch['hr'].shape == (16, 13, 13, 3)
  assert batch['coarse'].dtype == batch['hr'].dtype == np.float32
  shift = 255 * (batch['coarse'] - batch['hr'])
  # Two roundings to 8 bits. Half a pixel is 2 levels of a ramp.
  assert np.abs(shift).max() < 1.5
  assert np.abs(shift.mean(axis=(1, 2))).max() < 0.6


def test_a_scale_of_one_changes_nothing(noise):
  batch = _make(noise, scales=(1.0,))(0)
  np.testing.assert_array_equal(batch['coarse'], batch['hr'])


def test_a_batch_depends_on_seed_and_step_alone(noise):
  stream, again = _make(noise), _make(noise)
  stream(0)
  for name in ('hr', 'coarse'):
    np.testing.assert_array_equal(stream(5)[name], again(5)[name])
    assert not np.array_equal(stream(5)[name], stream(6)[name])
    other = _make(noise, seed=4)(5)
    assert not np.array_equal(stream(5)[name], other[name])


@pytest.mark.parametrize('degradation', ['light', 'real'])
def test_a_degradation_worsens_the_coarse_square_alone(ramps, degradation):
  clean = _make(ramps, batch_size=1)
  worse, again = (
    _make(ramps, batch_size=1, degradation=degradation) for _ in range(2)
  )
  for step in range(3):
    batch, wanted = worse(step), clean(step)
    np.testing.assert_array_equal(batch['coarse'], again(step)['coarse'])
    error = [np.std(b['coarse'] - b['hr']) for b in (batch, wanted)]
    assert error[0] > 2 * error[1]
    assert batch['coarse'].min() >= 0 and batch['coarse'].max() <= 1


def test_each_sample_draws_its_scale_and_repeats_weigh(noise):
  batch = _make(noise, scales=(1.0, 1.0, 1.0, 3.0), batch_size=200)(0)
  kept = (batch['hr'] == batch['coarse']).all(axis=(1, 2, 3))
  assert 0.6 < kept.mean() < 0.9


def test_a_small_photograph_serves_the_scales_that_it_can(noise, tmp_path):
  grey = np.full((40, 300, 3), 128, np.uint8)  # at scale 3 36 px are cut
  image_files.save(tmp_path / 'grey.png', grey[:35])
  options = {'side': 12, 'scales': (1.0, 3.0), 'batch_size': 60}
  roots = (str(noise), str(tmp_path))
  batch = enlarged_pairs.make(roots=roots, **options)(0)
  is_grey = np.ptp(batch['hr'], axis=(1, 2, 3)) == 0
  is_coarse = (batch['hr'] != batch['coarse']).any(axis=(1, 2, 3))
  assert is_grey.any() and is_coarse.any() and not is_coarse[is_grey].any()


@pytest.mark.parametrize(
  'options, message',
  [
    ({'side': 0}, 'side must be positive, got 0'),
    ({'scales': ()}, r'scales must be at least 1, got \(\)'),
    ({'scales': (2.0, 0.5)}, r'at least 1, got \(2\.0, 0\.5\)'),
    (
      {'degradation': 'mud'},
      "'mud': choose from clean, light, real",
    ),
    ({'scales': (6.0,)}, 'no photograph is 60 px wide and high'),
    ({'roots': 'train/images'}, 'must be a tuple of folders'),
  ],
)
def test_what_cannot_be_made_is_told(ramps, options, message):
  options = {'roots': (str(ramps),), 'max_side': 50, 'side': 12} | options
  with pytest.raises(ValueError, match=message):
    enlarged_pairs.make(**options)
