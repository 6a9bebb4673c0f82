"""The file of a radiance field: read as written, or told what is wrong."""

import json

import numpy as np
import pytest

from sr3d_jax.io import nerf_files
from sr3d_jax.types import Camera

NERF = nerf_files.Nerf(
  name='lego',
  network={'low': [-1.0, -1, -2], 'resolution': 4},
  arrays={'planes': np.arange(6.0).reshape(2, 3), 'mix.kernel': np.eye(2)},
  cameras=Camera(
    world_to_cam=np.stack([np.eye(4), 2 * np.eye(4), 3 * np.eye(4)]),
    focal=np.array([[7.0, 8], [9, 10], [11, 12]]),
    center=np.array([[1.0, 2], [3, 4], [5, 6]]),
    width=20,
    height=10,
  ),
)


@pytest.fixture
def path(tmp_path):
  """A whole file."""
  nerf_files.save(tmp_path / 'nerf.npz', NERF)
  return tmp_path / 'nerf.npz'


def test_a_field_is_read_as_it_was_written(path):
  found = nerf_files.load(path)
  assert (found.name, found.network) == (NERF.name, NERF.network)
  assert found.arrays.keys() == NERF.arrays.keys()
  for name, array in NERF.arrays.items():
    assert found.arrays[name].dtype == np.float32
    np.testing.assert_array_equal(found.arrays[name], array)
  for field in ('world_to_cam', 'focal', 'center', 'width', 'height'):
    np.testing.assert_array_equal(
      getattr(found.cameras, field), getattr(NERF.cameras, field)
    )


def _rewrite(path, change):
  with np.load(path) as file:
    arrays = dict(file)
  header = json.loads(str(arrays['header']))
  change(arrays, header)
  if 'header' in arrays:
    arrays['header'] = np.array(json.dumps(header))
  np.savez(path, **arrays)


@pytest.mark.parametrize(
  'change, told',
  [
    (lambda a, h: a.pop('header'), 'another kind, which holds cameras.center'),
    (lambda a, h: h.update(format='other'), 'another kind'),
    (lambda a, h: h.update(version=9), 'version 9, this code reads 1'),
    (lambda a, h: h.pop('width'), 'has no width'),
    (lambda a, h: a.pop('cameras.focal'), r'has no cameras\.focal'),
    (
      lambda a, h: a.update({'cameras.center': np.ones((2, 2))}),
      r'cameras\.center .* shape \(2, 2\), wanted \(3, 2\)',
    ),
    (
      lambda a, h: a.update({'cameras.world_to_cam': np.ones((0, 4, 4))}),
      r'shape \(0, 4, 4\), wanted \(1, 4, 4\)',
    ),
    (
      lambda a, h: a.update({'cameras.focal': np.full((3, 2), np.nan)}),
      r'cameras\.focal .* not finite',
    ),
    (
      lambda a, h: a.update({'params.planes': np.full(2, np.inf)}),
      'planes is not finite',
    ),
    (
      lambda a, h: [a.pop(n) for n in [*a] if n.startswith('params')],
      'no params',
    ),
  ],
)
def test_a_file_of_another_kind_is_told(path, change, told):
  _rewrite(path, change)
  with pytest.raises(ValueError, match=told) as caught:
    nerf_files.load(path)
  assert str(path) in str(caught.value)


def test_a_file_cut_short_a_folder_and_no_file_are_told(path):
  with pytest.raises(ValueError, match='is a folder: name'):
    nerf_files.load(path.parent)
  whole = path.read_bytes()
  for size in (0, 100, len(whole) - 30):
    path.write_bytes(whole[:size])
    with pytest.raises(ValueError, match=r'no whole \.npz file .* again'):
      nerf_files.load(path)
  path.write_bytes(b'solid text')
  with pytest.raises(ValueError, match=r'no whole \.npz file'):
    nerf_files.load(path)
  np.save(path.with_suffix('.npy'), np.ones(3))
  path.with_suffix('.npy').rename(path)
  with pytest.raises(ValueError, match=r'no whole \.npz file'):
    nerf_files.load(path)
  path.unlink()
  with pytest.raises(FileNotFoundError):
    nerf_files.load(path)
