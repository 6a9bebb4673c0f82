"""Trains a video super-resolution network, from scratch or from weights.

    python -m experiments.finetune_vsr --config=configs/finetune_vsr/own.py \
        --workdir=runs/own_video

Killed and run again, it goes on from its last checkpoint. Several devices share
the clips of each batch.
"""

from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, hosts, prefetch, resolve, train
from sr3d_jax.io import paths, weights
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.models import basicvsr, video_sr

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def run(config: Any, folder: Path) -> Path:
  """Trains, or goes on training; returns the file of averaged weights."""
  network = basicvsr.make(**config.network.to_dict())
  learner = video_sr.learning(network, **config.loss)
  if config.start:
    start = paths.data_path(config.start)
    weights.restore(start, network.init)  # at once: it may not fit
    learner = learner._replace(
      init=lambda key: weights.restore(start, network.init)
    )
  batches = resolve.build('batches', config.batches)
  workdirs.claim_workdir(folder, config.to_dict())
  mesh = None
  if jax.device_count() > 1:
    mesh = hosts.device_mesh(config.batches.batch_size)
  train.run(
    folder, learner, prefetch.ahead(batches), train.adam(**config.optimizer),
    seed=config.seed, mesh=mesh, **config.train,
  )  # fmt: skip
  return folder / 'weights.npz'


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  print('weights:', run(_CONFIG.value, folder))


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/finetune_vsr')
