"""Trains the network that tells what Gaussians become one level finer.

    python -m experiments.train_gaussian_vae \
        --config=configs/gaussian_vae/train.py:tiny --workdir=runs/gaussian_vae

Histories to learn from are made first, where the config describes them and they
are not there yet; scenes are held out by name. Killed and run again, it goes on
from its last checkpoint to the same result. Writes weights.npz, metrics.csv and
vae_card.json: of what the weights are, and what they bring on scenes that were
held out, beside the split that nothing was learnt for.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optax
from absl import flags
from ml_collections import config_flags

from sr3d_jax import (
  cli,
  families,
  hessian_features,
  pyramid,
  resolve,
  train,
  vae_terms,
)
from sr3d_jax.batches import lineages
from sr3d_jax.fit import fit_state
from sr3d_jax.io import bundles, paths, progress
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.models import gaussian_vae

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def adamw(
  *, learning_rate: float, num_steps: int, warmup: int, clip_norm: float,
  weight_decay: float,
) -> optax.GradientTransformation:  # fmt: skip
  """AdamW whose rate rises from 0 and follows half a cosine down to 0."""
  rate = optax.warmup_cosine_decay_schedule(
    0.0, learning_rate, warmup, num_steps
  )
  return optax.chain(
    optax.clip_by_global_norm(clip_norm),
    optax.adamw(rate, weight_decay=weight_decay),
  )


def histories(config: Any, folder: Path) -> tuple[str, ...]:
  """Folders of histories; makes those that the config describes."""
  roots = tuple(config.batches.roots)
  if not config.lineages:
    return roots
  made = folder / 'lineages'
  workdirs.claim_workdir(made, config.lineages.to_dict())
  sections = config.lineages.to_dict()
  looks = sections.pop('with_hessian')
  pyramid.make_all(
    made, build=resolve.build, fit=fit_state,
    features=hessian_features.look if looks else None, **sections,
  )  # fmt: skip
  return *roots, str(made.absolute())


def held_out(
  config: Any, scenes: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
  """Parents of scenes that are not learnt from, all alike in all runs.

  Returns:
    Batches of the same parents: with their 'history', and 'bare': the newest
    state alone, and what no photo tells.
  """
  section = config.batches
  size = section.num_states, section.num_children, section.num_neighbors
  table = lineages.join(
    [
      part
      for scene in scenes
      if _is_held_out(config, scene)
      for part in lineages.episodes(scene, *size)
    ]
  )
  rng, total = np.random.default_rng(0), len(table.pixel_size)
  rows = rng.permutation(total)[: config.validation.num_parents]
  flips = np.ones((len(rows), 3))

  def batch(is_bare):
    is_kept = np.full((len(rows), section.num_states), not is_bare)
    is_kept[:, 0] = True
    is_told = np.full(len(rows), not is_bare)
    return families.learnable(
      lineages.describe(table, rows, flips, is_kept, is_told)
    )

  return {'history': batch(False), 'bare': batch(True)}


def _is_held_out(config: Any, scene: dict[str, Any]) -> bool:
  name = scene['meta']['source']
  return any(re.search(pattern, name) for pattern in config.batches.held_out)


def checker(
  config: Any, score: Callable, batch: dict[str, Any]
) -> Callable[[int, Any], dict[str, float]]:
  """Makes (step, params) -> scores of held-out parents, every so many steps."""

  def check(step, params):
    if step % config.validation.every and step != config.train.num_steps:
      return {}
    found = score(params, batch)
    return {f'valid_{name}': value for name, value in found.items()}

  return check


def card(
  config: Any, folder: Path, roots: tuple[str, ...], scenes: list, scores: dict
) -> dict[str, Any]:
  """What the weights are of: data, the split of its scenes, steps, scores."""
  names = {
    is_out: sorted(
      {s['meta']['source'] for s in scenes if _is_held_out(config, s) == is_out}
    )
    for is_out in (False, True)
  }
  files = [
    file
    for root in roots
    for file in sorted(paths.data_path(root).glob('*.array_record'))
  ]
  return {
    'weights': bundles.origins([folder / 'weights.npz']),
    'network': config.network.to_dict(),
    'keep_mean': config.keep_mean,
    'data': bundles.origins(files),
    'learnt': names[False],
    'held_out': names[True],
    'num_steps': config.train.num_steps,
    'batch_size': config.batches.batch_size,
    'scores': scores,
    'commit': workdirs.commit(),
  }


def run(config: Any, folder: Path) -> Path:
  """Trains, or goes on training; returns the file of averaged weights."""
  vae = gaussian_vae.make(**config.network.to_dict())
  grow = functools.partial(families.grow, keep_mean=config.keep_mean)
  network = vae_terms.learning(
    vae, grow, num_steps=config.train.num_steps, **config.loss.to_dict()
  )
  score = functools.partial(families.score, vae, grow)
  workdirs.claim_workdir(folder, config.to_dict())
  roots = histories(config, folder)
  batches = resolve.build(
    'batches', config.batches.to_dict() | {'roots': roots}
  )
  scenes = lineages.read(roots)
  valid = held_out(config, scenes)
  params = train.run(
    folder, network, lambda step: families.learnable(batches(step)),
    adamw(**config.optimizer), seed=config.seed,
    batch_size=config.batches.batch_size,
    check=checker(config, score, valid['history']),
    **config.train,
  )  # fmt: skip
  progress.save_csv(folder)
  scores = {name: score(params, batch) for name, batch in valid.items()}
  found = card(config, folder, roots, scenes, scores)
  workdirs.write_json(folder / 'vae_card.json', found)
  return folder / 'weights.npz'


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  print('weights:', run(_CONFIG.value, folder))


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/gaussian_vae')
