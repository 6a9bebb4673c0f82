"""Clips are aligned in space and time, and say how they move."""

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import image, warp
from sr3d_jax.batches import clips
from sr3d_jax.io import images as image_files


def _smooth(height, width, phase=0.0):
  """Red tells the column and green the row; both change slowly."""
  rows, columns = np.mgrid[:height, :width]
  blue = 0.5 + 0.3 * np.sin(rows / 20 + phase) * np.cos(columns / 25)
  return np.stack([columns / 400, rows / 400, blue], axis=-1)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  root = tmp_path_factory.mktemp('clips')
  image_files.save(root / 'photos' / 'a.png', _smooth(220, 260))
  wide = _smooth(60, 110, phase=2.0)
  for t in range(6):
    frame = wide[:, 4 * t : 4 * t + 70]
    image_files.save(root / 'films' / 'pan' / f'{t:05d}.png', frame)
  image_files.save(root / 'films' / 'short' / '0.png', wide[:, :70])
  return root


def _make(folders, *kinds, **options):
  sizes = {'patch': 12, 'num_frames': 3, 'batch_size': 6, 'seed': 3}
  roots = {kind: (str(folders / kind),) for kind in kinds}
  return clips.make(**roots, **sizes | options)


@pytest.mark.parametrize('kind', ['films', 'photos'])
def test_low_and_high_resolution_show_the_same(folders, kind):
  batch = _make(folders, kind)(0)
  assert batch['lr'].shape == (6, 3, 12, 12, 3)
  assert batch['hr'].shape == (6, 3, 48, 48, 3)
  assert batch['flow'].shape == (6, 2, 12, 12, 2)
  mean = image.resize(jnp.asarray(batch['hr']), 12, 12, method='area')
  error = np.abs(mean - batch['lr'])[:, :, 1:-1, 1:-1]
  assert np.median(error) < 0.0025
  assert np.ptp(batch['hr'][:, 0], axis=(1, 2)).min() > 0.05


def test_photographs_move_by_the_flow_that_is_told(folders):
  batch = _make(folders, 'photos', shift=2.0, turn=8.0, zoom=0.05)(1)
  lr, flow = (jnp.asarray(batch[key]) for key in ('lr', 'flow'))
  assert jnp.abs(flow).max() > 1.5
  # frames differ by turning, too: the flow is no shift
  assert jnp.ptp(flow, axis=(2, 3)).max() > 0.5
  frames, nexts = (x.reshape(-1, 12, 12, 3) for x in (lr[:, :-1], lr[:, 1:]))

  def error(flow):
    warped = warp.by_flow(nexts, flow.reshape(-1, 12, 12, 2), beyond='edge')
    return jnp.abs(warped - frames)[:, 4:-4, 4:-4].mean()

  # two roundings to 8 bits, 0.0013, and interpolation
  assert error(flow) < 0.002
  for wrong in (-flow, flow[..., ::-1], 0 * flow):
    assert error(wrong) > 0.005


def test_photographs_hold_the_largest_motion(folders, monkeypatch):
  options = {'shift': 7.0, 'turn': 45.0, 'zoom': 0.15, 'num_frames': 4}

  class Fastest:
    def uniform(self, low, high, size):
      return np.full(size, high)

  move = clips._move
  monkeypatch.setattr(
    clips, '_move', lambda rng, *options: move(Fastest(), *options)
  )
  batch = _make(folders, 'photos', **options)(0)
  # none of it lies beyond the photograph, which is black there
  assert batch['hr'][..., 2].min() > 0.15


def test_films_keep_their_frames_in_order_or_reversed(folders):
  batch = _make(folders, 'films', strides=(2,), num_frames=3)(0)
  assert np.isnan(batch['flow']).all()
  # the camera pans by 8 px: red, or after transposing green, tells how far
  shifts = np.diff(batch['hr'].mean(axis=(2, 3))[..., :2], axis=1) * 400
  along = np.where(np.abs(shifts[..., 0]) > 4, shifts[..., 0], shifts[..., 1])
  np.testing.assert_allclose(np.abs(shifts[..., 0]), 8, atol=0.2)
  assert np.unique(np.sign(along)).tolist() == [-1, 1]


def test_both_kinds_come_in_their_shares(folders):
  stream = _make(folders, 'films', 'photos', photo_share=0.75, batch_size=64)
  known = np.isfinite(stream(0)['flow']).all(axis=(1, 2, 3, 4))
  assert 0.6 < known.mean() < 0.9


def test_a_batch_depends_on_seed_and_step_alone(folders):
  stream, again = (_make(folders, 'photos') for _ in range(2))
  stream(0)
  np.testing.assert_array_equal(stream(5)['hr'], again(5)['hr'])
  assert not np.array_equal(stream(5)['hr'], stream(6)['hr'])
  other = _make(folders, 'photos', seed=4)
  assert not np.array_equal(stream(5)['hr'], other(5)['hr'])


def test_a_clip_may_be_one_frame(folders):
  batch = _make(folders, 'films', 'photos', num_frames=1)(0)
  assert batch['lr'].shape == (6, 1, 12, 12, 3)
  assert batch['flow'].shape == (6, 0, 12, 12, 2)


@pytest.mark.parametrize(
  'kinds, options, message',
  [
    ((), {}, 'give films, photos or both'),
    (('films',), {'num_frames': 9}, 'no film has 9 frames of 48 px, 1 apart'),
    (('films',), {'patch': 20}, 'no film has 3 frames of 80 px'),
    (('photos',), {'patch': 50}, 'no photograph is .* px wide and high'),
    (
      ('photos',),
      {'zoom': 0.3, 'shift': 0.0, 'num_frames': 6},
      'no photograph is 304 px',
    ),
    (('films',), {'strides': (0,)}, 'strides must be some numbers from 1'),
    (('films',), {'photo_share': 1.5}, r'lie in \[0, 1\], got .* and 1.5'),
    (('photos',), {'scale': 2.5}, 'must be whole and at least 1, got 2.5'),
  ],
)
def test_what_cannot_be_shown_is_refused(folders, kinds, options, message):
  with pytest.raises(ValueError, match=message):
    _make(folders, *kinds, **options)


def test_photographs_that_are_left_out_are_told(folders, tmp_path):
  for name, size in (('large', 220), ('small', 60)):
    image_files.save(tmp_path / f'{name}.png', _smooth(size, size))
  with pytest.warns(UserWarning, match='only 1 of 2 photographs are .* px'):
    clips.make(photos=(str(tmp_path),), patch=12, num_frames=3)


def test_folders_that_are_no_films_are_refused(folders, tmp_path):
  with pytest.raises(ValueError, match='a film is a folder of frames'):
    clips.make(films=(str(folders / 'photos'),))
  image_files.save(tmp_path / 'film' / '0.png', _smooth(20, 30))
  image_files.save(tmp_path / 'film' / '1.png', _smooth(20, 31))
  with pytest.raises(ValueError, match='differ in size'):
    clips.make(films=(str(tmp_path),))
