"""What tests share: an experiment to load, photographs, compiled programs."""

import os
import re
import runpy
import sys
import tempfile

import jax
import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from sr3d_jax.io import images

# A program is compiled once in a run of the tests, whichever process comes
# first: the workers of xdist, and what tests start, inherit the folder.
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
  PROGRAMS = tempfile.TemporaryDirectory(prefix='sr3d_programs_')
  os.environ['JAX_COMPILATION_CACHE_DIR'] = PROGRAMS.name
  os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.1'
  jax.config.update('jax_compilation_cache_dir', PROGRAMS.name)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)


@pytest.fixture(scope='module', autouse=True)
def programs():
  """Lets the programs of a module go after it.

  Each keeps some pages mapped, and a process may map 65,530 on Linux: beyond,
  XLA's compiler dies or waits for ever.
  """
  yield
  jax.clear_caches()


def pytest_make_parametrize_id(val):
  """Names a test by the length of its bytes: these may differ from run to run.

  The workers of xdist must collect the same names, and gzip, for one, writes
  the second of its making into its header.
  """
  return f'{len(val)} bytes' if isinstance(val, bytes) else None


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
