"""The tables of papers: tiny ones made whole, the shipped ones by figures."""

import jax
import pytest

from configs.tables import gains, gaussiansr
from sr3d_jax import benchmark, resolve, standings
from sr3d_jax.io import images, weights

GAUSSIANSR = gaussiansr.get_config()


def _table(measure, columns, published=()):
  return dict(
    name=f'{measure}', title='Waves', measure=measure, columns=columns,
    notes='', digits=2, published=published,
  )  # fmt: skip


@pytest.fixture
def config(photos):
  """Bicubic, and a network that lacks its weights, on two photographs."""
  config = gaussiansr.get_config()
  columns = (('photos', 2.0), ('photos', 2.5), ('set5', 2.0))
  published = dict(
    name='LIIF', trained='RDN', source='LIIF', tag='P', values=(1.0, 2.0, 38.2)
  )
  # The shipped network is a row at one scale only.
  rows = {row['name']: row for row in config.rows}
  bicubic, own = rows['bicubic'], rows['own']
  lost = dict(
    name='lost', trained='', prior={'name': 'own', 'weights': 'lost.npz'}
  )
  config.rows = (bicubic, own | {'scales': (2.0,)}, lost)
  config.roots = (str(photos), str(photos.parent / 'set5'))
  config.tables = (
    _table('psnr_y', columns, (published,)),
    _table(None, (('div2k_valid', 4.0),)),
    _table('psnr_rgb', (('photos', 2.0), ('photos', 2.5))),
  )
  return config


def test_rows_stand_beside_published_ones(
  load, config, tmp_path, capsys, monkeypatch
):
  read, restore = [], weights.restore

  def counted(path, *args):
    read.append(path.name)
    return restore(path, *args)

  monkeypatch.setattr(weights, 'restore', counted)
  luma, rgb = load('paper_tables')['run'](config, tmp_path / 'run')
  assert read == ['own_x4.npz']
  text = (tmp_path / 'run' / 'tables.md').read_text()
  assert [row.method for row in luma.rows] == ['LIIF', 'bicubic', 'own']
  _, bicubic, own = luma.rows
  assert bicubic.values[0] != bicubic.values[1] and min(bicubic.values[:2]) > 50
  assert bicubic.values[2] is own.values[1] is None
  gain, *others = own.gains
  assert gain.low <= gain.mean <= gain.high and others == [None, None]
  assert gain.mean == pytest.approx(own.values[0] - bicubic.values[0], abs=1e-4)
  assert rgb.rows[0].values != bicubic.values[:2]
  told = capsys.readouterr().out
  assert 'lost is left out: lost.npz' in told and 'set5 is left out' in told
  assert text in told and '*LIIF*' in text
  names = {path.name for path in (tmp_path / 'run').iterdir()}
  assert names == {'rows', 'tables.md', 'tables.csv'}  # no curve of two scales


def test_an_interrupted_table_goes_on(load, config, tmp_path, monkeypatch):
  run = load('paper_tables')['run']
  score, calls = benchmark.score, []

  def interrupted(prior, *args, **options):
    calls.append(prior.scale)
    if len(calls) == 3:
      raise KeyboardInterrupt
    return score(prior, *args, **options)

  monkeypatch.setattr(benchmark, 'score', interrupted)
  config.rows = config.rows[:1]
  with pytest.raises(KeyboardInterrupt):
    run(config, tmp_path / 'run')
  run(config, tmp_path / 'run')
  assert calls == [2.0, 2.0, 2.5, 2.5, 2.5]
  # another picture is another set
  images.save(tmp_path / 'photos' / 'c.png', images.load(
    tmp_path / 'photos' / 'a.png'
  ))  # fmt: skip
  run(config, tmp_path / 'run')
  assert len(calls) == 11


def test_the_reference_is_a_row(load, config, tmp_path):
  config.reference = 'lanczos'
  with pytest.raises(ValueError, match="bicubic, own, lost and 'lanczos'"):
    load('paper_tables')['run'](config, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_without_the_weights_of_the_reference_nothing_is_made(
  load, config, tmp_path, capsys
):
  run = load('paper_tables')['run']
  config.reference = 'lost'
  told = r"'lost' is left out, .* own, of which there are bicubic, own"
  with pytest.raises(FileNotFoundError, match=told):
    run(config, tmp_path / 'run')
  assert 'lost is left out: lost.npz' in capsys.readouterr().out
  assert not (tmp_path / 'run').exists()


def test_gains_of_a_sweep_that_was_not_run_are_an_error(
  load, photos, tmp_path, capsys
):
  config = gains.get_config(str(tmp_path / 'e1'))
  config.roots = (str(photos),)
  told = "'LIIF' is left out, .* of which there are none"
  with pytest.raises(FileNotFoundError, match=told):
    load('paper_tables')['run'](config, tmp_path / 'run')
  said = capsys.readouterr().out
  for row in config.rows:
    assert f'{row["name"]} is left out: {row["prior"]["weights"]}' in said
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('table', GAUSSIANSR.tables, ids=lambda t: t['name'])
def test_published_figures_fit_and_measures_are_known(table):
  standings.published_rows(table)
  assert table['measure'] in (None, *benchmark.MEASURES)
  for column, scale in table['columns']:
    assert column in GAUSSIANSR.labels and scale > 1


def test_published_figures_stand_in_their_columns():
  found = {
    (table['name'], row['name'], row['trained'], *column): value
    for table in GAUSSIANSR.tables
    for row in table['published']
    for column, value in zip(table['columns'], row['values'])
    if value is not None
  }
  whole = 'EDSR-baseline, 1.84 M in all'
  assert found['set5_y', 'LIIF', 'RDN', 'set5', 4.0] == 32.50
  assert found['bsd100_y', 'LIIF', 'RDN', 'bsd100', 8.0] == 24.91
  assert found['x4_y', 'GaussianSR', whole, 'urban100', 4.0] == 26.19
  assert found['x4_y', 'GSASR', 'RDN', 'lsdir', 4.0] == 26.73
  small = 'EDSR-baseline + 0.62 M'
  gaussian = {k: v for k, v in found.items() if k[2] == small}
  assert gaussian == {
    ('div2k_rgb', 'GaussianSR', small, 'div2k_valid', 4.0): 29.03
  }


def test_rows_of_a_sweep_are_priors_with_its_weights(tmp_path):
  config = gains.get_config(str(tmp_path))
  assert config.reference in [row['name'] for row in config.rows]
  for row in config.rows:
    folder = tmp_path / 'rows' / f'{row["name"]}_seed0'
    assert row['prior']['weights'] == str(folder / 'weights.npz')
    prior = resolve.build('priors', {**row['prior'], 'scale': 2.0})
    with pytest.raises(FileNotFoundError, match=f'{row["name"]}_seed0'):
      prior.init(jax.random.key(0))
