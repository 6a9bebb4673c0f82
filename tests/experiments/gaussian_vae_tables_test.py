"""The tables of GaussianVAE: gathered from made-up runs, and as shipped."""

import importlib
import json
import re
from pathlib import Path

import pytest

from configs.gaussian_vae import lego, scores
from configs.tables import gaussianvae

CONFIG = gaussianvae.get_config()


def _write(folder, config, psnr):
  """A run whose rows score as they are told, 1 dB more on another view."""
  folder.mkdir(parents=True)
  per_view = {
    row: {'a': {'psnr': value}, 'b': {'psnr': value + 1}}
    for row, value in psnr.items()
  }
  for name, value in {
    'results': [{'name': row, 'splats': 100} for row in psnr],
    'per_view': per_view,
    'config': config.to_dict(),
    'commit': {'commit': 'abc1234'},
  }.items():
    (folder / f'{name}.json').write_text(json.dumps(value))


@pytest.fixture
def gathered(load, tmp_path):
  """Makes tables of some rows of lego."""

  def make(main, dilated, chosen=None):
    runs = tmp_path / 'runs'
    _write(runs / 'lego_seed0', lego.get_config('cpu,refined'), main)
    words = 'cpu,refined,baselines,dilated'
    _write(runs / 'lego_dilated_seed0', lego.get_config(words), dilated)
    if chosen:
      config = scores.get_config('lego,cpu')
      _write(runs / 'scores_lego_seed0', config, chosen)
    config = gaussianvae.get_config(str(runs))
    tables = load('paper_tables')['run_scenes'](config, tmp_path / 'out')
    return {table.name: table for table in tables}

  return make


def _gain(table, method):
  return next(row.gains[0] for row in table.rows if row.method == method)


@pytest.mark.parametrize(
  'mip, dilated, split, best',
  [
    (25.0, 22.0, 24.0, 'LR photos, mip filter'),
    (25.0, 26.0, 24.0, 'LR photos, 3DGS dilation'),
    (25.0, 22.0, 25.5, 'plain split, all'),
  ],
)
def test_gains_are_over_the_best_of_three(gathered, mip, dilated, split, best):
  main = {'lr_fit': mip, 'split': split, 'vae': 27.0}
  table = gathered(main, {'lr_fit': dilated})['lego']
  assert table.reference == best
  assert _gain(table, 'VAE, all').value == 27 - max(mip, dilated, split)
  assert _gain(table, best) is None
  assert table.columns[-1].heading == 'Gaussians'


def test_rows_with_steps_have_a_table_of_their_own(gathered):
  main = {'lr_fit': 25.0, 'lr_steps': 26.0, 'vae': 24.0, 'vae_steps': 28.0}
  tables = gathered(main, {'lr_fit': 20.0, 'lr_steps': 21.0})
  plain, fitted = tables['lego'], tables['lego_steps']
  assert [row.method for row in fitted.rows] == [
    'LR photos, mip filter, steps', 'LR photos, 3DGS dilation, steps',
    'VAE, all, steps',
  ]  # fmt: skip
  assert _gain(plain, 'VAE, all').value == -1
  assert _gain(fitted, 'VAE, all, steps').value == 2


def test_scores_are_compared_with_chance(gathered):
  chosen = {'lr_fit': 25.0, 'vae_random': 24.0, 'vae_gradient': 24.5}
  table = gathered({'lr_fit': 25.0}, {'lr_fit': 20.0}, chosen)['scores_vae']
  assert [row.method for row in table.rows][1:] == ['gradient', 'random']
  assert _gain(table, 'gradient').value == 0.5
  headings = [column.heading for column in table.columns]
  assert headings == ['PSNR, lego', 'PSNR, both']


@pytest.mark.parametrize(
  'run', CONFIG.runs, ids=lambda run: Path(run['folder']).name
)
def test_commands_make_what_is_gathered(run):
  found = re.findall(
    r'--config=configs/(\S+)\.py:(\S+) --workdir=', run['command']
  )
  made = {'lr_fit'}
  for path, arg in found:
    module = importlib.import_module(f'configs.{path.replace("/", ".")}')
    config = module.get_config(arg)
    made |= set(config.rows)
  borrowed = run.get('borrowed', {})
  assert set(run['rows']) <= made | set(borrowed)
  assert all(other['row'] in made for other in borrowed.values())


def test_every_row_has_a_label():
  labelled = {
    row['name']
    for table in CONFIG.tables
    for row in table.get('rows', CONFIG.rows)
  }
  assert all(set(run['rows']) <= labelled for run in CONFIG.runs)


def test_every_score_is_compared():
  from_library = {
    keys.get('score', name) for name, keys in scores.SCORES.items()
  }
  library = importlib.import_module('sr3d_jax.split_scores')
  assert from_library == set(library.SCORES)
  for name, keys in scores.SCORES.items():
    needed = library.NEEDS.get(keys.get('score', name))
    if needed == 'stats':
      assert 'stats' in keys['evidence']
