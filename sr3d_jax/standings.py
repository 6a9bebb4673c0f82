"""Who does better: what was measured, beside what others published.

Figures of a table are of one measure, and gains of the same pictures.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sr3d_jax import metrics
from sr3d_jax.io.score_tables import Gain, Row, ScoreTable

Entries = Mapping[tuple[str, float], Mapping[str, Any]]  # by set and scale


def collate(
  table: Mapping[str, Any],
  rows: Sequence[Mapping[str, Any]],
  entries: Mapping[str, Entries],
  *,
  reference: str,
  labels: Mapping[str, str],
  protocol: str,
) -> ScoreTable:
  """Puts the published and the measured rows of one table together.

  Args:
    table: of a config: `name`, `title`, `measure`, `columns` (set, scale),
      `notes`, `digits` and `published`, rows of `name`, `trained`, `source`,
      `tag` and `values`, one for each column.
    rows: of a config, `name` and `trained` at least.
    entries: {row: what it scored}, as `benchmark.run` gives them.
    reference: the row with which the others are compared.
    labels: {set: how it is called in print}.
    protocol: of the measure; empty where there is none.
  """
  measured = [
    measured_row(row, entries[row['name']], entries[reference], table)
    for row in rows
    if table['measure'] is not None
  ]
  measured = [row for row in measured if set(row.values) != {None}]
  caption = [protocol, table['notes']]
  caption += [] if measured else ['none of it was measured here']
  caption = '; '.join(filter(None, caption)) + '.'
  return ScoreTable(
    name=table['name'],
    title=table['title'],
    caption=caption[0].upper() + caption[1:],
    measure=table['measure'],
    columns=tuple((labels.get(x, x), scale) for x, scale in table['columns']),
    rows=(*published_rows(table), *measured),
    reference=reference,
    digits=table['digits'],
  )


def published_rows(table: Mapping[str, Any]) -> list[Row]:
  """What others say; raises where a row does not fit the columns."""
  rows = []
  for row in table['published']:
    if len(row['values']) != len(table['columns']):
      raise ValueError(
        f'{row["name"]} has {len(row["values"])} published values for the '
        f'{len(table["columns"])} columns of table {table["name"]!r}: give one '
        'for each, None where it is not known'
      )
    source = f'{row["source"]} [{row["tag"]}]'
    rows.append(Row(row['name'], row['trained'], source, True, row['values']))
  return rows


def measured_row(
  row: Mapping[str, Any],
  entries: Entries,
  reference: Entries,
  table: Mapping[str, Any],
) -> Row:
  """What a method scored, and its gains where the reference has a score."""
  measure = table['measure']
  found = [entries.get(tuple(column)) for column in table['columns']]
  zeros = [reference.get(tuple(column)) for column in table['columns']]
  commits = {entry['commit'] for entry in found if entry} - {None}
  return Row(
    method=row['name'],
    trained=row['trained'],
    source=f'measured here, {", ".join(sorted(commits)) or "no commit"}',
    is_published=False,
    values=tuple(entry and entry[measure] for entry in found),
    gains=tuple(
      None if None in (a, b) or a is b else gain(a, b, measure)
      for a, b in zip(found, zeros)
    ),
  )


def gain(
  entry: Mapping[str, Any], reference: Mapping[str, Any], measure: str
) -> Gain:
  """How much better an entry is than another, picture by picture."""
  rows, base = entry['per_image'], reference['per_image']
  if rows.keys() != base.keys():
    raise ValueError(
      f'entries must be of the same pictures, got {len(rows)} and {len(base)} '
      f'with {len(rows.keys() & base.keys())} in common: score both anew'
    )
  differences = np.array([rows[x][measure] - base[x][measure] for x in rows])
  interval = metrics.bootstrap_interval(differences)
  return Gain(float(differences.mean()), *interval)
