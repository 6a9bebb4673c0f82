"""Pickles of tuples whose module is gone: right values, nothing ever run."""

import builtins
import collections
import os
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest

from sr3d_jax.io import tuple_pickles

MODULE = 'a_loader_that_is_gone'


class _Hostile:
  """A pickle of it calls a function when loaded."""

  def __init__(self, *call):
    self.call = call

  def __reduce__(self):
    return self.call[0], self.call[1:]


@pytest.fixture
def dump(tmp_path, monkeypatch):
  """Pickles what a function of the tuples' class gives; the class goes then."""
  base = collections.namedtuple('Base', 'id qvec name')
  kind = type('Image', (base,), {'rotation': lambda self: self.qvec})
  kind.__module__, kind.__qualname__ = MODULE, 'Image'
  path = tmp_path / 'cameras.pkl'

  def write(make, protocol=pickle.DEFAULT_PROTOCOL):
    with monkeypatch.context() as context:
      module = types.ModuleType(MODULE)
      module.Image = kind
      context.setitem(sys.modules, MODULE, module)
      path.write_bytes(pickle.dumps(make(kind), protocol))
    assert MODULE not in sys.modules
    return path

  return write


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
  'array',
  [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(6, dtype='>f4').reshape(3, 2),
    np.array([7, 255], np.uint8),
    np.zeros((0, 3)),
  ],
  ids=['C', 'Fortran', 'big endian', 'uint8', 'empty'],
)
def test_tuples_and_arrays_are_read_by_every_protocol(dump, array, protocol):
  path = dump(
    lambda kind: {3: kind(3, array, 'a.jpg'), 'n': [np.float64(2.5), (1, 2)]},
    protocol,
  )
  found = tuple_pickles.load(path)
  number, values, name = found[3]
  assert (number, name, found[3].origin) == (3, 'a.jpg', f'{MODULE}.Image')
  np.testing.assert_array_equal(values, array)
  assert values.dtype == array.dtype and found['n'] == [2.5, (1, 2)]


@pytest.mark.parametrize(
  'function', [builtins.eval, builtins.print, os.system, subprocess.getoutput]
)
def test_a_pickle_that_calls_anything_is_refused(dump, function, capfd):
  path = dump(lambda kind: {1: kind(1, _Hostile(function, '1'), 'a')})
  told = rf'cameras\.pkl .*asks for \w+\.{function.__name__}.* np\.savez'
  with pytest.raises(ValueError, match=told):
    tuple_pickles.load(path)
  assert capfd.readouterr().out == ''


def test_functions_of_numpy_are_not_called(dump, tmp_path):
  target = tmp_path / 'written.npy'
  path = dump(lambda kind: [_Hostile(np.save, str(target), np.ones(3))])
  tuple_pickles.load(path)
  assert not target.exists()


@pytest.mark.parametrize(
  'make, told',
  [
    (lambda kind: np.array([{}], object), "numbers, got numpy type 'O8'"),
    (lambda kind: np.zeros(2, [('a', 'f4')]), "numpy type 'V4'"),
    (lambda kind: {1: kind}, 'expected arrays and named tuples, got .*Image'),
    (lambda kind: {1, 2}, 'got builtins.set'),
  ],
  ids=['objects', 'fields', 'class', 'set'],
)
def test_other_things_than_numbers_are_told(dump, make, told):
  protocol = 2  # writes a set as a call, and types as letters
  with pytest.raises(ValueError, match=told):
    tuple_pickles.load(dump(make, protocol))


@pytest.mark.parametrize('share', [0.0, 0.3, 0.6, 0.95])
def test_a_file_cut_short_is_told(dump, share):
  path = dump(lambda kind: {1: kind(1, np.arange(99.0), 'a.jpg')})
  data = path.read_bytes()
  path.write_bytes(data[: int(share * len(data))])
  with pytest.raises(ValueError, match=r'cameras\.pkl is no whole pickle'):
    tuple_pickles.load(path)


def test_an_array_with_too_few_bytes_is_told(dump):
  path = dump(lambda kind: np.arange(5, dtype=np.uint8))
  data = path.read_bytes().replace(b'K\x05\x85', b'K\x09\x85')
  path.write_bytes(data)
  with pytest.raises(ValueError, match=r'an array \(9,\) of uint8 has 5 bytes'):
    tuple_pickles.load(path)


def test_a_list_within_itself_ends(dump):
  def loop(kind):
    entries = []
    entries.append(entries)
    return entries

  with pytest.raises(ValueError, match='no whole pickle'):
    tuple_pickles.load(dump(loop))
