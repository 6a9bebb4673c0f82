"""Bundles: what is written is read back, part by part, and errors name it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.io import bundles, safetensors, weights

ARRAYS = {
  'first.bias': np.arange(5, dtype=np.float32),
  'first.kernel': np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 1, 3, 4),
}
TEXT = np.full((1, 77, 8), 0.5, np.float32)


def _init(key):
  del key
  return weights.unflatten((n, np.zeros(a.shape)) for n, a in ARRAYS.items())


def _save(path, parts=None, **manifest):
  parts = parts or {'unet': ARRAYS, 'text': {'embedding': TEXT}}
  described = {'unet': {'network': 'unet', 'sizes': {}}}
  bundles.save(path, parts, {'parts': described, **manifest})
  return path


def test_a_part_is_read_back_in_the_type_that_is_asked_for(tmp_path):
  bundle = bundles.load(_save(tmp_path / 'a.safetensors', dtype='float32'))
  assert bundle.manifest['dtype'] == 'float32'
  for dtype in (jnp.float32, jnp.bfloat16):
    params = bundles.params(bundle, 'unet', _init, dtype)
    for name, array in weights.flatten(params).items():
      assert array.dtype == dtype
      np.testing.assert_array_equal(array, ARRAYS[name].astype(dtype))
  np.testing.assert_array_equal(bundles.text(bundle), TEXT)


def test_a_part_of_another_network_is_refused(tmp_path):
  short = {'first.bias': ARRAYS['first.bias']}
  bundle = bundles.load(_save(tmp_path / 'a.safetensors', {'unet': short}))
  with pytest.raises(ValueError, match=r"unet of .*a\.s.* lack \['first\.k"):
    bundles.params(bundle, 'unet', _init)
  with pytest.raises(ValueError, match='has the parts unet and no encoder'):
    bundles.params(bundle, 'encoder', _init)
  wide = {**ARRAYS, 'first.bias': np.zeros(6, np.float32)}
  bundle = bundles.load(_save(tmp_path / 'b.safetensors', {'unet': wide}))
  with pytest.raises(ValueError, match=r'shape \(6,\), wanted \(5,\)'):
    bundles.params(bundle, 'unet', _init)


def test_without_a_text_embedding_none_is_made_up(tmp_path):
  bundle = bundles.load(_save(tmp_path / 'a.safetensors', {'unet': ARRAYS}))
  with pytest.raises(ValueError, match=r'no text embedding.*docs/weights\.md'):
    bundles.text(bundle)


def test_other_files_are_no_bundles(tmp_path):
  path = tmp_path / 'a.safetensors'
  safetensors.save(path, ARRAYS, {})
  with pytest.raises(ValueError, match=r'is no file of experiments\.convert'):
    bundles.load(path)
  _save(path, format=2)
  with pytest.raises(ValueError, match='format 2, wanted 1'):
    bundles.load(path)


def test_a_text_embedding_is_read_and_checked(tmp_path):
  path = tmp_path / 'empty.npy'
  np.save(path, TEXT.astype(np.float16))
  found = bundles.read_text(path, 8)
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found, TEXT)
  for wrong, told in (
    (TEXT[0], r'of shape \(1, 77, 8\), got \(77, 8\): see docs/weights'),
    (TEXT.astype(int), 'finite fractions, got int64'),
    (TEXT * np.nan, 'finite fractions, got float32'),
  ):
    np.save(path, wrong)
    with pytest.raises(ValueError, match=told):
      bundles.read_text(path, 8)
  path.write_text('0.5')
  with pytest.raises(ValueError, match=r'empty\.npy is no \.npy file'):
    bundles.read_text(path, 8)


def test_an_origin_is_a_name_a_size_and_a_checksum(tmp_path):
  path = tmp_path / 'a.ckpt'
  path.write_bytes(b'abc')
  (found,) = bundles.origins([path])
  assert found['file'] == 'a.ckpt' and found['bytes'] == 3
  assert found['sha256'].startswith('ba7816bf8f01cfea414140de5dae2223')


def test_arrays_are_read_one_at_a_time(tmp_path, monkeypatch):
  bundle = bundles.load(_save(tmp_path / 'a.safetensors'))
  read, array = [], safetensors.Lazy.__array__

  def watched(self, *args, **options):
    read.append(self.name)
    return array(self, *args, **options)

  monkeypatch.setattr(safetensors.Lazy, '__array__', watched)
  bundles.params(bundle, 'unet', _init)
  assert read == ['unet.first.bias', 'unet.first.kernel']
  assert jax.tree.leaves(bundle.manifest['parts']['unet']['sizes']) == []
