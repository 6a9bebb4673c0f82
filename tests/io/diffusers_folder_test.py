"""Folders of diffusers: one file or several, each named where it is wrong."""

import json

import numpy as np
import pytest

from sr3d_jax.io import diffusers_folder, safetensors

CLASSES = ('AutoencoderKL',)
NAME = 'diffusion_pytorch_model'
OLD = 'encoder.mid_block.attentions.0'
FIRST = {f'{OLD}.query.weight': np.zeros((2, 2)), 'conv_in.bias': np.ones(3)}
SECOND = {f'{OLD}.proj_attn.bias': np.full(2, 7.0)}


def _write(folder, arrays, name=f'{NAME}.safetensors'):
  safetensors.save(folder / name, arrays, {})


def _write_shards(folder, second=SECOND, places=None):
  names = [f'{NAME}-{i:05d}-of-00002.safetensors' for i in (1, 2)]
  _write(folder, FIRST, names[0])
  _write(folder, second, names[1])
  found = dict.fromkeys(FIRST, names[0]) | dict.fromkeys(SECOND, names[1])
  index = {'metadata': {}, 'weight_map': found | (places or {})}
  path = folder / f'{NAME}.safetensors.index.json'
  path.write_text(json.dumps(index))
  return names


def test_one_file_is_read_by_today_s_names(tmp_path):
  _write(tmp_path, FIRST)
  arrays, files = diffusers_folder.load(tmp_path)
  assert set(arrays) == {f'{OLD}.to_q.weight', 'conv_in.bias'}
  assert [path.name for path in files] == [f'{NAME}.safetensors']


def test_a_variant_is_read_where_it_is_named(tmp_path):
  _write(tmp_path, SECOND, f'{NAME}.fp16.safetensors')
  arrays, _ = diffusers_folder.load(tmp_path, 'fp16')
  np.testing.assert_array_equal(arrays[f'{OLD}.to_out.0.bias'], [7, 7])
  with pytest.raises(FileNotFoundError, match=r"but \['.*fp16.*or name their"):
    diffusers_folder.load(tmp_path)


def test_shards_are_read_as_one(tmp_path):
  names = _write_shards(tmp_path)
  arrays, files = diffusers_folder.load(tmp_path)
  assert [path.name for path in files] == names
  assert len(arrays) == 3
  np.testing.assert_array_equal(arrays[f'{OLD}.to_out.0.bias'], [7, 7])


def test_a_shard_that_is_missing_is_named(tmp_path):
  names = _write_shards(tmp_path)
  (tmp_path / names[1]).unlink()
  with pytest.raises(FileNotFoundError, match=f'2 files, and {names[1]} are'):
    diffusers_folder.load(tmp_path)


@pytest.mark.parametrize(
  'changes, told',
  [
    ({'second': FIRST}, r"00001-of.* both hold \['conv_in.bias'"),
    (
      {'places': {'c': f'{NAME}-00002-of-00002.safetensors'}},
      'c is in .* none',
    ),
    ({'second': {'d': np.ones(1), **SECOND}}, 'd is in None, but .*00002-of'),
    ({'places': {'c': '../../c.safetensors'}}, 'names files of other folders'),
  ],
)
def test_shards_of_two_downloads_are_refused(tmp_path, changes, told):
  _write_shards(tmp_path, **changes)
  with pytest.raises(ValueError, match=told):
    diffusers_folder.load(tmp_path)


@pytest.mark.parametrize('text', ['[]', '{', '{"weight_map": 3}', '{}'])
def test_an_index_of_nothing_is_refused(tmp_path, text):
  (tmp_path / f'{NAME}.safetensors.index.json').write_text(text)
  with pytest.raises(ValueError, match=r'index\.json has no weight_map'):
    diffusers_folder.load(tmp_path)


def test_an_array_in_old_and_new_words_is_refused(tmp_path):
  _write(tmp_path, {**FIRST, f'{OLD}.to_q.weight': np.zeros((2, 2))})
  with pytest.raises(ValueError, match=r'to_q\.weight twice, in old and new'):
    diffusers_folder.load(tmp_path)


def test_a_config_is_of_the_class_that_is_wanted(tmp_path):
  path = tmp_path / 'config.json'
  with pytest.raises(FileNotFoundError, match=r'is no .*config\.json: name'):
    diffusers_folder.config(tmp_path, CLASSES)
  path.write_text('{"_class_name": "AutoencoderKL", "act_fn": "silu"}')
  assert diffusers_folder.config(tmp_path, CLASSES)['act_fn'] == 'silu'
  for text, told in (
    (
      '{"_class_name": "VQModel"}',
      "_class_name 'VQModel', wanted AutoencoderKL",
    ),
    ('[]', '_class_name None, wanted'),
    ('{', r'config\.json is no JSON'),
  ):
    path.write_text(text)
    with pytest.raises(ValueError, match=told):
      diffusers_folder.config(tmp_path, CLASSES)


def test_a_scheduler_s_config_has_a_name_of_its_own(tmp_path):
  name = 'scheduler_config.json'
  (tmp_path / name).write_text('{"_class_name": "DDIMScheduler", "a": 1}')
  found = diffusers_folder.config(tmp_path, ('DDIMScheduler',), name)
  assert found['a'] == 1
