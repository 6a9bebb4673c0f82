"""Trains variants of a network under one budget and compares them.

    python -m experiments.sweep --config=configs/sweeps/gaussiansr.py:e1 \
        --workdir=runs/e1

Every row sees the same crops, queries and steps. Rows are trained one by one
and scored on fixed crops; killed and run again, the sweep goes on in the middle
of a row. One whose training diverges says so in the table, and the others go
on. Writes results.json and table.md.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, resolve, train, validate
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.priors import continuous

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def variant(config: Any, row: dict) -> dict:
  """The training of a row: the sweep's, with what the row changes.

  A section that has a name replaces the sweep's.
  """
  chosen = config.training.to_dict()
  for key, changes in row.items():
    if key != 'name':
      kept = {} if 'name' in changes else chosen[key]
      chosen[key] = {**kept, **changes}
  return chosen


def columns(config: Any) -> Iterator[tuple[str, dict, float]]:
  """Name, question and scale of each column of the table.

  A question changes a trained network, and may say how the low resolution that
  it is asked of was made.
  """
  for asked in config.asked:
    for scale in config.scales:
      yield f'{asked["name"]} x{scale:g}'.strip(), asked, scale


def score(
  config: Any,
  squares: Sequence[np.ndarray],
  upsampler: Callable[[dict], validate.Upsampler],
) -> dict:
  """Mean PSNR in each column of what the upsampler of its question makes."""
  found = {}
  for name, asked, scale in columns(config):
    values = validate.psnr(
      upsampler(asked), squares, scale, shrinker=asked.get('shrinker', 'pillow')
    )
    found[name] = sum(values) / len(values)
  return found


def run_row(config: Any, row: dict, seed: int, folder: Path, squares) -> dict:
  """Trains and scores one row with one seed, unless that is done.

  Returns:
    'row', 'seed', 'parameters', and 'psnr' {column: dB} or, where there is
    nothing to score, 'diverged': the 'step' and the 'reason'.
  """
  kept = workdirs.read_json(folder / 'scores.json')
  if kept is not None:
    return kept
  chosen = variant(config, row)
  network = continuous.build(**chosen['network'])
  shapes = jax.eval_shape(network.init, jax.random.key(seed))
  entry = {
    'row': row['name'],
    'seed': seed,
    'parameters': sum(leaf.size for leaf in jax.tree.leaves(shapes)),
  }

  def upsampler(asked):
    network = continuous.build(**{**chosen['network'], **asked['network']})
    return validate.by_network(network, params)

  batches = {**chosen['batches'], 'seed': seed}
  try:
    params = train.run(
      folder, network, resolve.build('batches', batches),
      train.adam(**chosen['optimizer']), seed=seed, **chosen['train'],
    )  # fmt: skip
    entry['psnr'] = score(config, squares, upsampler)
  except train.Diverged as error:
    entry['diverged'] = {'step': error.step, 'reason': str(error)}
  workdirs.write_json(folder / 'scores.json', entry)
  return entry


def told(entry: dict) -> str:
  """What came of one row with one seed, for the terminal."""
  if 'diverged' in entry:
    came = f'diverged, {entry["diverged"]["reason"]}'
  else:
    came = ', '.join(f'{k} {v:.2f}' for k, v in entry['psnr'].items())
  return f'{entry["row"]} seed {entry["seed"]}: {came}'


def cells(runs: list[dict], names: Iterable[str]) -> list[str]:
  """Name, parameters and columns of a row of the table.

  Seeds that diverged are told, and the others averaged.
  """
  scores = [run['psnr'] for run in runs if 'psnr' in run]
  steps = [str(run['diverged']['step']) for run in runs if 'diverged' in run]
  lost = f'diverged at step {" and ".join(steps)}'
  name, parameters = runs[0]['row'], f'{runs[0]["parameters"]:,}'
  if not scores:
    return [name, parameters, *(lost for _ in names)]
  if steps:
    name += f' ({len(steps)} of {len(runs)} seeds {lost})'
  columns = []
  for column in names:
    mean, spread = validate.mean_and_spread([x[column] for x in scores])
    columns.append(f'{mean:.2f}' + f' ± {spread:.2f}' * (len(scores) > 1))
  return [name, parameters, *columns]


def table(config: Any, entries: list[dict], bicubic: dict) -> str:
  """Mean over the seeds of each row, as Markdown, with their spread."""
  rows = [
    ['row', 'parameters', *bicubic],
    ['---'] * (2 + len(bicubic)),
    ['bicubic', '0', *(f'{value:.2f}' for value in bicubic.values())],
  ]
  for row in config.rows:
    runs = [entry for entry in entries if entry['row'] == row['name']]
    rows.append(cells(runs, bicubic))
  return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def run(config: Any, folder: Path) -> str:
  """Makes every row that is not there yet; returns the table."""
  squares = validate.crops(**config.validation)
  workdirs.claim_workdir(folder, config.to_dict())
  bicubic = score(config, squares, lambda asked: validate.by_bicubic)
  entries = []
  for seed in config.seeds:
    for row in config.rows:
      name = re.sub(r'\W+', '_', row['name'])
      place = folder / 'rows' / f'{name}_seed{seed}'
      entries.append(run_row(config, row, seed, place, squares))
      print(told(entries[-1]), flush=True)
      workdirs.write_json(folder / 'results.json', entries)
  text = table(config, entries, bicubic)
  (folder / 'table.md').write_text(text)
  print('\n' + text)
  return text


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  run(_CONFIG.value, folder)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/sweeps')
