"""Prints our rows of a paper's tables beside the published ones.

    python -m experiments.paper_tables --config=configs/tables/gaussiansr.py \
        --workdir=runs/tables

Writes tables.md, tables.csv and a plot of each table with several scales.
Killed and run again, it goes on; a row is measured anew when its weights are
others. A row without its weights and a set without its pictures are left out,
with a line that says so; without the weights of the reference nothing is made.

A config with `runs`, such as configs/tables/threedsr.py, has tables of scenes:
they are gathered from finished runs of `experiments.super_resolve`, and what is
not there is told with the command that makes it. A run may borrow rows of
others; a table may have rows of its own, and a reference, or several, of which
the best in its first column counts.
"""

import collections
import contextlib
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags

from sr3d_jax import benchmark, cli, resolve, scene_standings, standings
from sr3d_jax.files import write_whole
from sr3d_jax.io import scene_tables, score_tables, workdir
from sr3d_jax.io.scene_tables import Column, SceneTable
from sr3d_jax.io.score_tables import ScoreTable
from sr3d_jax.scene_standings import Run
from sr3d_jax.types import Params, SRPrior

ANY_SCALE = 4.0  # on which weights do not depend

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def build(row: Mapping[str, Any], scale: float) -> SRPrior:
  """Makes one row's prior at a scale."""
  return resolve.build('priors', {**row['prior'], 'scale': scale})


def load_weights(
  rows: Iterable[Mapping[str, Any]], reference: str, seed: int
) -> dict[str, Params]:
  """The parameters of the rows that have them; says which ones have none.

  Raises:
    FileNotFoundError: the reference is not among them.
  """
  found = {}
  for row in rows:
    try:
      found[row['name']] = build(row, ANY_SCALE).init(jax.random.key(seed))
    except FileNotFoundError as error:
      print(f'{row["name"]} is left out: {error}', flush=True)
  if reference not in found:
    raise FileNotFoundError(
      f'the reference {reference!r} is left out, and gains are over it: get '
      'its weights, or choose as config.reference a row that has its own, of '
      f'which there are {", ".join(found) or "none"}'
    )
  return found


def measure_row(
  row: Mapping[str, Any],
  params: Params,
  sets: Mapping[str, list[Path]],
  tables: tuple[Mapping[str, Any], ...],
  folder: Path,
) -> standings.Entries:
  """Scores one row's prior wherever a table has a column for it."""
  measured = [table for table in tables if table['measure'] is not None]
  wanted = collections.defaultdict(dict)
  for name, scale in (x for table in measured for x in table['columns']):
    if name in sets and scale in row.get('scales', [scale]):
      wanted[scale][name] = sets[name]
  entries = []
  print(f'{row["name"]}:', flush=True)
  for scale, some in sorted(wanted.items()):
    entries += benchmark.run(
      functools.partial(build, row),
      params,
      some,
      folder / 'rows' / row['name'].replace('/', '_'),
      scales=(scale,),
      measures=sorted({table['measure'] for table in measured}),
      section=row['prior'],
    )
  return {(entry['set'], entry['scale']): entry for entry in entries}


def run(config: Any, folder: Path) -> list[ScoreTable]:
  """Measures every row, writes the tables and prints them."""
  names = [row['name'] for row in config.rows]
  if config.reference not in names or len(set(names)) < len(names):
    raise ValueError(
      f'rows must have names of their own, and reference must be one of them, '
      f'got {", ".join(names)} and {config.reference!r}'
    )
  sets = benchmark.find_sets(config.roots)
  weights = load_weights(config.rows, config.reference, config.seed)
  rows = [row for row in config.rows if row['name'] in weights]
  entries = {
    row['name']: measure_row(
      row, weights[row['name']], sets, config.tables, folder
    )
    for row in rows
  }
  tables = [
    standings.collate(
      table,
      rows,
      entries,
      reference=config.reference,
      labels=config.labels,
      protocol=_protocol(table),
    )
    for table in config.tables
  ]
  tables = [table for table in tables if table.rows]
  text = '\n'.join(map(score_tables.markdown, tables))
  text = f'# {config.title}\n\n{score_tables.LEGEND}\n\n{text}'
  folder.mkdir(parents=True, exist_ok=True)
  write_whole(folder / 'tables.md', text)
  score_tables.save_csv(folder / 'tables.csv', tables)
  for table in tables:
    score_tables.save_plot(folder / f'{table.name}.png', table)
  print('\n' + text, flush=True)
  return tables


def gather(runs: Iterable[Mapping[str, Any]]) -> tuple[list[Run], list[str]]:
  """The runs that are there, and what to do for those that are not."""
  found, missing = [], []
  for run in runs:
    name = Path(run['folder']).name
    try:
      scores, commit = workdir.load_scores(run['folder'], run['expected'])
    except FileNotFoundError:
      missing.append(f'{name} is not there: {run["command"]}')
      continue
    for row, other in run.get('borrowed', {}).items():
      with contextlib.suppress(FileNotFoundError, KeyError):
        theirs, _ = workdir.load_scores(other['folder'], other['expected'])
        scores[row] = theirs[other['row']]
    found.append(Run(run['scene'], run['variant'], commit, scores))
    lacking = [row for row in run['rows'] if row not in scores]
    if lacking:
      missing.append(f'{name} lacks {", ".join(lacking)}: {run["command"]}')
  return found, missing


def best(names: Any, table: Mapping[str, Any], runs: list[Run]) -> str:
  """A name; of several, that of the row whose first column is highest."""
  if isinstance(names, str):
    return names
  column = Column(**table['columns'][0])
  found = {}
  for name in names:
    those = [run for run in runs if name in run.scores]
    cell = scene_standings.figure(those, name, column)
    found |= {name: cell.value} if cell else {}
  return max(found, key=found.get) if found else names[0]


def run_scenes(config: Any, folder: Path) -> list[SceneTable]:
  """Gathers finished runs, writes the tables and prints them."""
  runs, missing = gather(config.runs)
  tables = [
    scene_standings.collate(
      table,
      table.get('rows', config.rows),
      runs,
      reference=best(table.get('reference', config.reference), table, runs),
    )
    for table in config.tables
  ]
  tables = [table for table in tables if table.rows]
  text = '\n'.join(map(scene_tables.markdown, tables))
  text = f'# {config.title}\n\n{scene_tables.LEGEND}\n\n{text}'
  folder.mkdir(parents=True, exist_ok=True)
  write_whole(folder / 'tables.md', text)
  scene_tables.save_csv(folder / 'tables.csv', tables)
  print('\n'.join([text, *missing]), flush=True)
  return tables


def _protocol(table: Mapping[str, Any]) -> str:
  measure = table['measure']
  return '' if measure is None else benchmark.MEASURES[measure].protocol


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = Path(_WORKDIR.value)
  make = run_scenes if 'runs' in _CONFIG.value else run
  make(_CONFIG.value, folder)
  print(f'tables: {folder / "tables.md"}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/tables')
