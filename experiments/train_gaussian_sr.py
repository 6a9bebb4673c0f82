"""Trains a network that enlarges by any scale on folders of photographs.

    python -m experiments.train_gaussian_sr \
        --config=configs/train/gaussian_sr.py:tiny --workdir=runs/gaussian_sr

Killed and run again, it goes on from its last checkpoint to the same result.
Several devices share each batch.
"""

from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, resolve, train
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.priors import continuous

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def run(config: Any, folder: Path) -> Path:
  """Trains, or goes on training; returns the file of averaged weights."""
  network = continuous.build(**config.network.to_dict())
  batches = resolve.build('batches', config.batches)
  optimizer = train.adam(**config.optimizer)
  workdirs.claim_workdir(folder, config.to_dict())
  train.run(
    folder, network, batches, optimizer, seed=config.seed,
    batch_size=config.batches.batch_size, **config.train,
  )  # fmt: skip
  return folder / 'weights.npz'


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  print('weights:', run(_CONFIG.value, folder))


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/train')
