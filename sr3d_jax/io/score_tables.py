"""Tables of methods against benchmarks, as papers print them.

A table holds one measure. What others published stands beside what was measured
here, told apart by its source, and a figure that nobody knows is a dash.
"""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sr3d_jax.files import replacing, write_whole

LEGEND = (
  'Published rows are in italics, each with its source: [C] its code, [P] the '
  'paper, [R] its repository or page, [S] somebody who quotes it. `-`: not '
  'known, or not measured.'
)
_PANEL = 4.2, 3.6  # inches
_LEGEND_WIDTH = 2.0  # inches
_FIELDS = (
  'table', 'measure', 'method', 'trained', 'published', 'source', 'set',
  'scale', 'value', 'gain', 'low', 'high',
)  # fmt: skip


class Gain(NamedTuple):
  """How much better than the reference, on the same images."""

  mean: float
  low: float  # the ends of its 95% interval
  high: float


class Row(NamedTuple):
  """One method; `values` and `gains` go by the table's columns."""

  method: str
  trained: str  # encoder, data, steps: what its figures cost
  source: str
  is_published: bool
  values: tuple[float | None, ...]
  gains: tuple[Gain | None, ...] = ()


class ScoreTable(NamedTuple):
  """One measure of several methods.

  Attributes:
    name: of its files.
    title: its heading.
    caption: the protocol, in sentences.
    measure: the name of the measure; None where nothing is measured here.
    columns: (set, scale) each.
    rows: published ones first.
    reference: the method of which `gains` tell.
    digits: behind the point.
  """

  name: str
  title: str
  caption: str
  measure: str | None
  columns: tuple[tuple[str, float], ...]
  rows: tuple[Row, ...]
  reference: str
  digits: int = 2


def markdown(table: ScoreTable) -> str:
  """Writes a table, and below it the gains of what was measured."""
  headings = _headings(table.columns)
  lines = [f'## {table.title}', '', table.caption, '']
  lines += _grid(
    ['method', 'trained', *headings, 'source'],
    [
      [_name(row), row.trained or '-']
      + [_number(value, table.digits) for value in row.values]
      + [row.source]
      for row in table.rows
    ],
  )
  gaining = [row for row in table.rows if any(row.gains)]
  if gaining:
    lines += [
      '',
      f'Gain over {table.reference}, with its 95% interval over the images '
      '(paired bootstrap):',
      '',
      *_grid(
        ['method', *headings],
        [
          [_name(row), *(_interval(gain, table.digits) for gain in row.gains)]
          for row in gaining
        ],
      ),
    ]
  return '\n'.join(lines) + '\n'


def save_csv(path: str | os.PathLike, tables: Iterable[ScoreTable]) -> None:
  """Writes every figure that is known, one a line."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(_FIELDS)
  for table in tables:
    for row in table.rows:
      about = (table.name, table.measure, row.method, row.trained)
      kind = int(row.is_published), row.source
      gains = row.gains or (None,) * len(row.values)
      for column, value, gain in zip(table.columns, row.values, gains):
        if value is not None:
          figures = value, *(gain or (None,) * 3)
          writer.writerow((*about, *kind, *column, *figures))
  write_whole(path, text.getvalue())


def save_plot(path: str | os.PathLike, table: ScoreTable) -> bool:
  """Draws each method's gain over the reference against the scale.

  A panel a set; measured methods are solid and published ones dashed, each
  compared with the reference of its own kind, for figures of different papers
  differ by more than methods do.

  Args:
    path: of the PNG.
    table: what to draw.

  Returns:
    Whether there was anything to draw, two scales of one method at least.
  """
  panels = {name: _curves(table, name) for name, _ in table.columns}
  panels = {name: curves for name, curves in panels.items() if curves}
  if not panels:
    return False
  width, height = _PANEL
  size = width * len(panels) + _LEGEND_WIDTH, height
  figure = Figure(size, layout='constrained')
  axes = figure.subplots(1, len(panels), squeeze=False)[0]
  for ax, (name, curves) in zip(axes, panels.items()):
    _draw(ax, curves, table.rows)
    ax.set(title=name, xlabel='scale', ylabel=f'gain over {table.reference}')
  legends = (ax.get_legend_handles_labels() for ax in axes)
  named = {label: line for pair in legends for line, label in zip(*pair)}
  figure.legend(
    named.values(), named, loc='outside right upper', fontsize='x-small'
  )
  with replacing(path) as part:
    figure.savefig(part, format='png', dpi=150)
  return True


def _draw(
  ax: Axes, curves: Sequence[tuple[Row, list, list]], rows: Sequence[Row]
) -> None:
  """One panel; a method has one colour in all of them."""
  colors = colormaps['tab20'].colors
  for row, scales, gains in curves:
    ax.plot(
      scales,
      gains,
      '.--' if row.is_published else 'o-',
      color=colors[rows.index(row) % len(colors)],
      label=row.method + (' (published)' if row.is_published else ''),
      linewidth=1 if row.is_published else 2,
    )
  ax.axhline(0, color='0.5', linewidth=0.8)
  ax.set_xscale('log', base=2)
  whole = {x for _, scales, _ in curves for x in scales if x == round(x)}
  ax.set_xticks(sorted(whole))
  ax.xaxis.set_major_formatter('{x:g}')
  ax.grid(alpha=0.3)


def _curves(table: ScoreTable, name: str) -> list[tuple[Row, list, list]]:
  """(row, scales, gains) of the methods with two points on a set."""
  base = {
    row.is_published: row.values
    for row in table.rows
    if row.method == table.reference
  }
  curves = []
  for row in table.rows:
    if row.is_published not in base or row.method == table.reference:
      continue
    points = sorted(
      (scale, value - zero)
      for (set_name, scale), value, zero in zip(
        table.columns, row.values, base[row.is_published]
      )
      if set_name == name and value is not None and zero is not None
    )
    if len(points) > 1:
      curves.append((row, *map(list, zip(*points))))
  return curves


def _headings(columns: Sequence[tuple[str, float]]) -> list[str]:
  """Names the set only where there are several."""
  several = len({name for name, _ in columns}) > 1
  return [
    f'{name} ×{scale:g}' if several else f'×{scale:g}'
    for name, scale in columns
  ]


def _grid(headings: list[str], rows: Iterable[list[str]]) -> list[str]:
  texts = [headings, ['---'] * len(headings), *rows]
  return [f'| {" | ".join(cells)} |' for cells in texts]


def _name(row: Row) -> str:
  return f'*{row.method}*' if row.is_published else row.method


def _number(value: float | None, digits: int) -> str:
  return '-' if value is None else f'{value:.{digits}f}'


def _interval(gain: Gain | None, digits: int) -> str:
  if gain is None:
    return '-'
  mean, low, high = (f'{x:+.{digits}f}' for x in gain)
  return f'{mean} [{low}, {high}]'
