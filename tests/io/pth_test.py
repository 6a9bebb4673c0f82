"""Reading PyTorch files: right numbers, named damage, nothing ever run."""

import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from sr3d_jax.io import pth

FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures' / 'image_networks'
WRAPPED = FIXTURES.parent / 'field_networks' / 'liif.pth'


class _Hostile:
  """A pickle of it calls a function when loaded."""

  def __init__(self, *call):
    self.call = call

  def __reduce__(self):
    return self.call[0], self.call[1:]


def _archive(tmp_path, pickled, storage=b''):
  """A zip-format file of these bytes."""
  path = tmp_path / 'file.pth'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', pickled)
    archive.writestr('archive/data/0', storage)
  return path


def _tensor_file(tmp_path, values, offset, sizes, strides):
  """The state dict {'w': a view of `values`}, opcode by opcode."""
  push = lambda value: pickle.dumps(value, protocol=2)[2:-1]  # noqa: E731
  storage = b'(' + push('storage') + b'ctorch\nFloatStorage\n'
  storage += push('0') + push('cpu') + push(len(values)) + b'tQ'
  view = push(offset) + push(sizes) + push(strides) + b'\x89' + b'}'
  tensor = b'ctorch._utils\n_rebuild_tensor_v2\n(' + storage + view + b'tR'
  pickled = b'\x80\x02}' + push('w') + tensor + b's.'
  return _archive(tmp_path, pickled, np.asarray(values, '<f4').tobytes())


@pytest.mark.parametrize('name', ['rlfn', 'imdn', 'pan'])
def test_every_layout_and_precision_is_read(name):
  arrays = pth.load(FIXTURES / f'{name}.pth')
  dtype = np.float16 if name == 'imdn' else np.float32
  assert {a.dtype for a in arrays.values()} == {np.dtype(dtype)}
  first = next(iter(arrays.values()))
  assert first.shape[1:] == (3, 3, 3)
  # uniform in +-1/sqrt(27)
  assert 0.15 < np.abs(first).max() <= 0.1925


def test_a_strided_view_of_a_storage_is_read(tmp_path):
  path = _tensor_file(tmp_path, np.arange(7.0), 1, (3, 2), (1, 3))
  found = pth.load(path)['w']
  np.testing.assert_array_equal(found, [[1, 4], [2, 5], [3, 6]])


@pytest.mark.parametrize(
  'offset, sizes, strides',
  [
    (2, (3, 2), (1, 3)),  # one value past the end
    (-1, (2,), (1,)),
    (0, (2,), (-1,)),
    (0, (1 << 40,), (0,)),  # would fill the memory
    (0, (2, 2), (1,)),
    (8, (1,), (1,)),
  ],
)
def test_a_tensor_that_leaves_its_storage_is_refused(
  tmp_path, offset, sizes, strides
):
  path = _tensor_file(tmp_path, np.arange(7.0), offset, sizes, strides)
  with pytest.raises(ValueError, match=r'leaves its storage|strides'):
    pth.load(path)


@pytest.mark.parametrize('function', [eval, print, getattr])
def test_a_pickle_that_calls_anything_is_refused(tmp_path, function, capsys):
  pickled = pickle.dumps({'w': _Hostile(function, '1', 'real')}, protocol=2)
  with pytest.raises(ValueError, match=rf'asks for \w+\.{function.__name__}'):
    pth.load(_archive(tmp_path, pickled))
  assert capsys.readouterr().out == ''


@pytest.mark.parametrize('kept', [0, 10, 400, 30_000])
@pytest.mark.parametrize('name', ['imdn', 'rlfn'])
def test_a_file_cut_short_is_named(tmp_path, name, kept):
  path = tmp_path / 'short.pth'
  path.write_bytes((FIXTURES / f'{name}.pth').read_bytes()[:kept][:-200])
  with pytest.raises(ValueError, match=r'short\.pth'):
    pth.load(path)


def test_a_wrapped_state_dict_wants_its_section(tmp_path):
  inner = _tensor_file(tmp_path, np.arange(2.0), 0, (2,), (1,))
  with zipfile.ZipFile(inner) as archive:
    pickled = archive.read('archive/data.pkl')
  key = pickle.dumps('params', protocol=2)[2:-1]
  wrapped = b'\x80\x02}' + key + pickled[2:-1] + b's.'
  storage = np.arange(2, dtype='<f4').tobytes()
  path = _archive(tmp_path, wrapped, storage)
  with pytest.raises(ValueError, match=r"\['params'\] are not: name the sec"):
    pth.load(path)
  found = pth.load(path, section='params')
  np.testing.assert_array_equal(found['w'], [0, 1])


def test_a_section_may_lie_in_another_beside_other_things():
  found = pth.load(WRAPPED, section='model.sd')
  assert found['imnet.layers.0.weight'].shape == (8, 4 * 9 + 4)
  assert all(isinstance(array, np.ndarray) for array in found.values())


@pytest.mark.parametrize(
  'section, message',
  [
    (None, r"\['model', 'optimizer', 'epoch'\] are not: name the section"),
    ('model', r"\['name', 'args', 'sd'\] are not: name the section"),
    ('params', r"no section 'params' here, but \['model', 'optimizer'"),
    ('model.params', r"no section 'params' here, but \['name', 'args', 'sd'"),
    ('epoch.sd', "no section 'sd' here, but no sections"),
    ('epoch', 'expected tensors, got int: name the section'),
  ],
)
def test_a_wrong_section_is_told_the_right_ones(section, message):
  with pytest.raises(ValueError, match=message):
    pth.load(WRAPPED, section=section)


def test_a_missing_file_is_named():
  with pytest.raises(FileNotFoundError, match=r'no weights at .*nowhere\.pth'):
    pth.load(FIXTURES / 'nowhere.pth')
