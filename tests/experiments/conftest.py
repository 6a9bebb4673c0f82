"""What the tests of experiments on images share."""

import runpy

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from sr3d_jax.io import images


@pytest.fixture
def load(monkeypatch):
  """Runs an experiment's file without defining flags; returns its names."""
  for name in ('string', 'float', 'list'):
    monkeypatch.setattr(flags, f'DEFINE_{name}', lambda *_, **__: None)
  monkeypatch.setattr(config_flags, 'DEFINE_config_file', lambda *_, **__: None)
  return lambda name: runpy.run_module(f'experiments.{name}', run_name=name)


@pytest.fixture
def photos(tmp_path):
  """A folder of two photographs, one with transparency."""
  rows, columns = np.mgrid[:80, :100] / 100
  grey = 0.5 + 0.3 * np.sin(20 * rows) * np.cos(15 * columns)
  picture = np.stack([grey, rows, columns], axis=-1)
  images.save(tmp_path / 'photos' / 'a.png', picture)
  images.save(tmp_path / 'photos' / 'b.png', np.dstack([picture, columns]))
  return tmp_path / 'photos'
