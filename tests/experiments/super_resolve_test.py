"""The main job, whole, at `smoke` size."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from unittest import mock

import ml_collections
import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from configs import quickstart
from configs.scenes import own_folder
from sr3d_jax import capture, consolidate, resolve
from sr3d_jax.types import TrainState

COMMAND = [
  sys.executable, '-m', 'experiments.super_resolve',
  '--config=configs/quickstart.py:smoke,bicubic', '--config.bound=False',
  '--config.baselines=()',
]  # fmt: skip
FLAGS = '--xla_backend_optimization_level=0'  # compiles in half the time
BESIDE = "--config.baselines=('bicubic',)"  # the main prior without its anchor


def start(workdir, *words):
  return subprocess.Popen(
    [*COMMAND, f'--workdir={workdir}', *words],
    env=os.environ | {'XLA_FLAGS': FLAGS},
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
  code, out, err = finish(start(workdir, BESIDE))
  assert code == 0, err
  return workdir, out


def test_it_prints_and_writes_a_row_for_each_method(whole):
  workdir, out = whole
  rows = json.loads((workdir / 'results.json').read_text())
  names = [row['name'] for row in rows]
  assert names == ['lr_fit', 'bicubic', 'bicubic+anchor']
  for row in rows:
    assert f'{row["psnr"]:.2f}' in out
    assert row['steps'] == 20
    assert row['splats'] > 100
  for name in ('scene.splat', 'scene.glb', 'cameras.json', 'comparison.png'):
    assert (workdir / name).stat().st_size > 1000, name
  plain, anchored = rows[1:]
  assert anchored['lr_psnr'] != plain['lr_psnr']
  page = (workdir / 'report.html').read_text()
  assert 'data:image/' in page
  assert 'data:video/mp4' in page
  assert not any(f'src="{p}' in page for p in ('http:', 'https:', '//'))


def test_a_finished_run_is_not_repeated(whole):
  workdir, _ = whole
  before = (workdir / 'results.json').read_text()
  code, _, err = finish(start(workdir, BESIDE))
  assert code == 0, err
  assert (workdir / 'results.json').read_text() == before


def test_another_config_is_refused(whole):
  workdir, _ = whole
  code, _, err = finish(start(workdir, BESIDE, '--config.seed=7'))
  assert code != 0
  assert 'seed: 0 -> 7' in err
  assert 'Traceback' not in err


def test_killed_at_any_moment_it_ends_in_the_same_bytes(whole, tmp_path):
  # The main row does not depend on those beside it.
  expected = scene_bytes(whole[0])
  often = ['--config.first_fit.save_every=10', '--config.fit.save_every=10']
  process = start(tmp_path, *often)
  target = tmp_path / 'rows' / 'bicubic+anchor' / 'ckpts' / '0' / '10'
  deadline = time.monotonic() + 600
  while not target.exists() and process.poll() is None:
    assert time.monotonic() < deadline
    time.sleep(0.02)
  os.kill(process.pid, signal.SIGKILL)
  process.communicate()
  assert not (tmp_path / 'report.html').exists()
  code, _, err = finish(start(tmp_path, *often))
  assert code == 0, err
  assert scene_bytes(tmp_path) == expected


@pytest.mark.parametrize(
  'words, told',
  [
    (['--config=configs/quickstart.py:nosuch'], 'a prior (bicubic'),
    (['--config=configs/quickstart.py:smoke', '--config.nosuch=1'], 'nosuch'),
    (
      ['--config.prior.name=nosuch'],
      'bicubic, continuous, diffusion, own, published',
    ),
    (['--config.prior.scale=0.25'], 'did you mean 4'),
    (["--config.baselines=('own+anchr',)"], "unknown prior: 'own+anchr'"),
    (['--config.scene.num_train=1'], 'at least two'),
  ],
)
def test_bad_input_is_one_clear_line(tmp_path, words, told):
  code, _, err = finish(start(tmp_path / 'run', *words))
  assert code != 0
  assert told in err
  assert 'Traceback' not in err
  # The corrected command may have the same workdir.
  assert not (tmp_path / 'run').exists()


@pytest.fixture
def job(monkeypatch):
  """The experiment's functions by name, without its flags."""
  monkeypatch.setattr(flags, 'DEFINE_string', lambda *_, **__: None)
  monkeypatch.setattr(config_flags, 'DEFINE_config_file', lambda *_, **__: None)
  return runpy.run_module('experiments.super_resolve', run_name='job')


def test_a_baseline_may_be_the_main_prior_without_its_anchor(job):
  config = quickstart.get_config('smoke')
  config.baselines = ('bicubic', 'own', 'bicubic+anchor')
  config.prior.scale = config.shrink = 3.0
  rows = job['all_methods'](config)
  assert list(rows) == ['bicubic', 'own', 'bicubic+anchor', 'own+anchor']
  assert [row.anchor_weight for row in rows.values()] == [0, 0, 1, 1]
  # All rows have the size of the main prior's.
  assert [row.prior.scale for row in rows.values()] == [3, 3, 3, 3]


def test_finer_views_of_another_size_than_the_truth_are_refused(job):
  config = quickstart.get_config('smoke')
  config.prior.scale = 2.0
  with pytest.raises(ValueError, match=r'shrink is 4 but prior\.scale is 2'):
    job['all_methods'](config)
  config.shrink = 1.0  # no truth, so any scale will do
  assert job['all_methods'](config)['own'].prior.scale == 2


def test_a_baseline_that_is_the_main_row_is_one_row(job):
  config = quickstart.get_config('smoke,rlfn')
  config.baselines = ('rlfn+anchor', 'rlfn')
  assert list(job['all_methods'](config)) == ['rlfn+anchor', 'rlfn']


def _scene(width, grey):
  """Ten grey views that differ by nothing but their names."""
  frames = [
    capture.Frame(
      name=f'{i}.png',
      image=np.full((width // 2, width, 3), grey, np.float32),
      world_to_cam=np.eye(4),
      focal=(float(width),) * 2,
      center=(width / 2, width / 4),
    )
    for i in range(10)
  ]
  return capture.make_scene('grey', *capture.make_views(frames))


def test_coarse_views_come_from_files_where_the_config_says_so(
  job, monkeypatch
):
  full, low = _scene(32, 0.25), _scene(16, 0.75)
  monkeypatch.setattr(resolve, 'build', lambda kind, section: low)
  config = ml_collections.ConfigDict(
    {'shrink': 2.0, 'softness': 0.0, 'bound': True}
  )
  for grey in (0.25, 0.75):
    low_views = job['low_resolution'](config, full)
    train, test = low_views.train, low_views.test
    assert (len(train.images), len(test.images)) == (8, 2)
    np.testing.assert_allclose(train.images[:, 4, 8], grey, atol=1e-6)
    config.lr_scene = {'name': 'llff'}
  config.shrink = 4.0
  with pytest.raises(ValueError, match='lr_scene is 16 x 8, but scene is 32'):
    job['low_resolution'](config, full)


@pytest.mark.parametrize(
  'name', ['transforms_json', 'photos', 'colmap', 'splats']
)
def test_fine_photos_that_are_the_truth_give_no_points(job, monkeypatch, name):
  monkeypatch.setattr(resolve, 'build', lambda kind, section: section)
  config = own_folder.get_config()
  config.scene.name = name
  assert job['full_scene'](config)['triangulate']
  config.shrink = 4.0
  assert job['full_scene'](config)['triangulate'] is False


@pytest.fixture
def rehearse(job, monkeypatch):
  """Runs a config with a fit that fits nothing; returns its table and log."""
  run, fits = job['run'], []
  table = mock.MagicMock()
  table.return_value.has.return_value = False
  table.return_value.recorder().__enter__.return_value = None, None

  def fit(key, rep, params, views, **options):
    fits.append(options)
    return TrainState(step=0, params=params, opt_state=None)

  monkeypatch.setitem(run.__globals__, 'fit_state', fit)
  monkeypatch.setitem(run.__globals__, 'Table', table)

  def start(config, folder):
    config.bound = False
    run(config, folder)
    return table, fits

  return start


def test_what_is_fitted_is_measured_and_told_as_it_is_drawn(
  rehearse, monkeypatch, tmp_path
):
  loop = mock.Mock(wraps=consolidate.consolidate)
  monkeypatch.setattr(consolidate, 'consolidate', loop)
  config = quickstart.get_config('smoke,bicubic')
  config.baselines = ()
  config.drawing = dict(blur=0.3, compensation='none')
  table, fits = rehearse(config, tmp_path)
  drawing = table.call_args.kwargs['drawing']
  assert drawing['blur'] == 0.3 and drawing['compensation'] == 'none'
  assert loop.call_args.kwargs['draw'].keywords == drawing
  assert len(fits) == 2
  assert all(drawing.items() <= options.items() for options in fits)


def test_a_baseline_without_weights_is_left_out_and_recorded(
  rehearse, monkeypatch, tmp_path
):
  monkeypatch.setenv('SR3D_DATA', str(tmp_path))
  config = quickstart.get_config('smoke,bicubic')
  config.baselines = ('rlfn',)
  table, _ = rehearse(config, tmp_path)
  ((row, reason), _) = table.return_value.skip.call_args
  assert row == 'rlfn' and 'team04_rlfn.pth' in reason


def test_a_main_prior_without_weights_ends_before_the_first_fit(
  rehearse, monkeypatch, tmp_path
):
  monkeypatch.setenv('SR3D_DATA', str(tmp_path))
  with pytest.raises(FileNotFoundError, match=r'team04_rlfn\.pth'):
    rehearse(quickstart.get_config('smoke,rlfn'), tmp_path / 'run')
  assert not (tmp_path / 'run').exists()
