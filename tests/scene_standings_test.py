"""Tables of scenes: means of means, intervals, gains, and what is not there."""

import csv

import numpy as np
import pytest

from sr3d_jax import scene_standings
from sr3d_jax.io import scene_tables
from sr3d_jax.io.scene_tables import Column
from sr3d_jax.scene_standings import Run

PSNR = Column('PSNR', 'psnr', ('fern', 'room'), 2)
MINUTES = Column('minutes', 'minutes', ('fern', 'room'), 1)
ROWS = (
  {'name': 'once', 'label': 'SR once', 'variants': ('',)},
  {'name': 'ours', 'label': '3DSR', 'variants': ('', 'big')},
)


def _scores(once, ours, minutes=2.0):
  """{row: scores} of views whose PSNR is given."""
  rows = {'once': once, 'ours': ours}
  return {
    row: {
      'views': {f'{i}.png': {'psnr': x} for i, x in enumerate(values)},
      'facts': {'minutes': minutes},
    }
    for row, values in rows.items()
  }


FERN = [
  Run('fern', '', 'abc', _scores([20.0, 22.0], [21.0, 24.0])),
  Run('fern', '', 'abd', _scores([20.0, 22.0], [23.0, 24.0], minutes=4.0)),
]
ROOM = Run('room', '', 'abc', _scores([30.0] * 4, [31.0, 31.0, 31.0, 35.0]))


def _table(**changes):
  table = {
    'name': 'llff',
    'title': 'LLFF',
    'notes': 'Means.',
    'columns': tuple(x._asdict() for x in (PSNR, MINUTES)),
    'published': (
      {'name': 'theirs', 'trained': '', 'source': 'poster', 'tag': 'P',
       'values': (24.21, None)},
    ),
  }  # fmt: skip
  return table | changes


def test_a_figure_is_the_mean_over_seeds_then_views_then_scenes():
  # fern: views of 22 and 24 dB over both seeds; room: 32 dB.
  cell = scene_standings.figure([*FERN, ROOM], 'ours', PSNR)
  assert cell.value == pytest.approx((23 + 32) / 2)
  assert cell.num_scenes == 2
  assert cell.low <= cell.value <= cell.high
  costs = scene_standings.figure([*FERN, ROOM], 'ours', MINUTES)
  assert costs == (2.5, None, None, 2)


def test_a_gain_is_of_the_same_views():
  runs = [*FERN, ROOM]
  runs[0].scores['once']['views'] = {'1.png': {'psnr': 22.0}}
  gain = scene_standings.figure(runs, 'ours', PSNR, 'once')
  # View 1 of fern, which all runs have: 24 - 22; room: 1, 1, 1, 5.
  assert gain.value == pytest.approx((2 + 2) / 2)
  assert scene_standings.figure(runs, 'ours', MINUTES, 'once') is None
  runs[0].scores['once']['views']['0.png'] = {'psnr': 20.0}


def test_an_interval_draws_views_within_their_scene():
  alike = [np.full(3, 20.0), np.full(9, 30.0)]
  assert scene_standings.interval(alike) == (25.0, 25.0)
  spread = [np.array([19.0, 21.0] * 50), np.full(9, 30.0)]
  low, high = scene_standings.interval(spread)
  # Half of 1.96 standard errors of a mean of 100 views 1 dB about it.
  assert (low, high) == pytest.approx((24.902, 25.098), abs=0.01)


def test_rows_stand_in_order_beside_published_ones():
  table = scene_standings.collate(
    _table(), ROWS, [*FERN, ROOM], reference='once'
  )
  assert [row.method for row in table.rows] == ['theirs', 'SR once', '3DSR']
  _, once, ours = table.rows
  assert (ours.about, ours.source) == ('seeds: 2', 'measured here, abc, abd')
  assert once.gains == (None, None) and ours.gains[0].value == 2.0
  text = scene_tables.markdown(table)
  assert '| *theirs* | - | 24.21 | - | poster [P] |' in text
  assert '| 3DSR | seeds: 2 | 27.50 [' in text
  assert 'More than SR once, view by view' in text and '| +2.00 [+1.' in text


def test_a_variant_is_a_row_of_its_own():
  big = ROOM._replace(variant='big')
  table = scene_standings.collate(_table(), ROWS, [big], reference='once')
  assert [row.method for row in table.rows] == ['theirs', '3DSR, big']


def test_a_mean_over_some_of_the_scenes_says_so():
  table = scene_standings.collate(_table(), ROWS, FERN, reference='once')
  assert '21.00 [20.00, 22.00], 1 of 2 scenes' in scene_tables.markdown(table)


def test_what_nobody_knows_has_no_column():
  table = scene_standings.collate(_table(), ROWS, [], reference='once')
  assert [column.heading for column in table.columns] == ['PSNR']
  assert table.caption == 'Means. None was measured here.'
  empty = scene_standings.collate(
    _table(published=()), ROWS, [], reference='once'
  )
  assert empty.rows == ()


def test_a_published_row_has_a_value_for_each_column():
  (row,) = _table()['published']
  short = _table(published=({**row, 'values': (24.21,)},))
  with pytest.raises(ValueError, match=r"theirs has 1 .* 2 columns.*'llff'"):
    scene_standings.published_rows(short)


def test_every_known_figure_is_a_line_of_the_csv(tmp_path):
  table = scene_standings.collate(
    _table(), ROWS, [*FERN, ROOM], reference='once'
  )
  scene_tables.save_csv(tmp_path / 'tables.csv', [table])
  lines = list(csv.DictReader((tmp_path / 'tables.csv').open()))
  assert len(lines) == 5
  (line,) = (x for x in lines if x['method'] == '3DSR' and x['low'])
  assert (line['value'], line['gain'], line['scenes']) == (
    '27.5', '2.0', 'fern room'
  )  # fmt: skip
