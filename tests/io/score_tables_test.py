"""Tables as Markdown, CSV and a plot."""

import csv

import pytest

from sr3d_jax.io import images, score_tables
from sr3d_jax.io.score_tables import Gain, Row, ScoreTable

ROWS = (
  Row('bicubic', '', 'LIIF [P]', True, (31.0, 28.0)),
  Row('LIIF', 'RDN, 22 M', 'LIIF [P]', True, (34.0, None)),
  Row('bicubic', '', 'measured here, abc', False, (30.0, 27.0), (None, None)),
  Row(
    'own', 'an hour', 'measured here, abc', False, (33.125, 29.5),
    (Gain(3.125, 2.0, 4.0), Gain(2.5, -0.25, 5.0)),
  ),
)  # fmt: skip
TABLE = ScoreTable(
  name='tiny',
  title='Tiny',
  caption='A caption.',
  measure='psnr_y',
  columns=(('Set5', 2.0), ('Set5', 3.3)),
  rows=ROWS,
  reference='bicubic',
)


def _cells(text):
  lines = (line.strip('|') for line in text.splitlines() if '|' in line)
  return [[cell.strip() for cell in line.split('|')] for line in lines]


def test_published_and_measured_rows_are_told_apart():
  text = score_tables.markdown(TABLE)
  assert text.startswith('## Tiny\n\nA caption.\n\n|')
  heading, _, *rows = _cells(text)
  assert heading == ['method', 'trained', '×2', '×3.3', 'source']
  assert rows[1] == ['*LIIF*', 'RDN, 22 M', '34.00', '-', 'LIIF [P]']
  assert rows[3][:4] == ['own', 'an hour', '33.12', '29.50']
  assert rows[-1] == ['own', '+3.12 [+2.00, +4.00]', '+2.50 [-0.25, +5.00]']


def test_sets_are_named_where_there_are_several():
  columns = (('Set5', 2.0), ('B100', 2.0))
  heading, *_ = _cells(score_tables.markdown(TABLE._replace(columns=columns)))
  assert heading[2:4] == ['Set5 ×2', 'B100 ×2']


def test_a_table_without_gains_has_one_grid():
  text = score_tables.markdown(TABLE._replace(rows=ROWS[:3], digits=4))
  assert 'Gain' not in text and '31.0000' in text


def test_every_known_figure_is_a_line(tmp_path):
  score_tables.save_csv(tmp_path / 'a.csv', [TABLE])
  with open(tmp_path / 'a.csv', newline='') as file:
    lines = list(csv.DictReader(file))
  assert len(lines) == 7
  last = lines[-1]
  assert last['method'] == 'own' and last['published'] == '0'
  assert [float(last[key]) for key in ('scale', 'value', 'gain', 'low')] == [
    3.3, 29.5, 2.5, -0.25,
  ]  # fmt: skip
  assert lines[2]['trained'] == 'RDN, 22 M' and lines[2]['gain'] == ''


def test_a_curve_is_compared_with_the_reference_of_its_kind(tmp_path):
  row = ROWS[1]._replace(values=(34.0, 30.0))
  table = TABLE._replace(rows=(*ROWS[:1], row, *ROWS[2:]))
  curves = score_tables._curves(table, 'Set5')
  assert [(row.method, *xy) for row, *xy in curves] == [
    ('LIIF', [2.0, 3.3], [3.0, 2.0]),
    ('own', [2.0, 3.3], [pytest.approx(3.125), 2.5]),
  ]
  assert score_tables.save_plot(tmp_path / 'a.png', table)
  assert images.load(tmp_path / 'a.png').std() > 0.05


def test_one_scale_is_no_curve(tmp_path):
  columns = (('Set5', 2.0), ('B100', 2.0))
  table = TABLE._replace(columns=columns)
  assert not score_tables.save_plot(tmp_path / 'a.png', table)
  assert not (tmp_path / 'a.png').exists()
