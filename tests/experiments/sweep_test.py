"""Sweeps: every row of every experiment traces, and a tiny one runs."""

import dataclasses
import itertools
import json
import re

import jax
import jax.numpy as jnp
import pytest

from configs.sweeps import gaussiansr
from sr3d_jax import fields, kernel_bank, prefetch, train, validate
from sr3d_jax.models import gaussian_design
from sr3d_jax.priors import continuous
from sr3d_jax.types import Queries

WORDS = tuple(gaussiansr.EXPERIMENTS)
VALUES = ('num_kernels', 'kappa', 'temperature', 'sigmas', 'radius')
TINY = {'encoder': {'name': 'edsr', 'channels': 4, 'num_blocks': 1}}


def _batch():
  """Two patches of 8 px at x2, of whose pixels five are asked for."""
  place = jnp.linspace(0.3, 7.6, 10).reshape(2, 5)
  queries = Queries(
    rows=place,
    columns=place[::-1],
    footprint=jnp.broadcast_to(jnp.array([0.25, 0, 0.25]), (2, 1, 3)),
    height=16,
    width=16,
  )
  return {
    'lr': jnp.zeros((2, 8, 8, 3)),
    'rgb': jnp.zeros((2, 5, 3)),
    'queries': queries,
  }


def _trace(section):
  """Shapes of the loss and of the whole grid."""
  network = continuous.build(**section)
  batch = _batch()

  def both():
    key = jax.random.key(0)
    params = network.init(key)
    features = network.encode(params, batch['lr'])
    grid = fields.grid(8, 8, 16, 16)
    return (
      network.loss(params, key, batch)[0],
      network.decode(params, features, grid),
    )

  loss, picture = jax.eval_shape(both)
  return loss.shape, picture.shape


@pytest.mark.parametrize('word', WORDS)
def test_every_row_can_be_trained_and_asked(load, word):
  variant = load('sweep')['variant']
  config = gaussiansr.get_config(f'{word},smoke')
  assert config.rows == gaussiansr.get_config(word).rows
  names = [row['name'] for row in config.rows]
  assert len(set(names)) == len(names) and config.training.train.num_steps == 2
  seen = []
  for row in config.rows:
    section = variant(config, row)['network']
    section['encoder'] = TINY['encoder']
    section['gaussian_channels'] = min(4, section.get('gaussian_channels', 4))
    if section['name'] != 'gaussian_sr':
      del section['gaussian_channels']
    # Rows that differ by figures alone are traced alike.
    structure = {k: v for k, v in section.items() if k not in VALUES}
    if structure in seen:
      continue
    seen.append(structure)
    assert _trace(section) == ((), (2, 16, 16, 3)), row['name']


@pytest.mark.parametrize('word', ['e7', 'e10', 'e13'])
def test_a_bank_starts_within_its_bounds(load, word):
  variant = load('sweep')['variant']
  config = gaussiansr.get_config(word)
  for row in config.rows:
    network = variant(config, row)['network']
    sigmas = network.get('sigmas', gaussian_design.Design().sigmas)
    low, high = kernel_bank.start_mesh(sigmas)
    assert sigmas[0] < low < high < sigmas[1], row['name']


def test_the_ends_are_those_of_the_network_and_each_option_is_a_step():
  assert gaussiansr.RELEASED == gaussian_design.RELEASED
  exact = dataclasses.asdict(gaussian_design.Design())
  sizes = ('encoder', 'num_kernels', 'gaussian_channels', 'width', 'hidden')
  for key in (*sizes, 'dtype'):
    del exact[key]
  assert exact == gaussiansr.EXACT
  assert set(gaussiansr.STEPS.values()) == set(gaussian_design.RELEASED)


def test_a_question_without_rows_names_its_command():
  with pytest.raises(ValueError, match='e8 is no sweep'):
    gaussiansr.get_config('e8')


@pytest.fixture
def config(photos):
  """Two rows of seconds."""
  config = gaussiansr.get_config('e16,smoke')
  config.training.network.update(
    TINY, num_kernels=4, gaussian_channels=2, width=4, hidden=(4,)
  )
  config.rows = (
    {'name': 'exact', 'network': {}},
    {'name': 'LIIF', 'network': {'name': 'liif', 'hidden': (4,)} | TINY},
  )
  config.asked = config.asked[:1] + config.asked[-1:]
  config.training.batches.update(roots=(str(photos),), scales=(2.0,))
  config.validation.update(roots=(str(photos),), size=32)
  with jax.default_prng_impl('unsafe_rbg'):  # draws without much to compile
    yield config


def test_a_sweep_goes_on_where_it_was_killed(load, config, tmp_path):
  sweep = load('sweep')
  run, folder = sweep['run'], tmp_path / 'sweep'
  asked, starts = [], itertools.count()

  def watched(batches):
    start = next(starts)

    def batch(step):
      if (start, step) == (1, 1):  # the second row has done one step
        raise KeyboardInterrupt
      asked.append((start, step))
      return batches(step)

    return batch

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(prefetch, 'ahead', watched)
    with pytest.raises(KeyboardInterrupt):
      run(config, folder)
    assert asked == [(0, 0), (0, 1), (1, 0)]
    text = run(config, folder)
    assert asked[3:] == [(2, 1)]
    assert run(config, folder) == text and len(asked) == 4
  assert (folder / 'rows' / 'LIIF_seed0' / 'weights.npz').exists()
  assert (folder / 'table.md').read_text() == text
  assert [line.split(' | ')[0] for line in text.splitlines()[2:]] == [
    '| bicubic', '| exact', '| LIIF',
  ]  # fmt: skip


def test_a_row_that_diverges_says_so_and_the_others_go_on(
  load, config, tmp_path, monkeypatch
):
  run = load('sweep')['run']
  liif = config.rows[1]
  hasty = {'name': 'hasty', 'optimizer': {'learning_rate': 1e30}}
  config.rows = ({**liif, **hasty}, liif)
  text = run(config, tmp_path)
  cell = r'diverged at step 1 \| diverged at step 1 \|'
  assert re.search(rf'\| hasty \| \d+ \| {cell}\n\| LIIF \| \d+ \| \d+\.', text)
  kept = json.loads((tmp_path / 'rows/hasty_seed0/scores.json').read_text())
  assert kept['diverged']['step'] == 1
  assert 'at step 1: lower the learning rate' in kept['diverged']['reason']
  monkeypatch.delattr(train, 'run')  # which a resume has no need of
  assert run(config, tmp_path) == text


def test_the_table_averages_the_seeds_that_did_not_diverge(load, config):
  config.rows = config.rows[:1]
  entries = [
    {'row': 'exact', 'parameters': 9, 'psnr': {'x2': 30.0}},
    {'row': 'exact', 'parameters': 9, 'diverged': {'step': 605}},
    {'row': 'exact', 'parameters': 9, 'psnr': {'x2': 32.0}},
    {'row': 'exact', 'parameters': 9, 'diverged': {'step': 7}},
  ]
  text = load('sweep')['table'](config, entries, {'x2': 20.0})
  assert text.splitlines()[3] == (
    '| exact (2 of 4 seeds diverged at step 605 and 7) | 9 | 31.00 ± 1.41 |'
  )


def test_the_table_has_a_row_each_and_bicubic(load, config):
  sweep = load('sweep')
  squares = validate.crops(**config.validation)
  bicubic = sweep['score'](config, squares, lambda _: validate.by_bicubic)
  assert list(bicubic) == ['pillow x2', 'jpeg x2']
  assert bicubic['pillow x2'] > bicubic['jpeg x2'] + 1
  entries = [
    {'row': row, 'parameters': 1234, 'psnr': dict.fromkeys(bicubic, value)}
    for row, value in (('exact', 30.0), ('exact', 32.0), ('LIIF', 29.0))
  ]
  lines = sweep['table'](config, entries, bicubic).splitlines()
  assert lines[0] == '| row | parameters | pillow x2 | jpeg x2 |'
  assert lines[3] == '| exact | 1,234 | 31.00 ± 1.41 | 31.00 ± 1.41 |'
  assert lines[4] == '| LIIF | 1,234 | 29.00 | 29.00 |'
