"""Measures the shape of every row of a run whose scene has an exact surface.

    python -m experiments.evaluate_geometry \
        --config=configs/gaussian_vae/shapes.py:desk,cpu \
        --workdir=runs/gaussian_vae/shapes_desk_x4_seed0

The config and the folder are those of the run of `super_resolve`; its scene is
one of those that tell their surface, the desk or a mesh. Surfaces are compared
along the held-out cameras. Writes geometry.json into the folder, and prints it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, resolve, surface_audits
from sr3d_jax.io import splat_files
from sr3d_jax.io import workdir as workdirs

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Of the run.')
COLUMNS = {
  'abs_rel': 4, 'rmse': 4, 'delta': 4, 'coverage': 4, 'chamfer': 5,
  'f@0.5': 4, 'angle': 3, 'cosine': 4, 'center_mean': 5, 'center_95': 4,
  'flat': 3,
}  # fmt: skip  # decimals


def run(config: Any, folder: Path) -> dict[str, dict[str, float]]:
  """Measures the rows; returns their scores."""
  section = config.scene.to_dict()
  name = section.pop('name')
  module = resolve.module('scenes', name)
  if not hasattr(module, 'surface'):
    raise ValueError(
      f'scenes of the kind {name!r} do not tell their surface: take procedural '
      'or mesh'
    )
  rows = workdirs.read_json(folder / 'results.json')
  if not rows:
    raise FileNotFoundError(
      f'{folder / "results.json"} is not there: make the run first, '
      f'python -m experiments.super_resolve --config={config.source} '
      f'--workdir={folder}'
    )
  # Of its pictures nobody asks.
  scene = module.make(**{**section, 'supersample': 1})
  target = module.surface(**section)(scene.test.cameras)
  drawing = {'background': scene.background, **config.drawing}
  found = {
    row['name']: surface_audits.measure(
      splat_files.load(folder / row['ply']), scene.test.cameras, target, drawing
    )
    for row in rows
  }
  workdirs.write_json(folder / 'geometry.json', found)
  return found


def table(found: dict[str, dict[str, float]]) -> str:
  """The scores as Markdown."""
  lines = ['| row | ' + ' | '.join(COLUMNS) + ' |']
  lines.append('|---' * (len(COLUMNS) + 1) + '|')
  for row, scores in found.items():
    told = [
      '' if np.isnan(scores[name]) else f'{scores[name]:.{digits}f}'
      for name, digits in COLUMNS.items()
    ]
    lines.append(f'| {row} | ' + ' | '.join(told) + ' |')
  return '\n'.join(lines)


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  print(table(run(_CONFIG.value, Path(_WORKDIR.value))))


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/gaussian_vae')
