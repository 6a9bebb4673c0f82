"""Measures priors on films: each is shrunk, enlarged again, and compared.

    python -m experiments.evaluate_clips --config=configs/eval/vid4.py \
        --workdir=runs/vid4

Prints a table and writes results.json and the enlarged films.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import config_flags

from sr3d_jax import cli, metrics, resolve, temporal, warp
from sr3d_jax.degrade import degrade
from sr3d_jax.io import images, paths, video
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.models import basicvsr
from sr3d_jax.types import Array, Camera, SRPrior, Views

RATE = 12  # frames a second

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def read_film(folder: Path, scale: int) -> tuple[Array, Array]:
  """Frames [T, h, w, 3] and [T, H, W, 3] of a folder, in order of their names.

  Fine ones lose what the scale does not divide; coarse ones are shrunk by
  bicubic to 8 bits.
  """
  frames = [images.load(file)[..., :3] for file in images.list_images(folder)]
  if len(frames) < 2:
    raise ValueError(
      f'{folder} has {len(frames)} frame, a film has two or more'
    )
  pairs = [degrade(jnp.asarray(frame), scale) for frame in frames]
  lr, hr = map(jnp.stack, zip(*pairs))
  return lr, hr


def enlarge(prior: SRPrior, key: Array, lr: Array) -> Array:
  """The film as a prior of one step makes it; its cameras stand still."""
  num, height, width = lr.shape[:3]
  cameras = Camera(
    world_to_cam=jnp.tile(jnp.eye(4), (num, 1, 1)),
    focal=jnp.full((num, 2), float(width)),
    center=jnp.tile(jnp.asarray([width / 2, height / 2]), (num, 1)),
    width=width,
    height=height,
  )
  params = prior.init(key)
  state = prior.begin(params, key, Views(images=lr, cameras=cameras))
  return jnp.clip(prior.step(params, key, state, 0)[1], 0, 1)


def score(fine: Array, hr: Array, border: int, align: Any) -> dict[str, float]:
  """Luma PSNR with the border and without, and how the film flickers."""
  errors, truth = (temporal.warping_errors(x, align) for x in (fine, hr))
  return {
    'psnr_y': float(jnp.mean(metrics.psnr_y(fine, hr, shave=0))),
    'psnr_y_inside': float(jnp.mean(metrics.psnr_y(fine, hr, shave=border))),
    'warping_gap': temporal.referenced_error(errors, truth),
    'sharpness': float(
      jnp.mean(temporal.sharpness(fine)) / jnp.mean(temporal.sharpness(hr))
    ),
  }


def flow_alignment(config: Any, hr: Array) -> Any:
  """Aligns neighbours by the flow of the fine film, as the prior finds it."""
  prior = config.rows[config.order[-1]]
  network = basicvsr.make(**prior.sizes)
  params = resolve.build('priors', prior).init(jax.random.key(0))
  flow = jax.jit(network.flow)
  there, back = flow(params, hr[:-1], hr[1:]), flow(params, hr[1:], hr[:-1])
  return warp.follow(there, back)


def run(config: Any, folder: Path) -> list[dict[str, Any]]:
  """Measures each row on each film."""
  films = {
    Path(root).name: read_film(paths.data_path(root), config.scale)
    for root in config.films
  }
  workdirs.claim_workdir(folder, config.to_dict())
  priors = {
    row: resolve.build('priors', config.rows[row]) for row in config.order
  }
  rows = []
  for name, (lr, hr) in films.items():
    align = flow_alignment(config, hr)
    for row, prior in priors.items():
      fine = enlarge(prior, jax.random.key(config.seed), lr)
      scores = score(fine, hr, config.border, align)
      rows.append({'film': name, 'row': row, 'frames': len(hr), **scores})
      video.save(
        folder / f'{name} {row}.mp4'.replace(' ', '_'), np.asarray(fine), RATE
      )
  workdirs.write_json(folder / 'results.json', rows)
  return rows


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  rows = run(_CONFIG.value, folder)
  print(
    f'{"film":<10}{"row":<16}{"luma PSNR":>10}{"inside":>8}'
    f'{"warping gap":>13}{"sharpness":>11}'
  )
  for x in rows:
    print(
      f'{x["film"]:<10}{x["row"]:<16}{x["psnr_y"]:>10.2f}'
      f'{x["psnr_y_inside"]:>8.2f}{x["warping_gap"]:>13.2e}'
      f'{x["sharpness"]:>11.3f}'
    )


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/eval')
