"""Patch pairs are aligned, reproducible and oriented together."""

import jax.numpy as jnp
import numpy as np
import pytest

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
  return image_pairs.make(roots=(str(folder),), scale=4, **options)


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


def test_degrade_crops_and_rounds_to_8_bits():
  hr = np.random.default_rng(0).random((19, 14, 3), np.float32)
  lr, cropped = image_pairs.degrade(jnp.asarray(hr), 4)
  assert lr.shape == (4, 3, 3)
  np.testing.assert_array_equal(cropped, hr[:16, :12])
  np.testing.assert_allclose(lr * 255, np.round(lr * 255), atol=1e-4)


def test_photographs_smaller_than_a_patch_are_an_error(folder):
  with pytest.raises(ValueError, match='is 256 px wide and high'):
    _make(folder, patch=64)
  with pytest.raises(FileNotFoundError):
    _make(folder / 'none')
