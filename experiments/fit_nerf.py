"""Fits a compact radiance field to the photos of a scene: a nerf.npz.

    python -m experiments.fit_nerf --config=configs/nerf/lego.py:cpu \
        --config.num_steps=500 --workdir=runs/nerf

Few steps make a coarse field. The scene `nerf` draws the file, so that it can
be made finer (configs/scenes/nerf.py). Killed and run again, it goes on from
its last checkpoint.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import config_flags

from sr3d_jax import (
  capture,
  cli,
  coarse,
  metrics,
  rays,
  resolve,
  train,
  volume,
)
from sr3d_jax.io import images, nerf_files, weights
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.models import radiance
from sr3d_jax.types import Scene, Views

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def field_keys(config: Any, scene: Scene, views: Views) -> dict[str, Any]:
  """What makes the field: the config's, its box and what lies behind it."""
  corners = config.box
  if corners is None:
    points = scene.points
    if not len(points):
      points, _ = capture.find_points(views)
    corners = volume.box_around(points)
  low, high = (tuple(float(x) for x in corner) for corner in corners)
  background = tuple(float(x) for x in scene.background)
  return dict(low=low, high=high, background=background, **config.network)


def score(nerf: nerf_files.Nerf, views: Views, folder: Path) -> dict[str, Any]:
  """Draws held-out views [V] as the file tells; returns their PSNR, dB."""
  network = radiance.make(**nerf.network)
  params = weights.as_params(nerf.arrays, network.init)
  drawn = radiance.render_views(network, params, views.cameras)['image']
  for i, image in enumerate(drawn):
    images.save(folder / 'renders' / f'{i:03d}.png', image)
  trust = views.weights
  levels = metrics.psnr(
    jnp.clip(drawn, 0, 1),
    jnp.asarray(views.images),
    None if trust is None else jnp.asarray(trust),
  )
  return {
    'psnr': float(np.mean(levels)),
    'views': [float(level) for level in levels],
  }


def run(config: Any, folder: Path) -> Path:
  """Fits, or goes on fitting; returns the file of the field."""
  scene = resolve.build('scenes', config.scene)
  views, held_out = (
    coarse.shrink(part, config.shrink) for part in (scene.train, scene.test)
  )
  keys = field_keys(config, scene, views)
  network = radiance.make(**keys)
  batches = rays.batches(views, **config.batches)
  workdirs.claim_workdir(folder, config.to_dict())
  params = train.run(
    folder, network, batches,
    train.adam(num_steps=config.num_steps, **config.optimizer),
    seed=config.seed, num_steps=config.num_steps, **config.train,
  )  # fmt: skip
  file = folder / 'nerf.npz'
  nerf_files.save(
    file,
    nerf_files.Nerf(
      name=scene.name,
      network=keys,
      arrays=weights.flatten(jax.device_get(params)),
      cameras=views.cameras,
    ),
  )
  scores = {}
  if len(scene.test_names):
    scores = score(nerf_files.load(file), held_out, folder)
    print(f'held-out views: {scores["psnr"]:.2f} dB')
  workdirs.write_json(
    folder / 'results.json', {'num_steps': config.num_steps, **scores}
  )
  return file


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  print('field:', run(_CONFIG.value, folder))


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/nerf')
