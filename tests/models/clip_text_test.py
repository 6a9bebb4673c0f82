"""The text encoder against PyTorch (tests/fixtures/clip_text/)."""

import pathlib

import numpy as np
import pytest

from sr3d_jax.models import clip_text

FILE = pathlib.Path(__file__).parents[1] / 'fixtures/clip_text/text.npz'
HEAD_WIDTH = 4


@pytest.fixture(scope='module')
def tower():
  with np.load(FILE) as file:
    arrays = {name: file[name] for name in file.files}
  tokens, out = (arrays.pop(name) for name in ('tokens', 'out'))
  return arrays, tuple(tokens.tolist()), out


def test_a_prompt_becomes_what_pytorch_makes_of_it(tower):
  weights, tokens, expected = tower
  found = clip_text.embed(weights, tokens, HEAD_WIDTH)
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, expected, atol=2e-6)


def test_a_token_changes_nothing_before_it(tower):
  weights, tokens, expected = tower
  other = (*tokens[:4], 5, *tokens[5:])
  found = clip_text.embed(weights, other, HEAD_WIDTH)
  np.testing.assert_allclose(found[:, :4], expected[:, :4], atol=2e-6)
  assert np.abs(found[:, 4:] - expected[:, 4:]).max(axis=-1).min() > 1e-3


def test_the_last_layer_is_not_looked_at(tower):
  weights, tokens, expected = tower
  last = {n: a for n, a in weights.items() if '.resblocks.2.' in n}
  changed = weights | {n: a + 1 for n, a in last.items()}
  found = clip_text.embed(changed, tokens, HEAD_WIDTH)
  np.testing.assert_allclose(found, expected, atol=2e-6)
  assert len(last) == 12


def test_the_empty_prompt_is_a_start_an_end_and_zeros():
  assert (49406, 49407, *75 * (0,)) == clip_text.EMPTY


def test_other_weights_are_refused():
  with pytest.raises(ValueError, match=r"no text encoder .* among \['a'\]"):
    clip_text.embed({'a': np.zeros(1)})
