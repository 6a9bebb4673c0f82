"""Weights in our names: tables, axes, files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.io import weights
from sr3d_jax.models import imdn


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


def test_a_damaged_file_is_named(tmp_path):
  path = tmp_path / 'w.npz'
  weights.save(path, _init(jax.random.key(0)))
  whole = path.read_bytes()
  broken = bytearray(whole)
  broken[len(whole) // 2] ^= 255
  np.save(tmp_path / 'one.npy', np.zeros(3))
  one = (tmp_path / 'one.npy').read_bytes()
  for data in (b'', whole[:10], whole[:-100], bytes(broken), one, b'<html>'):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'w\.npz is no whole \.npz file'):
      weights.restore(path, _init)


def test_a_file_of_another_network_is_named(tmp_path):
  path = tmp_path / 'w.npz'
  weights.save(path, {'second': {'bias': np.zeros(5)}})
  told = r"w\.npz: these weights are of another .* lack \['first\.bias'"
  with pytest.raises(ValueError, match=told):
    weights.restore(path, _init)
