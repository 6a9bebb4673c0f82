"""An expected failure is one line and exit 1; a bug keeps its traceback."""

import os
import re
import subprocess
import sys

import jax
import pytest

from sr3d_jax import cli

REALLY_OUT_OF_MEMORY = """
import resource
import jax, jax.numpy as jnp
from sr3d_jax import cli

def main(argv):
  jax.devices()
  used = 4 * 1024**3
  resource.setrlimit(resource.RLIMIT_AS, (4 * used, 4 * used))
  jnp.zeros(8 * used).block_until_ready()

cli.run(main)
"""


def test_running_out_of_memory_is_one_line():
  done = subprocess.run(
    [sys.executable, '-c', REALLY_OUT_OF_MEMORY],
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  lines = [x for x in done.stderr.splitlines() if x.startswith('error:')]
  assert len(lines) == 1, done.stderr
  assert 'lower representation.capacity' in lines[0]
  assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
  'error, told',
  [
    (MemoryError(), 'out of memory: lower'),
    (MemoryError('Unable to allocate 9 TiB'), '9 TiB'),
    (jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: of 9 TiB'), '9 TiB'),
    (OSError('could not write\n  x'), 'could not write x'),
    (FloatingPointError('step 3'), 'step 3'),
  ],
)
def test_what_may_go_wrong_is_said_in_one_line(error, told, capsys):
  def main(argv):
    raise error

  assert cli._guarded(main, []) == 1
  said = capsys.readouterr().err
  assert said.startswith('error: ')
  assert told in said
  assert said.count('\n') == 1


@pytest.mark.parametrize('override', [[], ['--config.seed=3']])
def test_a_missing_config_file_is_named_once(override):
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'experiments.upscale_image'),
      *('--config=configs/none.py:smoke', '--input=a', '--output=b'),
      *override,
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode > 0
  told = "error: there is no config file 'configs/none.py': choose one of"
  assert done.stderr.startswith(told)
  assert done.stderr.count('none.py') == 1


@pytest.mark.parametrize(
  'experiment, config, told',
  [
    ('evaluate', 'configs/scenes/fox.py:smoke', 'roots: .* configs/eval/'),
    ('fit_scene', 'configs/eval/set5.py', 'scene: .* configs/scenes/'),
  ],
)
def test_a_config_of_another_experiment_is_told(
  experiment, config, told, tmp_path
):
  workdir = tmp_path / 'run'
  done = subprocess.run(
    [
      *(sys.executable, '-m', f'experiments.{experiment}'),
      *(f'--config={config}', f'--workdir={workdir}'),
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1
  assert re.fullmatch(
    f'error: {config} has .*prior, .*but no {told}.*\n', done.stderr
  )
  assert not workdir.exists()


@pytest.mark.parametrize(
  'error',
  [
    TypeError('a bug'),
    AttributeError('a bug'),
    jax.errors.JaxRuntimeError('INTERNAL: a bug'),
  ],
)
def test_a_bug_keeps_its_traceback(error):
  def main(argv):
    raise error

  with pytest.raises(type(error), match='a bug'):
    cli._guarded(main, [])
