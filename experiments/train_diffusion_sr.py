"""Trains super-resolution by diffusion of latents on folders of photographs.

    python -m experiments.train_diffusion_sr \
        --config=configs/train/diffusion_sr.py:tiny --workdir=runs/diffusion_sr

Three parts, one after another, each in a folder of its own: the autoencoder,
the denoiser of its latents, the fusion by which the decoder looks at the coarse
picture. Killed and run again, it goes on from the last checkpoint to the same
result. Several devices share each batch.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, resolve, train
from sr3d_jax.io import paths, weights
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.models import latent_sr
from sr3d_jax.priors import diffusion
from sr3d_jax.types import Network, Params

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def learn(
  folder: Path, section: Any, network: Network, batches: Callable, seed: int
) -> Params:
  """Trains one part, or reads what an earlier run has finished."""
  done = folder / 'weights.npz'
  if not done.exists():
    train.run(
      folder, network, batches, train.adam(**section.optimizer), seed=seed,
      batch_size=section.batch_size, **section.train,
    )  # fmt: skip
  # As all later uses read them, in half precision.
  return weights.restore(done, network.init)


def run(config: Any, folder: Path) -> Path:
  """Trains, or goes on training; returns the file of all weights."""
  coder, model = diffusion.build(**config.network.to_dict())
  batches = {
    part: resolve.build(
      'batches', {**config.batches, 'batch_size': config[part].batch_size}
    )
    for part in ('autoencoder', 'denoiser', 'fusion')
  }
  workdirs.claim_workdir(folder, config.to_dict())
  seeds = [config.seed + i for i in range(3)]

  measured = [batches['denoiser'](i) for i in range(config.num_measured)]
  components = latent_sr.principal_components(
    np.concatenate([batch['hr'] for batch in measured]),
    coder.factor,
    coder.channels,
  )
  coding = latent_sr.autoencoding(
    coder, kl_weight=config.kl_weight, components=components
  )
  if config.autoencoder_from:
    start = paths.data_path(config.autoencoder_from)
    learnt = weights.restore(start, coding.init)
  else:
    learnt = learn(
      folder / 'autoencoder', config.autoencoder, coding,
      batches['autoencoder'], seeds[0],
    )  # fmt: skip

  units = latent_sr.measure_units(coder, learnt, measured)
  params = {'autoencoder': learnt, 'units': units}
  denoising = latent_sr.denoising(
    model, params, is_regression=config.is_regression
  )
  params |= learn(
    folder / 'denoiser', config.denoiser, denoising, batches['denoiser'],
    seeds[1],
  )  # fmt: skip

  fusing = latent_sr.fusing(model, params, is_regression=config.is_regression)
  params |= learn(
    folder / 'fusion', config.fusion, fusing, batches['fusion'], seeds[2]
  )
  weights.save(folder / 'weights.npz', params)
  return folder / 'weights.npz'


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  print('weights:', run(_CONFIG.value, folder))


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/train')
