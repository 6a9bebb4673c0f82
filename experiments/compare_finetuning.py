"""Says what finetuning brought: films and lifted scenes, before and after.

    python -m experiments.compare_finetuning \
        --config=configs/supergaussian/finetuning.py --workdir=docs/results

Reads finished runs of e2 (configs/supergaussian/experiments.py), prints a table
and writes it as finetuning.md, and a film of each scene: enlarged before, after
(the first training seed), and the truth.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, clip_scores
from sr3d_jax.files import write_whole
from sr3d_jax.io import video

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where table and films go.')

# Title: (stage of the film or '' for the row's entry, score, its unit, digits).
COLUMNS = {
  'film, dB': ('enlarged', 'psnr', 1.0, 2),
  'sharpness': ('enlarged', 'sharpness', 1.0, 3),
  'warping, 1e-4': ('enlarged', 'warping', 1e4, 2),
  'gap, 1e-4': ('enlarged', 'warping_gap', 1e4, 2),
  'lifted, dB': ('', 'psnr', 1.0, 2),
  'lifted HaarPSI': ('', 'haarpsi', 1.0, 3),
}


def scores(folder: Path, row: str, path: str) -> list[float]:
  """The figures of `COLUMNS` of one row of a run; NaN: it has none."""
  rows = {
    entry['name']: entry
    for entry in json.loads((folder / 'results.json').read_text())
  }
  if row not in rows:
    raise ValueError(
      f'{folder} has no row {row!r}, only {", ".join(rows)}: finetune, then '
      'run e2 again'
    )
  films = json.loads((folder / 'rows' / row / 'clips.json').read_text())[path]
  entries = {**films, '': rows[row]}
  return [
    unit * entries[stage].get(score, np.nan)
    for stage, score, unit, _ in COLUMNS.values()
  ]


def line(label: str, figures: np.ndarray) -> str:
  """A line of the table: means over seeds [N, columns], and how they spread."""
  cells = []
  for values, (*_, digits) in zip(figures.T, COLUMNS.values()):
    cell = f'{values.mean():.{digits}f}'
    if len(values) > 1:
      cell += f' ± {values.std(ddof=1):.{digits}f}'
    cells.append(cell)
  return f'| {label} | {" | ".join(cells)} |'


def table(config: Any) -> str:
  """The table of all scenes, as Markdown."""
  lines = [
    f'| scene, row | {" | ".join(COLUMNS)} |',
    '|---' * (len(COLUMNS) + 1) + '|',
  ]
  groups = {name: (name,) for name in (*config.others, config.before)}
  groups |= {f'finetuned, {len(config.after)} seeds': tuple(config.after)}
  for scene, run in config.runs.items():
    for label, rows in groups.items():
      folder, path = Path(config.root, run), config.paths[scene]
      figures = [scores(folder, x, path) for x in rows]
      lines.append(line(f'{scene}, {label}', np.array(figures)))
  return '\n'.join(lines) + '\n'


def film(config: Any, folder: Path, path: str) -> np.ndarray:
  """[T, H, 3 W, 3] uint8: before, after and the truth of a run."""
  stages = {
    row: np.split(
      video.load(folder / 'rows' / row / f'{path}.mp4'),
      len(clip_scores.STAGES),
      axis=2,
    )
    for row in (config.before, config.after[0])
  }
  enlarged, truth = map(clip_scores.STAGES.index, ('enlarged', 'truth'))
  before, after = stages.values()
  return np.concatenate(
    [before[enlarged], after[enlarged], after[truth]], axis=2
  )


def run(config: Any, folder: Path) -> Path:
  """Writes the table and the films; returns the table's file."""
  text = table(config)
  films = {
    scene: film(config, Path(config.root, run), config.paths[scene])
    for scene, run in config.runs.items()
  }
  folder.mkdir(parents=True, exist_ok=True)
  for scene, frames in films.items():
    video.save(folder / f'finetuning_{scene}.mp4', frames, config.rate)
  write_whole(folder / 'finetuning.md', text)
  print(text)
  return folder / 'finetuning.md'


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  print('table:', run(_CONFIG.value, Path(_WORKDIR.value)))


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/supergaussian')
