"""The tables of 3DSR: gathered from a made-up run, and as they are shipped."""

import json

import pytest

from configs.tables import published3d, threedsr
from sr3d_jax import scene_standings

CONFIG = threedsr.get_config()


@pytest.fixture
def config(tmp_path):
  """The shipped config, and a folder with some rows of the fox."""
  config = threedsr.get_config(str(tmp_path / 'runs'))
  _write(tmp_path / 'runs' / 'fox_cpu', ('lr_fit', 'sr_once', 'corrected'))
  return config


def _write(folder, rows, size=(270, 480), seed=0):
  """A run whose row number i scores 20 + i dB on a view, 22 + i on another."""
  folder.mkdir(parents=True)
  entries = [
    {'name': row, 'psnr': 21.0 + i, 'seconds': 60.0, 'prior_seconds': 30.0}
    for i, row in enumerate(rows)
  ]
  per_view = {
    row: {'a': {'psnr': 20.0 + i}, 'b': {'psnr': 22.0 + i}}
    for i, row in enumerate(rows)
  }
  made = {
    'seed': seed,
    'shrink': 4.0,
    'scene': {'name': 'transforms_json', 'size': size},
    'fit': {'num_steps': 2000},
  }
  for name, value in {
    'results': entries,
    'per_view': per_view,
    'config': made,
    'commit': {'commit': 'abc1234'},
  }.items():
    (folder / f'{name}.json').write_text(json.dumps(value))


def test_finished_rows_are_gathered_and_the_rest_is_told(
  load, config, tmp_path, capsys
):
  tables = load('paper_tables')['run_scenes'](config, tmp_path / 'out')
  fox = tables[0]
  assert fox.name == 'fox_cpu'
  assert [row.method for row in fox.rows] == [
    'LR photos only', 'SR once, anchored fit', '3DSR, corrected'
  ]  # fmt: skip
  assert [column.heading for column in fox.columns] == ['PSNR', 'minutes']
  corrected = fox.rows[-1]
  assert corrected.cells[0][:3] == (23.0, 22.0, 24.0)
  assert corrected.cells[1].value == 1.5
  assert corrected.gains[0][:3] == (1.0, 1.0, 1.0)
  text = (tmp_path / 'out' / 'tables.md').read_text()
  assert '| 3DSR, corrected | seeds: 1 | 23.00 [22.00, 24.00] | 1.5 |' in text
  assert (tmp_path / 'out' / 'tables.csv').exists()
  told = capsys.readouterr().out
  assert 'fox_cpu lacks bicubic, diffusion, released, rlfn: python -m' in told
  assert 'table.py:fern,cpu,seed1 --workdir=' in told
  assert '*DiSR-NeRF*' in told and '*DiSR-NeRF*' in text


def test_a_run_of_another_size_is_not_put_beside_published_rows(
  load, config, tmp_path
):
  _write(tmp_path / 'runs' / 'llff_fern', ('corrected',), size=(504, 378))
  told = r'llff_fern holds a run with scene\.size=\[504, 378\], expected \[2016'
  with pytest.raises(ValueError, match=told):
    load('paper_tables')['run_scenes'](config, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('table', CONFIG.tables, ids=lambda t: t['name'])
def test_published_figures_fit_their_columns(table):
  assert len(scene_standings.published_rows(table)) == len(table['published'])


def test_scenes_have_runs_and_rows_have_labels():
  runs = {run['scene'] for run in CONFIG.runs}
  assert runs == {'fox_cpu', 'fern_cpu', *threedsr.LLFF, *threedsr.MIPNERF360}
  folders = [run['folder'] for run in CONFIG.runs]
  assert len(set(folders)) == len(folders)
  labelled = {row['name'] for row in CONFIG.rows}
  assert all(set(run['rows']) <= labelled for run in CONFIG.runs)


def test_means_by_place_agree_with_those_over_all_scenes():
  overall = {'bicubic, fit': 26.22, 'SwinIR, fit': 26.80}
  outdoors, indoors = (
    {row['name']: row['values'][0] for row in rows}
    for rows in (published3d.outdoors(), published3d.indoors())
  )
  for name, mean in overall.items():
    found = (5 * outdoors[name] + 4 * indoors[name]) / 9
    assert found == pytest.approx(mean, abs=0.01)
