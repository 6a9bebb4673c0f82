"""Reading PyTorch files: right numbers, named mistakes, nothing ever run."""

import pathlib
import pickle
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.io import weights
from sr3d_jax.models import imdn

FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures' / 'image_networks'


def _init(key):
  return {
    'first': {
      'bias': jax.random.normal(key, (5,)),
      'kernel': jax.random.normal(key, (3, 2, 4, 5)),
    }
  }


CHECKPOINT = {
  'first.bias': np.arange(5.0),
  'first.weight': np.arange(120.0).reshape(5, 4, 3, 2),
}


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
  arrays = weights.load(FIXTURES / f'{name}.pth')
  dtype = np.float16 if name == 'imdn' else np.float32
  assert {a.dtype for a in arrays.values()} == {np.dtype(dtype)}
  first = next(iter(arrays.values()))
  assert first.shape[1:] == (3, 3, 3)
  # uniform in +-1/sqrt(27)
  assert 0.15 < np.abs(first).max() <= 0.1925


def test_a_strided_view_of_a_storage_is_read(tmp_path):
  path = _tensor_file(tmp_path, np.arange(7.0), 1, (3, 2), (1, 3))
  found = weights.load(path)['w']
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
    weights.load(path)


@pytest.mark.parametrize('function', [eval, print, getattr])
def test_a_pickle_that_calls_anything_is_refused(tmp_path, function, capsys):
  pickled = pickle.dumps({'w': _Hostile(function, '1', 'real')}, protocol=2)
  with pytest.raises(ValueError, match=rf'asks for \w+\.{function.__name__}'):
    weights.load(_archive(tmp_path, pickled))
  assert capsys.readouterr().out == ''


@pytest.mark.parametrize('kept', [0, 10, 400, 30_000])
@pytest.mark.parametrize('name', ['imdn', 'rlfn'])
def test_a_file_cut_short_is_named(tmp_path, name, kept):
  path = tmp_path / 'short.pth'
  path.write_bytes((FIXTURES / f'{name}.pth').read_bytes()[:kept][:-200])
  with pytest.raises(ValueError, match=r'short\.pth'):
    weights.load(path)


def test_a_wrapped_state_dict_wants_its_section(tmp_path):
  inner = _tensor_file(tmp_path, np.arange(2.0), 0, (2,), (1,))
  with zipfile.ZipFile(inner) as archive:
    pickled = archive.read('archive/data.pkl')
  key = pickle.dumps('params', protocol=2)[2:-1]
  wrapped = b'\x80\x02}' + key + pickled[2:-1] + b's.'
  storage = np.arange(2, dtype='<f4').tobytes()
  path = _archive(tmp_path, wrapped, storage)
  with pytest.raises(ValueError, match=r"\['params'\] are not: name the sec"):
    weights.load(path)
  found = weights.load(path, section='params')
  np.testing.assert_array_equal(found['w'], [0, 1])


def test_a_missing_file_is_named():
  with pytest.raises(FileNotFoundError, match=r'no weights at .*nowhere\.pth'):
    weights.load(FIXTURES / 'nowhere.pth')


def test_convert_moves_outputs_and_inputs_to_the_end():
  params = weights.convert(CHECKPOINT, _init)
  kernel = params['first']['kernel']
  assert kernel.shape == (3, 2, 4, 5)
  assert kernel[2, 1, 3, 4] == CHECKPOINT['first.weight'][4, 3, 2, 1]
  assert kernel[0, 1, 2, 3] == CHECKPOINT['first.weight'][3, 2, 0, 1]
  assert params['first']['bias'].dtype == jnp.float32


@pytest.mark.parametrize(
  'change, message',
  [
    ({'second.bias': np.zeros(1)}, r"\['second\.bias'\] too many"),
    ({'first.bias': None}, r"lack \['first\.bias'\]"),
    ({'first.bias': np.zeros(4)}, r'first\.bias .* \(4,\), wanted \(5,\)'),
  ],
)
def test_convert_uses_every_entry_exactly_once(change, message):
  checkpoint = CHECKPOINT | change
  checkpoint = {k: v for k, v in checkpoint.items() if v is not None}
  with pytest.raises(ValueError, match=message):
    weights.convert(checkpoint, _init)


def test_convert_refuses_a_table_that_uses_an_entry_twice():
  names = ((r'weight', 'bias'),)
  with pytest.raises(ValueError, match=r"\['first\.bias'\] would be used"):
    weights.convert({'first.bias': np.zeros(5)}, _init, names)


def test_the_table_of_imdn_names_the_published_parameters():
  found = weights.published_name('IMDB3.cca.excite.kernel', imdn.NAMES)
  assert found == 'module.IMDB3.cca.conv_du.2.weight'
  assert weights.published_name('c.bias', imdn.NAMES) == 'module.c.0.bias'
  found = weights.published_name('IMDB1.c1.bias', imdn.NAMES)
  assert found == 'module.IMDB1.c1.bias'


def test_save_then_restore_is_identity_to_half_precision(tmp_path):
  params = _init(jax.random.key(0))
  weights.save(tmp_path / 'w.npz', params)
  found = weights.restore(tmp_path / 'w.npz', _init)
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(params)):
    np.testing.assert_allclose(a, b, rtol=2**-11)
  with pytest.raises(FileNotFoundError, match=r'no weights at .*none\.npz'):
    weights.restore(tmp_path / 'none.npz', _init)
