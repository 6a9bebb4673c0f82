"""A run's folder belongs to the first config that could be built, no other."""

import json

import pytest

from sr3d_jax.io import workdir

CONFIG = {'scene': {'root': 'a', 'size': (4, 6)}, 'seed': 0}
OTHER = CONFIG | {'seed': 7}


def test_opening_writes_nothing(tmp_path):
  folder = workdir.open_workdir(tmp_path / 'run', CONFIG)
  assert folder == tmp_path / 'run'
  assert not folder.exists()
  workdir.open_workdir(tmp_path / 'run', OTHER)


def test_a_claimed_folder_is_opened_by_its_config_alone(tmp_path):
  folder = workdir.open_workdir(tmp_path / 'run', CONFIG)
  workdir.claim_workdir(folder, CONFIG)
  assert workdir.open_workdir(folder, CONFIG) == folder
  with pytest.raises(ValueError, match=r'another config \(seed: 0 -> 7\)'):
    workdir.open_workdir(folder, OTHER)


def test_a_claim_keeps_what_a_resumed_run_began_with(tmp_path):
  workdir.claim_workdir(tmp_path, CONFIG)
  (tmp_path / 'commit.json').write_text('{"commit": "first"}')
  workdir.claim_workdir(tmp_path, CONFIG)
  kept = json.loads((tmp_path / 'config.json').read_text())
  assert kept['scene'] == {'root': 'a', 'size': [4, 6]}
  assert workdir.read_json(tmp_path / 'commit.json') == {'commit': 'first'}
