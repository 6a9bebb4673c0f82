"""Reading safetensors: in place, whole, and with damage told by name."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.io import safetensors

ARRAYS = {
  'a.weight': np.arange(6, dtype=np.float32).reshape(2, 3),
  'b.weight': np.arange(4).astype(jnp.bfloat16),
  'c.bias': np.ones((), np.float16),
}


@pytest.fixture
def file(tmp_path):
  path = tmp_path / 'a.safetensors'
  safetensors.save(path, ARRAYS, {'origin': 'here'})
  return path


def _raw(path, header, data=b'', length=None):
  """A file of this header, true or not."""
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  length = len(text) if length is None else length
  path.write_bytes(length.to_bytes(8, 'little') + text + data)
  return path


def _entry(start, end, kind='F32'):
  return {'dtype': kind, 'shape': [1], 'data_offsets': [start, end]}


def test_save_then_load_is_identity(file):
  found, metadata = safetensors.load(file)
  assert metadata == {'origin': 'here'}
  assert {n: a.shape for n, a in found.items()} == {
    n: a.shape for n, a in ARRAYS.items()
  }
  for name, array in ARRAYS.items():
    read = np.asarray(found[name])
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
  assert np.asarray(found['b.weight'], np.float32).dtype == np.float32


def test_a_file_is_readable_by_whom_other_files_are(file):
  other = file.with_name('other')
  other.touch()
  assert file.stat().st_mode == other.stat().st_mode


def test_arrays_are_read_when_they_are_asked_for(file):
  found, _ = safetensors.load(file)
  file.unlink()
  assert found['a.weight'].shape == (2, 3)
  with pytest.raises(FileNotFoundError):
    np.asarray(found['a.weight'])


@pytest.mark.parametrize('kept', [0, 5, 30, -1])
def test_a_file_cut_short_is_told_in_bytes(file, kept):
  data = file.read_bytes()
  file.write_bytes(data[:kept])
  told = rf'a\.safetensors has {len(data[:kept])} bytes.*cut short'
  with pytest.raises(ValueError, match=told):
    safetensors.load(file)


def test_a_header_longer_than_the_file_is_refused(tmp_path):
  path = _raw(tmp_path / 'a.safetensors', {}, length=2**60)
  with pytest.raises(ValueError, match='has 10 bytes and should begin with a'):
    safetensors.load(path)


@pytest.mark.parametrize(
  'header, told',
  [
    (b'{"a": 1', 'header of .* is damaged'),
    (b'[1]', 'header of .* is damaged'),
    (b'\xff\xfe', 'header of .* is damaged'),
    ({'a': {'dtype': 'F32'}}, 'header of .* is damaged'),
    (
      b'{"a": {"data_offsets": [0, 4]}, "a": {"data_offsets": [0, 4]}}',
      r"it names \['a'\] twice",
    ),
    ({'a': _entry(0, 4), 'b': _entry(2, 4)}, 'is damaged: Error while'),
    ({'a': _entry(0, 4, 'F99')}, 'is damaged: Error while'),
    (
      {'a': _entry(0, 4, 'I32')},
      'a and 0 others are I32, wanted F64, F32, F16',
    ),
  ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path, header, told):
  path = _raw(tmp_path / 'a.safetensors', header, bytes(4))
  with pytest.raises(ValueError, match=told):
    safetensors.load(path)


def test_what_cannot_be_written_leaves_nothing(tmp_path):
  with pytest.raises(OSError, match='could not write'):
    safetensors.save(tmp_path / 'no' / 'a.safetensors', ARRAYS, {})
  assert not list(tmp_path.iterdir())
  with pytest.raises(FileNotFoundError, match=r'no weights at .*a\.safet'):
    safetensors.load(tmp_path / 'a.safetensors')
