"""Scores a prior on a folder of photographs, as super-resolution papers do.

    python -m experiments.evaluate --config=configs/eval/set5.py:imdn \
        --workdir=runs/set5_imdn

Each photograph is cropped to a multiple of the scale, shrunk by antialiased
bicubic, rounded to 8 bits, enlarged again and compared on the luma without a
border as wide as the scale.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, metrics, resolve
from sr3d_jax.batches.image_pairs import degrade
from sr3d_jax.io import images as image_files
from sr3d_jax.io import paths
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.types import SRPrior, Views

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def score(prior: SRPrior, params: Any, hr: np.ndarray) -> dict[str, float]:
  """Shrinks and re-enlarges one photograph [H, W, 3]; measures the result."""
  scale = round(prior.scale)
  if scale != prior.scale:
    raise ValueError(f'the benchmark wants a whole scale, got {prior.scale}')
  lr, hr = degrade(jnp.asarray(hr), scale)
  key = jax.random.key(0)
  state = prior.begin(params, key, Views(images=lr[None], cameras=None))
  for i in range(prior.num_steps):
    state, enlarged = prior.step(params, jax.random.fold_in(key, i), state, i)
  return {
    'psnr_y': float(metrics.psnr_y(enlarged[0], hr, shave=scale)),
    'ssim': float(metrics.ssim(enlarged[0], hr)),
  }


def run(config: Any, folder: Path) -> dict[str, float]:
  """Scores every photograph; writes each score and returns the means."""
  prior = resolve.build('priors', config.prior)
  params = prior.init(jax.random.key(config.seed))
  photos = image_files.list_images(paths.data_path(config.root))
  workdirs.claim_workdir(folder, config.to_dict())
  rows = {}
  for path in photos:
    rows[path.name] = score(prior, params, image_files.load(path)[..., :3])
    print(path.name, *(f'{k} {v:.3f}' for k, v in rows[path.name].items()))
  means = metrics.means(rows)
  workdirs.write_json(folder / 'per_image.json', rows)
  workdirs.write_json(folder / 'results.json', means)
  return means


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  print(run(_CONFIG.value, folder))


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/eval')
