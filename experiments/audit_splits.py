"""Fits a scene, splits Gaussians one at a time, and compares with the Hessian.

    python -m experiments.audit_splits --config=configs/gaussian_vae/audit.py \
        --workdir=runs/audit_splits

Prints the rank correlation of predicted and actual changes of the loss, and
writes them to splits.json.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy.stats
from absl import flags
from ml_collections import config_flags

from sr3d_jax import capture, cli, resolve, split_audits
from sr3d_jax.fit import fit
from sr3d_jax.io import workdir as workdirs

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def run(config: Any, folder: Path) -> list[dict[str, Any]]:
  """Fits, splits and compares, for each shift and kind of split."""
  scene = resolve.build('scenes', config.scene)
  if not len(scene.points):
    points, colors = capture.find_points(scene.train)
    scene = dataclasses.replace(scene, points=points, colors=colors)
  rep = resolve.build('representations', config.representation)
  workdirs.claim_workdir(folder, config.to_dict())
  drawing = {'background': scene.background, **config.drawing}
  init_key, fit_key, key = jax.random.split(jax.random.key(config.seed), 3)
  params = fit(
    fit_key, rep, rep.init(init_key, scene), scene.train,
    **drawing, **config.fit,
  )  # fmt: skip
  found = []
  for shift in config.shifts:
    changes = split_audits.compare(
      key, rep.gaussians(params), scene.train, drawing, num=config.num,
      shift=shift,
    )  # fmt: skip
    predicted = changes['predicted']
    for kind in split_audits.KINDS:
      actual = changes[kind]
      rank = scipy.stats.spearmanr(predicted, actual).statistic
      found.append(
        {
          'shift': shift,
          'kind': kind,
          'rank_correlation': float(rank),
          'fell': float(np.mean(actual < 0)),
          'ratio': float(np.sum(actual) / np.sum(predicted)),
          'predicted': predicted.tolist(),
          'actual': actual.tolist(),
        }
      )
  workdirs.write_json(folder / 'splits.json', found)
  return found


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  print(
    f'{"shift":>6}{"split":>7}{"number":>8}{"rank corr.":>12}{"fell":>7}'
    f'{"ratio":>8}'
  )
  for x in run(_CONFIG.value, folder):
    print(
      f'{x["shift"]:>6}{x["kind"]:>7}{len(x["actual"]):>8}'
      f'{x["rank_correlation"]:>12.3f}{x["fell"]:>7.2f}{x["ratio"]:>8.3f}'
    )


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/gaussian_vae')
