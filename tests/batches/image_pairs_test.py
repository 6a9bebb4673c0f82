"""Patch pairs are aligned, reproducible and oriented together."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from sr3d_jax import image
from sr3d_jax.batches import image_pairs
from sr3d_jax.io import images as image_files


@pytest.fixture
def folder(tmp_path):
  """Two photographs whose colours tell the place: red columns, green rows."""
  for name, (height, width) in {'a': (64, 96), 'b': (80, 50)}.items():
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack(
      [columns / 100, rows / 100, np.full((height, width), 0.5)], axis=-1
    )
    image_files.save(tmp_path / f'{name}.png', picture)
  return tmp_path


def _make(folder, **options):
  options = {'patch': 8, 'batch_size': 6, 'seed': 3} | options
  if not options.keys() & {'scales', 'scale_range'}:
    options.setdefault('scale', 4)
  return image_pairs.make(roots=(str(folder),), **options)


def test_low_and_high_resolution_show_the_same_place(folder):
  for step in range(4):
    batch = _make(folder)(step)
    assert batch['lr'].shape == (6, 8, 8, 3)
    assert batch['hr'].shape == (6, 32, 32, 3)
    mean = image.resize(jnp.asarray(batch['hr']), 8, 8, method='area')
    # away from the border, where bicubic extrapolates a ramp; half a pixel
    # off at either resolution would be 0.005
    error = np.abs(mean - batch['lr'])[:, 1:-1, 1:-1]
    assert np.median(error) < 0.0025


def test_a_batch_depends_on_seed_and_step_alone(folder):
  stream, again = _make(folder), _make(folder)
  stream(0)
  np.testing.assert_array_equal(stream(5)['hr'], again(5)['hr'])
  assert not np.array_equal(stream(5)['hr'], stream(6)['hr'])
  assert not np.array_equal(stream(5)['hr'], _make(folder, seed=4)(5)['hr'])


def test_all_eight_orientations_occur(folder):
  batch = _make(folder, batch_size=64)(0)['hr']
  # red and green increments along rows and columns tell the orientation
  along_rows = np.sign(batch[:, 20, 10, :2] - batch[:, 10, 10, :2])
  along_columns = np.sign(batch[:, 10, 20, :2] - batch[:, 10, 10, :2])
  seen = {(*a, *b) for a, b in zip(along_rows, along_columns)}
  assert len(seen) == 8


def test_large_photographs_are_shrunk_first(folder):
  plain, shrunk = (
    _make(folder, max_side=side)(0)['hr'][..., 0] for side in (96, 48)
  )
  # red climbs 0.01 a pixel in photograph a, and twice that when half as wide
  climbs = [
    max(
      np.abs(x[:, 20] - x[:, 10]).max(), np.abs(x[:, :, 20] - x[:, :, 10]).max()
    )
    for x in (plain, shrunk)
  ]
  np.testing.assert_allclose(climbs, [0.1, 0.2], atol=0.01)


def test_photographs_smaller_than_a_patch_are_an_error(folder):
  with pytest.raises(ValueError, match='is 256 px wide and high'):
    _make(folder, patch=64)
  with pytest.raises(FileNotFoundError):
    _make(folder / 'none')


ANY_SCALE = {'scale_range': (1.0, 4.0)}, {'scales': (1.5, 2.7, 4)}


def test_the_fixed_stream_gives_the_numbers_it_gave_before(folder):
  batch = _make(folder)(5)
  levels = {name: np.round(255 * batch[name]).astype(int) for name in batch}
  assert {name: int(x.sum()) for name, x in levels.items()} == {
    'lr': 112_192,
    'hr': 1_794_240,
  }
  np.testing.assert_array_equal(levels['lr'][2, 3, 4], [55, 116, 128])


@pytest.mark.parametrize('scales', ANY_SCALE)
def test_colours_lie_where_the_queries_say(folder, scales):
  stream = _make(folder, batch_size=32, num_queries=40, **scales)
  batch = stream(0)
  rows, columns = batch['queries'].rows, batch['queries'].columns
  assert batch['lr'].shape == (32, 8, 8, 3)
  assert batch['rgb'].shape == (32, 40, 3)
  assert rows.shape == columns.shape == (32, 40)
  for lr, rgb, row, column in zip(batch['lr'], batch['rgb'], rows, columns):
    # The colours are planes, which four pixels in the middle determine: away
    # from the border, where bicubic extrapolates.
    slopes = [
      (lr[5, 3:5] - lr[2, 3:5]).mean(axis=0) / 3,
      (lr[3:5, 5] - lr[3:5, 2]).mean(axis=0) / 3,
    ]
    wanted = lr[3:5, 3:5].mean(axis=(0, 1)) + sum(
      (at[:, None] - 4) * slope for at, slope in zip((row, column), slopes)
    )
    # Slopes of 8 bits, out to 4 px. Half a pixel is 0.005 s or more of one
    # colour, at either resolution and whatever its sign.
    shift = np.mean(rgb - wanted, axis=0)
    assert np.abs(shift).max() < 0.0025


@pytest.mark.parametrize('scales', ANY_SCALE)
def test_queries_are_of_different_pixels_of_the_fine_patch(folder, scales):
  queries = _make(folder, num_queries=60, **scales)(1)['queries']
  assert queries.footprint.shape == (6, 1, 3)
  step = np.sqrt(queries.footprint[:, 0, 0])
  np.testing.assert_array_equal(queries.footprint[:, 0, 1], 0)
  np.testing.assert_array_equal(
    queries.footprint[:, 0, 2], queries.footprint[:, 0, 0]
  )
  for rows, columns, size in zip(queries.rows, queries.columns, step):
    side = round(8 / size)
    assert side == pytest.approx(8 / size, rel=1e-5)
    places = np.stack([rows, columns]) / size - 0.5
    np.testing.assert_allclose(places, np.round(places), atol=1e-4)
    places = np.round(places).astype(int)
    assert places.min() >= 0 and places.max() < side
    assert len(np.unique(places, axis=1).T) == 60


def test_a_scale_is_drawn_for_each_sample_or_for_each_batch(folder):
  def sides(**options):
    stream = _make(folder, patch=16, **options)
    queries = [stream(step)['queries'] for step in range(20)]
    found = [np.round(16 / np.sqrt(q.footprint[:, 0, 0])) for q in queries]
    return np.array(found).astype(int), [(q.height, q.width) for q in queries]

  found, sizes = sides(scale_range=(1.0, 3.0))
  assert set(sizes) == {(None, None)}
  assert found.min() >= 16 and found.max() <= 48
  assert len(np.unique(found)) > 25  # of the 33 there are
  assert len(np.unique(found[0])) > 1
  found, sizes = sides(scales=(1.3, 2, 3))
  assert sizes == [(side, side) for side in found[:, 0]]
  assert set(found.ravel()) == {21, 32, 48}
  assert (found == found[:, :1]).all()
  assert all(type(height) is int for height, _ in sizes)


def test_low_resolution_is_pillow_s_in_all_eight_orientations(tmp_path):
  noise = np.random.default_rng(0).integers(256, size=(40, 50, 3))
  image_files.save(tmp_path / 'noise.png', noise.astype(np.uint8))
  stream = _make(
    tmp_path, scales=(2.5,), patch=8, num_queries=400, batch_size=32
  )
  batch, seen = stream(0), set()
  order = np.lexsort((batch['queries'].columns, batch['queries'].rows))
  for lr, rgb, pixels in zip(batch['lr'], batch['rgb'], order):
    hr = np.round(255 * rgb[pixels]).astype(np.uint8).reshape(20, 20, 3)
    (turn,) = (t for t in TURNS if _lies_in(_turn(hr, t), noise))
    wanted = Image.fromarray(_turn(hr, turn)).resize((8, 8), Image.BICUBIC)
    found = _turn(np.round(255 * lr).astype(np.uint8), turn)
    np.testing.assert_array_equal(found, np.asarray(wanted))
    seen.add(turn)
  assert seen == set(TURNS)


TURNS = tuple(itertools.product((0, 1, 2, 3), (False, True)))


def _turn(square, turn):
  """Quarter turns of [n, n, 3], and perhaps a mirror."""
  square = np.rot90(square, turn[0])
  return np.ascontiguousarray(square[:, ::-1] if turn[1] else square)


def _lies_in(square, picture) -> bool:
  """Whether a square is somewhere in a picture, as it is."""
  height, width = picture.shape[0] - 19, picture.shape[1] - 19
  corners = (picture[:height, :width] == square[0, 0]).all(axis=-1)
  return any(
    (picture[i : i + 20, j : j + 20] == square).all()
    for i, j in zip(*np.nonzero(corners))
  )


@pytest.mark.parametrize('scales', ANY_SCALE)
def test_any_scale_is_a_function_of_seed_and_step_alone(folder, scales):
  stream, again = (_make(folder, **scales) for _ in range(2))
  for step in range(3):
    stream(step)
  jax.tree.map(np.testing.assert_array_equal, stream(7), again(7))
  for other in (again(8), _make(folder, seed=4, **scales)(7)):
    assert not np.array_equal(stream(7)['rgb'], other['rgb'])


def test_a_small_photograph_serves_the_scales_that_it_can(folder):
  # red is at most 0.5 in b, which is 50 px wide; patches are up to 64
  stream = _make(folder, patch=16, scale_range=(1.0, 4.0), batch_size=64)
  batch = stream(0)
  sides = 16 / np.sqrt(batch['queries'].footprint[:, 0, 0])
  climbs = np.ptp(batch['rgb'], axis=1)[:, :2].max(axis=1)
  np.testing.assert_allclose(climbs, sides / 100, atol=0.12)
  assert (sides > 51).any() and (sides < 49).any()
  _make(folder, scale_range=(8.0, 8.0))(0)  # beyond 4, where there is room


@pytest.mark.parametrize(
  'options, message',
  [
    ({'scale': 4, 'scales': (2,)}, 'got 2 of scale, scales and scale_range'),
    ({'scale': None, 'scales': None}, 'got 0 of scale'),
    ({'scale': 2.5}, r'whole and at least 1, got 2\.5.*scales=\(2\.5,\)'),
    ({'scales': ()}, r'at least 1, got \(\)'),
    ({'scales': (0.5, 2)}, r'at least 1, got \(0\.5, 2\)'),
    ({'scale_range': (4, 1)}, r'the least and the greatest, got \(4, 1\)'),
    ({'scale_range': (1, 2, 3)}, 'the least and the greatest'),
    ({'scales': (1, 2), 'num_queries': 65}, 'must be 1 to 64.*got 65'),
    ({'scales': (1, 2), 'num_queries': 0}, 'must be 1 to 64.*got 0'),
    ({'scales': (2, 10)}, 'no photograph is 80 px wide and high'),
  ],
)
def test_what_cannot_be_made_is_told(folder, options, message):
  with pytest.raises(ValueError, match=message):
    _make(folder, **options)
