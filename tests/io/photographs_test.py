"""Photographs of folders and datasets come in order, none too large."""

import grain
import numpy as np
import pytest

from sr3d_jax.io import images, photographs


def _save(folder, level, shape):
  images.save(folder / f'{level}.png', np.full((*shape, 3), level, np.uint8))


def test_roots_are_read_in_order_whatever_they_are(tmp_path, monkeypatch):
  def read(name, split, data_dir):
    assert (name, split, data_dir) == ('div2k', 'train', tmp_path)
    return grain.MapDataset.source([np.ones((4, 4, 3), np.float32)])

  monkeypatch.setattr(photographs.datasets, 'read', read)
  for level in (10, 20):
    _save(tmp_path, level, (5, 6))
  folder = str(tmp_path)
  dataset = f'tfds:div2k?split=train&data_dir={folder}'
  for roots, wanted in (
    ((dataset,), [255]),
    ((dataset, folder), [255, 10, 20]),
    ((folder, dataset), [10, 20, 255]),
  ):
    found = photographs.read_levels(roots, max_side=99)
    assert [photo[0, 0, 0] for photo in found] == wanted
    assert all(photo.dtype == np.uint8 for photo in found)


def test_only_large_photographs_are_shrunk(tmp_path):
  for level, shape in ((1, (20, 60)), (2, (60, 20)), (3, (30, 10))):
    _save(tmp_path, level, shape)
  found = photographs.read((str(tmp_path),), max_side=30)
  shapes = [found[i].shape for i in range(len(found))]
  assert shapes == [(10, 30, 3), (30, 10, 3), (30, 10, 3)]


@pytest.mark.parametrize('roots', ['train/images', ()])
def test_one_root_is_not_taken_for_many_letters(roots):
  with pytest.raises(ValueError, match='must be a tuple of folders'):
    photographs.read(roots, max_side=99)
