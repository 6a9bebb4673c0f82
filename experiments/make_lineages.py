"""Makes histories of Gaussians over image pyramids, to learn the next level of.

    python -m experiments.make_lineages --config=configs/lineages/tiny.py \
        --workdir=runs/lineages

Each history is a file of its own, so that a run that was killed goes on with
the next one.
"""

from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, hessian_features, pyramid, resolve
from sr3d_jax.fit import fit_state
from sr3d_jax.io import workdir as workdirs

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the histories go.')


def run(config: Any, folder: Path) -> list[Path]:
  """Makes the histories that are not there yet; returns the files of all."""
  workdirs.claim_workdir(folder, config.to_dict())
  sections = config.to_dict()
  looks = sections.pop('with_hessian')
  return pyramid.make_all(
    folder,
    build=resolve.build,
    fit=fit_state,
    features=hessian_features.look if looks else None,
    **sections,
  )


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  made = run(_CONFIG.value, folder)
  print(f'{len(made)} histories in {folder}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/lineages')
