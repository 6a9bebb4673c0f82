"""The tables of SuperGaussian: published rows alone, and beside runs."""

import json

import numpy as np
import pytest

from configs.supergaussian import experiments
from configs.tables import published3d, published_video, supergaussian
from sr3d_jax import scene_standings

CONFIG = supergaussian.get_config('nowhere')
SCORES = {'lpips': 0.2, 'niqe': 7.0, 'fid': 30.0, 'psnr': 25.0}


def _write(folder, rows, side=256, name='supergaussian', scores=SCORES):
  """A finished run: two views a row, which differ by 0.1 in every measure."""
  folder.mkdir(parents=True)
  per_view = {
    row: {
      view: {measure: value + i + shift for measure, value in scores.items()}
      for view, shift in (('a', 0.0), ('b', 0.1))
    }
    for i, row in enumerate(rows)
  }
  for file, value in {
    'results': [{'name': row, 'seconds': 60.0} for row in rows],
    'per_view': per_view,
    'config': {'shrink': 4.0, 'scene': {'name': name, 'side': side}},
    'commit': {'commit': 'abc1234'},
  }.items():
    (folder / f'{file}.json').write_text(json.dumps(value))


@pytest.fixture
def run_scenes(load):
  return load('paper_tables')['run_scenes']


def test_published_rows_stand_alone(run_scenes, tmp_path, capsys):
  config = supergaussian.get_config(str(tmp_path / 'runs'))
  tables = run_scenes(config, tmp_path / 'out')
  assert {table.name for table in tables} == {
    'mvimgnet', 'nerf_synthetic', 'nerf_synthetic_objects', 'ordering',
    'flicker', 'mipnerf360', 'reds4',
  }  # fmt: skip
  text = (tmp_path / 'out' / 'tables.md').read_text()
  assert (
    '| *RealBasicVSR, not finetuned* | - | 0.1924 | 7.58 | 41.40 | - | README '
    'of SuperGaussian [P] |'
  ) in text
  told = capsys.readouterr().out
  for name in ('e8_lego', 'e8_fox', 'archive_NAME', 'mvimgnet_NAME'):
    assert f'{name} is not there: python -m experiments.super_resolve' in told


def test_runs_of_the_archive_stand_beside_published_rows(run_scenes, tmp_path):
  for name in ('archive_a', 'archive_b'):
    _write(tmp_path / 'runs' / name, ('bicubic', 'video'))
  tables = run_scenes(
    supergaussian.get_config(str(tmp_path / 'runs')), tmp_path / 'out'
  )
  first = tables[0]
  assert first.name == 'mvimgnet'
  headings = [column.heading for column in first.columns]
  assert headings == [
    'LPIPS, Alex', 'NIQE', 'FID', 'IS', 'PSNR', 'minutes'
  ]  # fmt: skip
  bicubic, video = first.rows[-2:]
  assert (bicubic.method, video.method) == (
    'bicubic, fit',
    'video network, fit',
  )
  assert bicubic.cells[0].value == pytest.approx(0.25)
  assert bicubic.cells[0].num_scenes == 2 and bicubic.cells[3] is None
  assert video.gains[4].value == pytest.approx(1.0)


def test_objects_beside_their_photos_have_a_table_of_their_own(
  run_scenes, tmp_path
):
  _write(tmp_path / 'runs' / 'mvimgnet_7_1a', ('bicubic',), name='mvimgnet')
  tables = run_scenes(
    supergaussian.get_config(str(tmp_path / 'runs')), tmp_path / 'out'
  )
  (own,) = (table for table in tables if table.name == 'mvimgnet_photos')
  assert [row.method for row in own.rows] == ['bicubic, fit']
  assert all(row.is_published for row in tables[0].rows)


@pytest.mark.parametrize(
  'keys, told',
  [
    (
      {'side': 128},
      r'archive_a holds a run with scene\.side=128, expected 256',
    ),
    ({'name': 'mvimgnet'}, r"scene\.name='mvimgnet', expected 'supergaussian'"),
  ],
)
def test_a_run_of_another_kind_is_not_put_beside_published_rows(
  run_scenes, tmp_path, keys, told
):
  _write(tmp_path / 'runs' / 'archive_a', ('bicubic',), **keys)
  config = supergaussian.get_config(str(tmp_path / 'runs'))
  with pytest.raises(ValueError, match=told):
    run_scenes(config, tmp_path / 'out')


@pytest.mark.parametrize('table', CONFIG.tables, ids=lambda t: t['name'])
def test_published_figures_fit_their_columns(table):
  assert len(scene_standings.published_rows(table)) == len(table['published'])


def test_means_over_objects_are_those_that_are_published():
  overall = {
    row['name']: row['values'][0] for row in published_video.NERF_SYNTHETIC
  }
  for row in published_video.OBJECTS:
    assert len(row['values']) == len(supergaussian.OBJECTS) == 8
    mean = np.mean(row['values'])
    assert mean == pytest.approx(overall[row['name']], abs=0.011)


@pytest.mark.parametrize('name', ['NERF_SYNTHETIC', 'MIPNERF360'])
def test_the_tables_of_two_papers_quote_the_same_figures(name):
  """Sequence Matters stands in both, here with a digit more."""
  ours = {row['name']: row['values'] for row in getattr(published_video, name)}
  rows = [
    row for row in getattr(published3d, name)
    if row['source'] == published3d.SEQUENCE and row['name'] in ours
    and 'bound' not in row['name']
  ]  # fmt: skip
  assert len(rows) >= 3
  for row in rows:
    for found, value in zip(row['values'][:3], ours[row['name']]):
      assert found is None or found == pytest.approx(value, abs=0.00051)


@pytest.mark.parametrize('index, scene', list(enumerate(supergaussian.ORDERED)))
def test_the_command_of_a_run_makes_its_rows(load, index, scene):
  config = experiments.get_config(f'e8,{scene},cpu')
  run = CONFIG.runs[index]
  assert f':e8,{scene},cpu --workdir=' in run['command']
  made = load('super_resolve')['all_methods'](config)
  assert {'lr_fit', *made, 'hr_fit'} == set(run['rows']) and config.bound
  assert run['expected']['scene']['size'] == config.scene.size
  labelled = {row['name'] for row in CONFIG.rows}
  assert set(run['rows']) <= labelled
