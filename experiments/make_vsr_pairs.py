"""Makes pairs of clips to learn video super-resolution of 3D from.

    python -m experiments.make_vsr_pairs --config=configs/vsr_pairs/tiny.py \
        --workdir=runs/vsr_pairs

Each pair is a file of its own, so that a run that was killed goes on with the
next one. Pairs that do not reach `min_psnr` are left out and told.
"""

from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, resolve, vsr_pairs
from sr3d_jax.fit import fit
from sr3d_jax.io import workdir as workdirs

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the pairs go.')


def run(config: Any, folder: Path) -> list[Path]:
  """Makes the pairs that are not there yet; returns the files of all."""
  workdirs.claim_workdir(folder, config.to_dict())
  return vsr_pairs.make_all(
    folder, build=resolve.build, fit=fit, **config.to_dict()
  )


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  made = run(_CONFIG.value, folder)
  print(f'{len(made)} pairs in {folder}')


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/vsr_pairs')
