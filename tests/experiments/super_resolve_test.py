"""The main job, whole, at `smoke` size."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [
  sys.executable, '-m', 'experiments.super_resolve',
  '--config=configs/quickstart.py:smoke,bicubic', '--config.bound=False',
  '--config.baselines=()',
]  # fmt: skip


def start(workdir, *flags):
  return subprocess.Popen(
    [*COMMAND, f'--workdir={workdir}', *flags],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(process):
  out, err = process.communicate(timeout=900)
  return process.returncode, out, err


def scene_bytes(workdir):
  (cloud,) = workdir.glob('point_cloud/iteration_*/point_cloud.ply')
  return cloud.read_bytes()


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('whole')
  code, out, err = finish(start(workdir))
  assert code == 0, err
  return workdir, out


def test_it_prints_and_writes_a_row_for_each_method(whole):
  workdir, out = whole
  rows = json.loads((workdir / 'results.json').read_text())
  assert [row['name'] for row in rows] == ['lr_fit', 'bicubic+anchor']
  for row in rows:
    assert f'{row["psnr"]:.2f}' in out
    assert row['steps'] == 20
    assert row['splats'] > 100
  for name in ('scene.splat', 'scene.glb', 'cameras.json', 'comparison.png'):
    assert (workdir / name).stat().st_size > 1000, name
  page = (workdir / 'report.html').read_text()
  assert 'data:image/' in page
  assert 'data:video/mp4' in page
  assert not any(f'src="{p}' in page for p in ('http:', 'https:', '//'))


def test_a_finished_run_is_not_repeated(whole):
  workdir, _ = whole
  before = (workdir / 'results.json').read_text()
  code, _, err = finish(start(workdir))
  assert code == 0, err
  assert (workdir / 'results.json').read_text() == before


def test_another_config_is_refused(whole):
  workdir, _ = whole
  code, _, err = finish(start(workdir, '--config.seed=7'))
  assert code != 0
  assert 'seed: 0 -> 7' in err
  assert 'Traceback' not in err


def test_killed_at_any_moment_it_ends_in_the_same_bytes(whole, tmp_path):
  expected = scene_bytes(whole[0])
  flags = ['--config.first_fit.save_every=10', '--config.fit.save_every=10']
  process = start(tmp_path, *flags)
  target = tmp_path / 'rows' / 'bicubic+anchor' / 'ckpts' / '0' / '10'
  deadline = time.monotonic() + 600
  while not target.exists() and process.poll() is None:
    assert time.monotonic() < deadline
    time.sleep(0.02)
  os.kill(process.pid, signal.SIGKILL)
  process.communicate()
  assert not (tmp_path / 'report.html').exists()
  code, _, err = finish(start(tmp_path, *flags))
  assert code == 0, err
  assert scene_bytes(tmp_path) == expected


@pytest.mark.parametrize(
  'flags, told',
  [
    (['--config=configs/quickstart.py:nosuch'], 'a prior (bicubic'),
    (['--config=configs/quickstart.py:smoke', '--config.nosuch=1'], 'nosuch'),
    (['--config.prior.name=nosuch'], 'bicubic, own, published'),
    (['--config.prior.scale=0.25'], 'did you mean 4'),
    (['--config.scene.num_train=1'], 'at least two'),
  ],
)
def test_bad_input_is_one_clear_line(tmp_path, flags, told):
  code, _, err = finish(start(tmp_path / 'run', *flags))
  assert code != 0
  assert told in err
  assert 'Traceback' not in err
  assert not (tmp_path / 'run' / 'results.json').exists()
