"""Cuts of pairs show one place at one time, at both resolutions."""

import numpy as np
import pytest

from sr3d_jax.batches import clip_pairs
from sr3d_jax.io import records


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Pixels that tell frame, row and column; the fine clip repeats them."""
  folder = tmp_path_factory.mktemp('pairs')
  t, rows, columns = np.mgrid[:9, :12, :10].astype(np.uint8)
  lr = np.stack([20 * t, rows, columns], axis=-1)
  hr = lr.repeat(4, axis=1).repeat(4, axis=2)
  records.save(folder / 'a.array_record', [{'lr': lr, 'hr': hr}])
  small = {'lr': lr[:, :4, :4], 'hr': hr[:, :16, :16]}
  records.save(folder / 'b.array_record', [small])
  return folder


def _make(folder, **options):
  options = {'patch': 6, 'num_frames': 3, 'batch_size': 16} | options
  return clip_pairs.make(roots=(str(folder),), **options)


def test_cuts_are_aligned_in_space_and_time(folder):
  batch = _make(folder)(0)
  assert batch['lr'].shape == (16, 3, 6, 6, 3)
  assert batch['hr'].shape == (16, 3, 24, 24, 3)
  assert batch['flow'].shape == (16, 2, 6, 6, 2)
  assert np.isnan(batch['flow']).all()
  for offset in (0, 3):
    np.testing.assert_array_equal(
      batch['hr'][..., offset::4, offset::4, :], batch['lr']
    )
  steps = np.diff(np.round(255 * batch['lr'][:, :, 0, 0, 0] / 20), axis=1)
  assert set(np.unique(steps)) == {-2, -1, 1, 2}
  np.testing.assert_array_equal(steps[:, 0], steps[:, 1])


def test_a_batch_depends_on_seed_and_step_alone(folder):
  stream, again = _make(folder), _make(folder)
  stream(0)
  np.testing.assert_array_equal(stream(3)['hr'], again(3)['hr'])
  assert not np.array_equal(stream(3)['hr'], stream(4)['hr'])
  assert not np.array_equal(stream(3)['hr'], _make(folder, seed=1)(3)['hr'])


@pytest.mark.parametrize(
  'augment, turned, reversed_',
  [
    ((), False, False),
    (('reverse',), False, True),
    (('transpose',), True, False),
  ],
)
def test_chance_does_to_cuts_what_it_is_allowed_to(
  folder, augment, turned, reversed_
):
  lr = _make(folder, batch_size=64, augment=augment)(0)['lr']
  rows, columns = lr[..., 1], lr[..., 2]
  upright = np.ptp(rows, axis=-1).max(axis=(1, 2)) == 0
  assert np.all(upright | (np.ptp(columns, axis=-1).max(axis=(1, 2)) == 0))
  assert np.any(~upright) == turned
  # Nothing is mirrored: both grow from the first pixel on.
  assert np.all(lr[:, 0, -1, -1, 1] > lr[:, 0, 0, 0, 1])
  assert np.any(lr[:, 1, 0, 0, 0] < lr[:, 0, 0, 0, 0]) == reversed_


def test_an_augmentation_that_is_not_known_is_told(folder):
  with pytest.raises(ValueError, match=r'some of flip_rows, .*got spin'):
    _make(folder, augment=('spin',))


@pytest.fixture(scope='module')
def named(tmp_path_factory):
  """Pairs of two desks and a fox; each clip is of one grey level."""
  folder = tmp_path_factory.mktemp('named')
  for level, source, num in ((10, 'desk1', 100), (20, 'desk2', 200),
                             (30, 'fox', 300)):  # fmt: skip
    lr = np.full((3, 8, 8, 3), level, np.uint8)
    hr = np.full((3, 32, 32, 3), level + 1, np.uint8)
    meta = {'source': source, 'num_splats': num}
    file = folder / f'{source}.array_record'
    records.save(file, [{'lr': lr, 'hr': hr, 'meta': meta}])
  return folder


def _levels(folder, name='lr', **options):
  batch = _make(folder, batch_size=200, num_frames=2, **options)(0)
  levels = np.round(255 * batch[name][:, 0, 0, 0, 0]).astype(int)
  return dict(zip(*np.unique(levels, return_counts=True)))


def test_sources_come_as_often_as_they_weigh(named):
  found = _levels(named, sources={'desk': 1.0, 'fox': 3.0})
  assert found[10] + found[20] == pytest.approx(50, abs=20)
  assert found[10] == pytest.approx(25, abs=15)
  assert _levels(named, sources={'desk2': 1.0, 'fox': 0.0}) == {20: 200}


def test_pairs_are_chosen_by_what_they_are_of(named):
  assert set(_levels(named, held_out=('fox',))) == {10, 20}
  assert set(_levels(named, num_splats=(150, 300))) == {20, 30}
  # shrunk photos are those of the fine clip
  assert set(_levels(named, photo_share=1.0)) == {11, 21, 31}


@pytest.mark.parametrize(
  'options, message',
  [
    ({'held_out': ('cat',)}, r"with 'cat'.*held out: there are desk1, desk2"),
    ({'held_out': ('',)}, 'all 3 pairs are held out'),
    ({'num_splats': (1, 9)}, 'no pair has 1 to 9 splats.*100, 200, 300'),
    ({'sources': {'cat': 1.0}}, "none of 3 pairs whose source has 'cat'"),
    ({'sources': {'fox': 0.0}}, 'must have a weight above 0'),
    ({'photo_share': 2.0}, r'photo_share must lie in \[0, 1\], got 2'),
  ],
)
def test_a_choice_that_leaves_nothing_is_refused(named, options, message):
  with pytest.raises(ValueError, match=message):
    _make(named, **options)


@pytest.mark.parametrize(
  'options, message',
  [
    ({'num_frames': 10}, 'none of 2 pairs has 10 frames of 6 coarse px'),
    ({'patch': 11}, 'none of 2 pairs has 3 frames of 11 coarse px'),
    ({'scale': 2}, r'at scale 2 the fine one would be \(9, 24, 20, 3\)'),
  ],
)
def test_what_cannot_be_cut_is_refused(folder, options, message):
  with pytest.raises(ValueError, match=message):
    _make(folder, **options)


def test_a_folder_without_pairs_is_refused(tmp_path):
  with pytest.raises(ValueError, match=r'make them by experiments\.make_vsr'):
    _make(tmp_path)
