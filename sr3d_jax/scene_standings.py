"""Who does better on scenes: finished runs, beside what others published.

A run is {row: {'views': {view: {measure: value}}, 'facts': {measure: value}}},
see `io.workdir.load_scores`. Runs of one scene differ by their seeds: of a view
the mean over them counts, then the mean over views, then that over scenes.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sr3d_jax.io.scene_tables import Cell, Column, Row, SceneTable

NUM_RESAMPLES = 10_000
LEVEL = 0.95  # share of the resampled means that an interval holds


class Run(NamedTuple):
  """What one run of a scene scored."""

  scene: str
  variant: str  # of the method, where runs have several
  commit: str
  scores: Mapping[str, Mapping[str, Any]]


def collate(
  table: Mapping[str, Any],
  rows: Sequence[Mapping[str, Any]],
  runs: Sequence[Run],
  *,
  reference: str,
) -> SceneTable:
  """Puts the published and the measured rows of one table together.

  Args:
    table: of a config: `name`, `title`, `notes`, `columns` (`heading`,
      `measure`, `scenes`, `digits`) and `published`, rows of `name`, `trained`,
      `source`, `tag` and `values`, one for each column.
    rows: of a config: `name`, of a run's row, `label` and `variants`.
    runs: of any scenes.
    reference: `name` of the row with which the others are compared.
  """
  columns = tuple(Column(**column) for column in table['columns'])
  measured = [
    measured_row(row, variant, runs, columns, reference)
    for row in rows
    for variant in row['variants']
  ]
  measured = [row for row in measured if any(row.cells)]
  caption = [table['notes'], '' if measured else 'None was measured here.']
  labels = {row['name']: row['label'] for row in rows}
  whole = SceneTable(
    name=table['name'],
    title=table['title'],
    caption=' '.join(filter(None, caption)),
    columns=columns,
    rows=(*published_rows(table), *measured),
    reference=labels[reference],
  )
  return without_empty_columns(whole)


def without_empty_columns(table: SceneTable) -> SceneTable:
  """Leaves out columns in which no row has a figure."""
  is_kept = [any(cells) for cells in zip(*(row.cells for row in table.rows))]
  rows = tuple(
    row._replace(
      cells=tuple(itertools.compress(row.cells, is_kept)),
      gains=tuple(itertools.compress(row.gains, is_kept)),
    )
    for row in table.rows
  )
  columns = tuple(itertools.compress(table.columns, is_kept))
  return table._replace(columns=columns, rows=rows)


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
    cells = tuple(
      None if value is None else Cell(value, None, None, len(column['scenes']))
      for value, column in zip(row['values'], table['columns'])
    )
    source = f'{row["source"]} [{row["tag"]}]'
    rows.append(Row(row['name'], row['trained'], source, True, cells))
  return rows


def measured_row(
  row: Mapping[str, Any],
  variant: str,
  runs: Sequence[Run],
  columns: Sequence[Column],
  reference: str,
) -> Row:
  """What a method scored, and what it gains where the reference has a score."""
  name = row['name']
  runs = [run for run in runs if run.variant == variant and name in run.scores]
  scenes = {scene for column in columns for scene in column.scenes}
  runs = [run for run in runs if run.scene in scenes]
  paired = [run for run in runs if reference in run.scores]
  seeds = [sum(run.scene == scene for run in runs) for scene in scenes]
  commits = sorted({run.commit for run in runs})
  return Row(
    method=row['label'] + (f', {variant}' if variant else ''),
    about=f'seeds: {max(seeds, default=0)}',
    source=f'measured here, {", ".join(commits)}',
    is_published=False,
    cells=tuple(figure(runs, name, column) for column in columns),
    gains=tuple(
      None if name == reference else figure(paired, name, column, reference)
      for column in columns
    ),
  )


def figure(
  runs: Sequence[Run], row: str, column: Column, reference: str | None = None
) -> Cell | None:
  """The mean of a measure over scenes; with a reference, of the differences.

  Costs and the like, that are of a whole run, have no interval and no gain.
  """
  by_scene = [
    [run.scores for run in runs if run.scene == scene]
    for scene in column.scenes
  ]
  views = [
    _views(scores, row, column.measure, reference) for scores in by_scene
  ]
  views = [values for values in views if values.size]
  if views:
    mean = float(np.mean([values.mean() for values in views]))
    return Cell(mean, *interval(views), len(views))
  facts = [_facts(scores, row, column.measure) for scores in by_scene]
  facts = [np.mean(values) for values in facts if values]
  if not facts or reference is not None:
    return None
  return Cell(float(np.mean(facts)), None, None, len(facts))


def interval(scenes: Sequence[np.ndarray]) -> tuple[float, float]:
  """Says how far a mean over scenes might move with other views of them.

  The percentile bootstrap within strata (Efron & Tibshirani 1993, 13.3): of
  each scene views are drawn anew with replacement.

  Args:
    scenes: [V] each, values of views.

  Returns:
    The ends of the interval.
  """
  rng = np.random.default_rng(0)
  means = [
    values[rng.integers(len(values), size=(NUM_RESAMPLES, len(values)))].mean(1)
    for values in scenes
  ]
  tail = (1 - LEVEL) / 2
  low, high = np.quantile(np.mean(means, axis=0), [tail, 1 - tail])
  return float(low), float(high)


def _views(
  runs: Sequence[Mapping[str, Any]],
  row: str,
  measure: str,
  reference: str | None,
) -> np.ndarray:
  """[V] the mean over runs of each view that all of them scored."""
  found = []
  for scores in runs:
    views = _of(scores, row, measure)
    if reference is not None:
      base = _of(scores, reference, measure)
      views = {x: views[x] - base[x] for x in views.keys() & base.keys()}
    found.append(views)
  shared = set.intersection(*map(set, found)) if found else ()
  return np.array(
    [np.mean([views[x] for views in found]) for x in sorted(shared)]
  )


def _of(scores: Mapping[str, Any], row: str, measure: str) -> dict[str, float]:
  views = scores[row]['views']
  return {x: found[measure] for x, found in views.items() if measure in found}


def _facts(
  runs: Sequence[Mapping[str, Any]], row: str, measure: str
) -> list[float]:
  facts = (scores[row]['facts'] for scores in runs)
  return [found[measure] for found in facts if measure in found]
