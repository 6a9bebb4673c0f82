"""3DSR's runs: all can be built, cost what they say, and a small one runs."""

import pytest

from configs.priors import threedsr_released
from configs.threedsr import experiments, table
from sr3d_jax.table import Table
from sr3d_jax.types import TrainState

SIZES = ('', 'cpu', 'smoke')
WORDS = [
  f'{name},{size}' for name in experiments.ROWS for size in SIZES
] + ['e75,plain,cpu', 'e75,large', 'e76,x2', 'e76,x8,cpu,fern']  # fmt: skip


@pytest.fixture
def methods(load):
  return load('super_resolve')['all_methods']


@pytest.mark.parametrize('words', WORDS)
def test_every_row_of_an_experiment_can_be_made(methods, words):
  config = experiments.get_config(words)
  made = methods(config)
  assert set(made) == set(config.rows) and list(made)[-1] == 'corrected'
  assert {method.prior.scale for method in made.values()} == {config.shrink}


@pytest.mark.parametrize('size', SIZES)
def test_the_rows_of_the_table_cost_alike(methods, size):
  config = table.get_config(size)
  made = methods(config)
  assert list(made) == [
    'bicubic', 'rlfn', 'diffusion', 'sr_once', 'released', 'corrected'
  ]  # fmt: skip
  assert {sum(row.steps) for row in made.values()} == {table.STEPS[size]}
  once, interleaved = made['sr_once'], made['corrected']
  assert once.anchor_weight == interleaved.anchor_weight == 1
  assert made['diffusion'].anchor_weight == 0
  assert len(once.steps) == 1 and len(set(interleaved.steps)) == 1
  assert config.rows.sr_once.settings.to_dict() == {'at_once': True}
  assert len(interleaved.steps) == config.prior.num_steps == table.CALLS


@pytest.mark.parametrize('size', ['', 'cpu'])
def test_one_fit_refines_as_often_as_its_parts_and_as_four(size):
  config = table.get_config(size)
  chunk = config.fit.chunk
  (each,) = set(config.rows.corrected.steps)

  def refinements(kind, last):
    start, stop = table.window(size, kind).values()
    steps = range(chunk, last, chunk)
    return [step for step in steps if start <= step <= stop]

  whole = refinements(table.WHOLE, 4 * each)
  parts = refinements(table.PARTS, 4 * each)
  assert len(whole) == len([step for step in parts if step % each])
  assert len(whole) == 4 * len(refinements(table.ANEW, each))


def test_a_flip_changes_one_thing_of_the_released_code():
  rows = experiments.get_config('e71').rows.to_dict()
  released = rows.pop('released')
  del rows['corrected']
  assert len(rows) == 14
  preset = threedsr_released.get_config().to_dict()
  for name, row in rows.items():
    settings = row.get('settings', {})
    changed = [key for key in settings if settings[key] != preset[key]]
    rep = row['representation']
    changed += [k for k in rep if rep[k] != released['representation'][k]]
    assert len(changed) == 1, name
    assert row['prior'] == 'threedsr_released' and row['anchor_weight'] == 1


def test_words_say_scene_size_seed_and_prior():
  config = table.get_config('llff_horns,seed2,stablesr')
  assert config.scene.num_views == (54, 8) and config.seed == 2
  assert config.prior.weights == 'weights/stablesr_turbo.safetensors'
  assert config.rows.released.prior == 'stablesr_released'
  assert config.rows.corrected.prior == 'diffusion'  # the config's own
  assert config.first_fit.num_steps == 30_000
  only = table.get_config('fern,stablesr,released')
  assert list(only.rows) == ['released'] and only.main == 'released'
  small = table.get_config('fern,cpu')
  assert (small.scene.size, small.lr_scene.size) == ((504, 378), (126, 94))
  assert table.get_config('fox,cpu').scene.size == (270, 480)


@pytest.mark.parametrize(
  'make, words, told',
  [
    (table, 'fox,big', "unknown word 'big'.*smoke, cpu.*llff_horns"),
    (table, 'fox,fern', 'one scene, got fox, fern'),
    (table, 'stablesr,smoke', 'leave stablesr out'),
    (experiments, 'e79', "unknown word 'e79'.* or one of e71, e72"),
    (experiments, 'e71,e72', 'one experiment'),
    (experiments, 'e71,sr_once', 'no row sr_once here'),
    (experiments, 'e71,x2', "e71 takes no variant and no scale, got 'x2'"),
    (experiments, 'e75,x2', "e75 takes mip, plain, .*got 'x2'"),
  ],
)
def test_words_that_are_not_known_are_told(make, words, told):
  with pytest.raises(ValueError, match=told):
    make.get_config(words)


def test_scales_keep_the_truth_and_coarsen_the_photos():
  for word, side in (('x2', 252), ('x8', 63)):
    config = experiments.get_config(f'e76,fern,cpu,{word}')
    assert config.scene.size == (504, 378)
    assert config.lr_scene.size[0] == side
    assert config.lr_scene.images == config.scene.images


def test_two_rows_differ_in_what_stands_between_their_calls_alone(
  load, monkeypatch, tmp_path
):
  """The run whole, but for the fits, which main jobs test, and the report."""
  fits = []

  def fit(
    key, rep, params, views, *, num_steps, anchor_weight=0.0, first=0, **options
  ):
    moments = options.get('opt_state') or ()
    size = views.images.shape[1:3]
    fits.append((first, num_steps, anchor_weight, size, moments))
    return TrainState(
      step=num_steps, params=params, opt_state=(*moments, num_steps)
    )

  run = load('super_resolve')['run']
  monkeypatch.setitem(run.__globals__, 'fit_state', fit)
  monkeypatch.setattr(Table, 'finish', lambda self, best: self.rows)
  config = table.get_config('quickstart,smoke')
  rows = {name: config.rows[name] for name in ('sr_once', 'corrected')}
  config = table.with_rows(config, rows, table.Words('quickstart'))
  config.bound, config.measures = False, ('psnr', 'gmsd')
  made = run(config, tmp_path)
  fine = 64, 64
  # A part goes on from the moments of the parts before, and of its row alone.
  parts = [(2 * i, 2, 1, fine, (2,) * i) for i in range(4)]
  assert fits == [(0, 20, 0, (16, 16), ()), (0, 8, 1, fine, ()), *parts]
  assert [row['name'] for row in made] == ['lr_fit', 'sr_once', 'corrected']
  assert all(0 < row['psnr'] < 60 and 0 < row['gmsd'] < 1 for row in made)
