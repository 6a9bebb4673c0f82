"""Comparing textures: rows without weights are left out, and said."""

import pytest
from ml_collections import ConfigDict

from configs.priors import bicubic, stablesr_released


@pytest.fixture
def rows(load):
  return load('compare_textures')['load']


def _config(sampled):
  missing = stablesr_released.get_config()
  missing.weights = 'nowhere.safetensors'
  return ConfigDict(
    {
      'seed': 0,
      'scale': 4.0,
      'sampled': sampled,
      'rows': {'bicubic': bicubic.get_config(), 'released': missing},
    }
  )


def test_a_row_whose_file_is_not_there_is_left_out(rows, capsys):
  assert list(rows(_config('bicubic'))) == ['bicubic']
  told = capsys.readouterr().out
  assert 'released is left out: nowhere.safetensors was looked for' in told


def test_the_row_to_compare_with_must_be_there(rows):
  with pytest.raises(FileNotFoundError, match="'released' is the row to comp"):
    rows(_config('released'))
