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
