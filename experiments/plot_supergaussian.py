"""Draws what SuperGaussian's experiments found: paths, splats, and flicker.

    python -m experiments.plot_supergaussian \
        --config=configs/supergaussian/figures.py --workdir=docs/results

Reads finished runs of configs/supergaussian/experiments.py and writes
supergaussian.png; a panel whose runs are not there is left out and told.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from ml_collections import config_flags

from sr3d_jax import cli
from sr3d_jax.files import replacing

STAGES = ('coarse', 'enlarged', 'lifted', 'truth')

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the picture goes.')


def results(folder: Path) -> dict[str, dict[str, Any]]:
  """{row: its entry} of a finished run."""
  rows = json.loads((folder / 'results.json').read_text())
  return {row['name']: row for row in rows}


def draw_paths(axes: Axes, root: Path, section: Any) -> None:
  """PSNR of each path's row over the share of the surface that it covers."""
  rows = results(root / section.run)
  for name, row in rows.items():
    if 'coverage' in row:
      axes.scatter(row['coverage'], row['psnr'], color='tab:blue', s=16)
      axes.annotate(
        name, (row['coverage'], row['psnr']), fontsize=6,
        xytext=(3, 2), textcoords='offset points',
      )  # fmt: skip
  axes.axhline(rows['lr_fit']['psnr'], color='grey', lw=0.8, ls='--')
  axes.set(
    xlabel='surface seen three times or more', ylabel='PSNR, dB',
    title='Paths (E3); dashed: coarse fit',
  )  # fmt: skip


def draw_counts(axes: Axes, root: Path, section: Any) -> None:
  """PSNR of each row over the number of splats of the coarse scene."""
  counts = list(section.counts)
  runs = [results(root / section.run.format(count)) for count in counts]
  for row in section.rows:
    if all(row in run for run in runs):
      axes.plot(counts, [run[row]['psnr'] for run in runs], 'o-', label=row)
  axes.set_xscale('log')
  axes.set(
    xlabel='splats of the coarse scene', ylabel='PSNR, dB',
    title='How bad may the input be? (E4)',
  )  # fmt: skip
  axes.legend(fontsize=7)


def draw_stages(axes: Axes, root: Path, section: Any) -> None:
  """How each stage of a film flickers, and how sharp it is."""
  for run, path in zip(section.runs, section.paths, strict=True):
    scores = json.loads((root / run / section.clips).read_text())[path]
    line = [(scores[x]['warping'], scores[x]['sharpness']) for x in STAGES]
    axes.plot(*zip(*line), 'o-', label=f'{run.removeprefix("e7_")}, {path}')
    for stage, place in zip(STAGES, line):
      axes.annotate(
        stage, place, fontsize=6, xytext=(3, 2), textcoords='offset points'
      )
  axes.set_xscale('log')
  axes.set_yscale('log')
  axes.xaxis.set_minor_formatter(NullFormatter())
  axes.set(
    xlabel='warping error', ylabel='sharpness, of the truth',
    title='Coarse, enlarged, lifted (E7)',
  )  # fmt: skip
  axes.legend(fontsize=7)


PANELS: dict[str, Callable] = {
  'paths': draw_paths,
  'counts': draw_counts,
  'stages': draw_stages,
}


def run(config: Any, folder: Path) -> Path:
  """Draws the panels whose runs are there; returns the picture's file."""
  figure = Figure(figsize=(4.2 * len(PANELS), 3.6), layout='constrained')
  panels = figure.subplots(1, len(PANELS))
  drawn = 0
  for axes, (name, draw) in zip(panels, PANELS.items()):
    try:
      draw(axes, Path(config.root), config[name])
      drawn += 1
    except FileNotFoundError as error:
      axes.remove()
      print(f'the panel {name!r} is left out, there is no {error.filename}')
  if not drawn:
    raise ValueError(
      f'no run of any panel lies in {config.root}: make them with '
      'configs/supergaussian/experiments.py, or name their folder by '
      '--config.root'
    )
  folder.mkdir(parents=True, exist_ok=True)
  file = folder / 'supergaussian.png'
  with replacing(file) as part:
    figure.savefig(part, dpi=110, format='png')
  return file


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  print('picture:', run(_CONFIG.value, Path(_WORKDIR.value)))


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/supergaussian')
