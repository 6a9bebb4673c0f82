"""Reading PyTorch files: right numbers, named damage, nothing ever run."""

import pathlib
import pickle
import zipfile

import numpy as np
import pytest
import torch_files
from torch_files import Call

from sr3d_jax.io import pth

FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures' / 'image_networks'
WRAPPED = FIXTURES.parent / 'field_networks' / 'liif.pth'
WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


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


@pytest.mark.parametrize('share', [0.01, 0.5, 0.99])
def test_an_archive_cut_short_is_told_as_one(tmp_path, share):
  whole = (FIXTURES / 'rlfn.pth').read_bytes()
  path = tmp_path / 'short.pth'
  path.write_bytes(whole[: int(share * len(whole))])
  told = (
    rf'short\.pth: it has {int(share * len(whole)):,} bytes, begins as a zip '
    'archive .* cut short; download it again'
  )
  with pytest.raises(ValueError, match=told):
    pth.load(path)


@pytest.mark.parametrize(
  'share, told',
  [
    (0.0003, 'neither a zip archive nor a legacy PyTorch file: .* download'),
    (0.02, 'truncated|ran out|Ran out'),
    (0.99, r'should hold \d+ values .* cut short'),
  ],
)
def test_a_legacy_file_cut_short_is_told_as_one(tmp_path, share, told):
  whole = (FIXTURES / 'imdn.pth').read_bytes()
  path = tmp_path / 'short.pth'
  path.write_bytes(whole[: int(share * len(whole))])
  with pytest.raises(ValueError, match=rf'short\.pth: .*({told})'):
    pth.load(path)


@pytest.mark.parametrize(
  'data, told',
  [
    (b'', 'it is empty'),
    (b'<!DOCTYPE html><html>Sign in</html>', 'it cannot be read'),
    (b'PK, but no archive', 'it cannot be read'),
    ('\N{SNOWMAN}'.encode(), 'it cannot be read'),
    (pickle.dumps([1, 2]) * 2, 'it is a pickle of something else'),
  ],
)
def test_what_is_no_checkpoint_is_told(tmp_path, data, told):
  path = tmp_path / 'page.pth'
  path.write_bytes(data)
  wanted = (
    rf'page\.pth: neither a zip archive nor a legacy PyTorch file: {told}'
  )
  with pytest.raises(ValueError, match=wanted):
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


def _training_run():
  """What Lightning writes beside the weights, as opcodes name it."""
  config = Call(
    'copyreg',
    '_reconstructor',
    (
      Call('omegaconf.dictconfig', 'DictConfig', None),
      Call('__builtin__', 'object', None),
      None,
    ),
    {'_content': {'lr': 1e-4}, '_flags': Call('__builtin__', 'set', ([1],))},
  )
  callback = Call('pytorch_lightning.callbacks', 'ModelCheckpoint', None)
  float64 = Call('numpy', 'dtype', ('f8', False, True))
  return {
    'pytorch-lightning_version': '1.4.2',
    'callbacks': {callback: {'best_model_score': np.zeros(1, np.float32)}},
    'optimizer_states': [{'state': {0: {'exp_avg': WEIGHT}}}],
    'score': Call('numpy.core.multiarray', 'scalar', (float64, 'raw')),
    'hyper_parameters': config,
  }


def test_what_lightning_keeps_beside_the_weights_is_left_alone(tmp_path):
  state = {'w': WEIGHT, 'betas': WEIGHT[0].astype(np.float64)}
  tree = _training_run() | {'state_dict': state}
  path = torch_files.write(tmp_path / 'a.ckpt', tree)
  found = pth.load(path, section='state_dict')
  np.testing.assert_array_equal(found['w'], WEIGHT)
  assert found['betas'].dtype == np.float64
  assert not found['w'].flags.writeable


@pytest.mark.parametrize(
  'module, name',
  [
    ('posix', 'system'),
    ('os', 'system'),
    ('subprocess', 'Popen'),
    ('__builtin__', 'eval'),
    ('functools', 'partial'),
    ('torch.serialization', 'os.system'),
  ],
)
def test_a_program_beside_the_weights_is_refused(tmp_path, module, name):
  trap = tmp_path / 'trap'
  call = Call(module, name, (f'touch {trap}',))
  tree = {'callbacks': [call], 'state_dict': {'w': WEIGHT}}
  path = torch_files.write(tmp_path / 'a.ckpt', tree)
  told = rf'a\.ckpt: the file asks for [\w.]+\.{name.split(".")[-1]}, which'
  with pytest.raises(ValueError, match=told):
    pth.load(path, section='state_dict')
  assert not trap.exists()


def test_an_object_of_another_package_is_no_tensor(tmp_path):
  call = Call('torch.nn', 'Linear', (2, 3), {'bias': None})
  tree = {'state_dict': {'w': WEIGHT, 'net': call}, 'model': call}
  path = torch_files.write(tmp_path / 'a.ckpt', tree)
  with pytest.raises(ValueError, match=r'but net asks for torch\.nn\.Linear'):
    pth.load(path, section='state_dict')
  with pytest.raises(ValueError, match=r'tensors, got torch\.nn\.Linear: name'):
    pth.load(path, section='model')


def test_numbers_of_unknown_kinds_matter_only_where_they_are_asked_for(
  tmp_path,
):
  kind = b'ctorch\nQInt8Storage\n'
  key = pickle.dumps('9', protocol=2)[2:-1]
  word = pickle.dumps('storage', protocol=2)[2:-1]
  storage = b'(' + word + kind + key + key + b'K\x01tQ'
  tensor = Call('torch._utils', '_rebuild_tensor_v2', (storage, 0, (1,), (1,)))
  tree = {'small': {'w': tensor}, 'state_dict': {'w': WEIGHT}}
  path = torch_files.write(tmp_path / 'a.ckpt', tree)
  assert set(pth.load(path, section='state_dict')) == {'w'}
  with pytest.raises(ValueError, match=r'w asks for torch\.QInt8Storage'):
    pth.load(path, section='small')


def test_a_changed_byte_is_noticed(tmp_path):
  path = torch_files.write(tmp_path / 'a.pth', {'w': WEIGHT})
  data = path.read_bytes()
  found = data.index(WEIGHT.tobytes())
  path.write_bytes(data[: found + 5] + b'\x99' + data[found + 6 :])
  with pytest.raises(ValueError, match=r'data/0 has another checksum'):
    pth.load(path)


def test_a_compressed_archive_is_refused(tmp_path):
  path = torch_files.write(tmp_path / 'a.pth', {'w': WEIGHT})
  with zipfile.ZipFile(path) as old, zipfile.ZipFile(
    tmp_path / 'b.pth', 'w', zipfile.ZIP_DEFLATED
  ) as new:  # fmt: skip
    for name in old.namelist():
      new.writestr(name, old.read(name))
  with pytest.raises(ValueError, match=r'b\.pth: .* is compressed'):
    pth.load(tmp_path / 'b.pth')


def test_a_dictionary_within_itself_ends(tmp_path):
  # }q\0 X a h\0 s: a dictionary whose entry is itself
  pickled = b'\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.'
  path = _archive(tmp_path, pickled)
  with pytest.raises(ValueError, match=r"\['a'\] are not: name the section"):
    pth.load(path, section='a.a.a')
