"""Records: what went in comes out, one by one, and damage is told."""

import numpy as np
import pytest

from sr3d_jax.io import records


def _record(i):
  clip = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3) + i
  return {
    'lr': clip,
    'focal': np.float32([1.5, i]),
    'meta': {'source': f's{i}'},
  }


def test_what_goes_in_comes_out(tmp_path):
  for name, numbers in (('a', (0, 1)), ('b', (2,))):
    records.save(
      tmp_path / f'{name}.array_record', (_record(i) for i in numbers)
    )
  found = records.load(sorted(tmp_path.glob('*.array_record')))
  assert len(found) == 3
  for i in (2, 0, 1):
    assert found[i]['meta'] == {'source': f's{i}'}
    np.testing.assert_array_equal(found[i]['lr'], _record(i)['lr'])
    assert found[i]['focal'].dtype == np.float32


def test_a_record_that_fails_leaves_no_file(tmp_path):
  def failing():
    yield _record(0)
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    records.save(tmp_path / 'a.array_record', failing())
  assert not list(tmp_path.iterdir())


def test_what_is_no_file_of_records_is_refused(tmp_path):
  with pytest.raises(ValueError, match='no file of records was named'):
    records.load([])
  (tmp_path / 'a.array_record').write_bytes(b'not one')
  with pytest.raises(ValueError, match=r'a\.array_record: no whole file '):
    len(records.load([tmp_path / 'a.array_record']))


def test_a_record_that_is_damaged_is_told_and_the_others_are_read(tmp_path):
  noise = np.random.default_rng(0).integers(0, 255, 5000, np.uint8)
  for name in 'ab':
    path = tmp_path / f'{name}.array_record'
    records.save(path, ({**_record(i), 'noise': noise} for i in range(3)))
  data = bytearray(path.read_bytes())
  data[1000] ^= 0xFF  # of the first record, some 5,000 bytes
  path.write_bytes(data)
  found = records.load(sorted(tmp_path.glob('*.array_record')))
  assert len(found) == 6
  for i in (0, 1, 2, 4, 5):
    np.testing.assert_array_equal(found[i]['lr'], _record(i % 3)['lr'])
  told = r'b\.array_record: record 0 of 3 is damaged.* make it again'
  with pytest.raises(ValueError, match=told):
    found[3]


def test_a_record_of_another_program_is_told(tmp_path):
  module = pytest.importorskip('array_record.python.array_record_module')
  path = tmp_path / 'a.array_record'
  writer = module.ArrayRecordWriter(str(path), 'group_size:1')
  writer.write(b'no archive')
  writer.close()
  with pytest.raises(ValueError, match=r'a\.array_record: record 0 .* of ours'):
    records.load([path])[0]
