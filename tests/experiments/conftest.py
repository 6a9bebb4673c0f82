"""What the tests of experiments on images share."""

import re
import runpy
import sys

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from sr3d_jax.io import images


@pytest.fixture
def load(monkeypatch):
  """Runs an experiment's file without defining flags; returns its names."""

  def leave_out(owner, name):
    define = getattr(owner, name)

    def defined(*args, **options):
      # Libraries that are loaded meanwhile keep theirs.
      caller = sys._getframe(1).f_globals['__name__']
      own = caller.startswith('experiments.')
      return None if own else define(*args, **options)

    monkeypatch.setattr(owner, name, defined)

  for name in filter(re.compile('DEFINE_').match, dir(flags)):
    leave_out(flags, name)
  leave_out(config_flags, 'DEFINE_config_file')
  return lambda name: runpy.run_module(f'experiments.{name}')


@pytest.fixture
def photos(tmp_path):
  """A folder of two photographs, one with transparency."""
  rows, columns = np.mgrid[:80, :100] / 100
  grey = 0.5 + 0.3 * np.sin(20 * rows) * np.cos(15 * columns)
  picture = np.stack([grey, rows, columns], axis=-1)
  images.save(tmp_path / 'photos' / 'a.png', picture)
  images.save(tmp_path / 'photos' / 'b.png', np.dstack([picture, columns]))
  return tmp_path / 'photos'
