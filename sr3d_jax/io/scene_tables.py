"""Tables of methods that enlarge scenes, a column a measure of some scenes.

What others published stands beside what was measured here, told apart by its
source. A mean over fewer scenes than its column is of says over how many.
"""

import csv
import io
import os
from collections.abc import Iterable
from typing import NamedTuple

from sr3d_jax.files import write_whole

LEGEND = (
  'Published rows are in italics, each with its source: [P] the paper, its '
  'poster, page or code, [S] somebody who quotes it, [D] derived from such '
  'figures. In brackets: 95% intervals over the views (bootstrap within each '
  'scene, of the mean over seeds). `-`: not known, or not measured.'
)
_FIELDS = (
  'table', 'method', 'about', 'published', 'source', 'column', 'measure',
  'scenes', 'num_scenes', 'value', 'low', 'high', 'gain', 'gain_low',
  'gain_high',
)  # fmt: skip


class Column(NamedTuple):
  """One measure, averaged over scenes."""

  heading: str
  measure: str
  scenes: tuple[str, ...]
  digits: int


class Cell(NamedTuple):
  """A figure, perhaps with its interval, and of how many scenes it is."""

  value: float
  low: float | None
  high: float | None
  num_scenes: int


class Row(NamedTuple):
  """One method; `cells` and `gains` go by the table's columns."""

  method: str
  about: str
  source: str
  is_published: bool
  cells: tuple[Cell | None, ...]
  gains: tuple[Cell | None, ...] = ()


class SceneTable(NamedTuple):
  """Several methods; `gains` of its rows are over the row `reference`."""

  name: str
  title: str
  caption: str
  columns: tuple[Column, ...]
  rows: tuple[Row, ...]
  reference: str


def markdown(table: SceneTable) -> str:
  """Writes a table, and below it the gains of what was measured."""
  headings = [column.heading for column in table.columns]
  lines = [f'## {table.title}', '', table.caption, '']
  lines += _grid(
    ['method', 'about', *headings, 'source'],
    [
      [_name(row), row.about or '-', *_cells(row.cells, table), row.source]
      for row in table.rows
    ],
  )
  gaining = [row for row in table.rows if any(row.gains)]
  if gaining:
    lines += ['', f'More than {table.reference}, view by view:', '']
    lines += _grid(
      ['method', *headings],
      [[_name(row), *_cells(row.gains, table, sign='+')] for row in gaining],
    )
  return '\n'.join(lines) + '\n'


def save_csv(path: str | os.PathLike, tables: Iterable[SceneTable]) -> None:
  """Writes every figure that is known, one a line."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(_FIELDS)
  for table in tables:
    for row in table.rows:
      about = row.method, row.about, int(row.is_published), row.source
      gains = row.gains or (None,) * len(row.cells)
      for column, cell, gain in zip(table.columns, row.cells, gains):
        if cell is not None:
          what = column.heading, column.measure, ' '.join(column.scenes)
          of = cell.num_scenes, *cell[:3], *(gain or (None,) * 3)[:3]
          writer.writerow((table.name, *about, *what, *of))
  write_whole(path, text.getvalue())


def _cells(
  cells: Iterable[Cell | None], table: SceneTable, sign: str = ''
) -> list[str]:
  return [
    '-' if cell is None else _text(cell, column, f'{sign}.{column.digits}f')
    for cell, column in zip(cells, table.columns)
  ]


def _text(cell: Cell, column: Column, form: str) -> str:
  text = format(cell.value, form)
  if cell.low is not None:
    text += f' [{format(cell.low, form)}, {format(cell.high, form)}]'
  if cell.num_scenes < len(column.scenes):
    text += f', {cell.num_scenes} of {len(column.scenes)} scenes'
  return text


def _grid(headings: list[str], rows: Iterable[list[str]]) -> list[str]:
  texts = [headings, ['---'] * len(headings), *rows]
  return [f'| {" | ".join(cells)} |' for cells in texts]


def _name(row: Row) -> str:
  return f'*{row.method}*' if row.is_published else row.method
