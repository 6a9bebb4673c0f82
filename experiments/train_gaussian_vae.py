"""Trains the network that tells what Gaussians become one level finer.

    python -m experiments.train_gaussian_vae \
        --config=configs/gaussian_vae/train.py:tiny --workdir=runs/gaussian_vae

Histories to learn from are made first, where the config describes them and they
are not there yet; scenes are held out by name. First families alone are learnt,
then scenes are drawn, too. Killed and run again, it goes on from its last
checkpoint to the same result. Writes weights.npz, metrics.csv and
vae_card.json: of what the weights are, and what they bring on scenes that were
held out, beside the split that nothing was learnt for.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
  vae_drawing,
  vae_terms,
)
from sr3d_jax.batches import growths, lineages
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


def stream(config: Any, roots: tuple[str, ...]) -> Callable[[int], dict]:
  """Batches: families, and from a step on a scene to be drawn with them."""
  told = resolve.build('batches', config.batches.to_dict() | {'roots': roots})
  scenes = resolve.build('batches', config.scenes.to_dict() | {'roots': roots})

  def batch(step):
    found = {'families': families.learnable(told(step))}
    if step >= config.draw_from:
      found['scene'] = scenes(step)
    return found

  return batch


def network_of(config: Any, vae: Any, grow: Callable) -> Any:
  """What is learnt."""
  attributes = vae_terms.learning(
    vae, grow, num_steps=config.train.num_steps, **config.loss.to_dict()
  )
  return vae_drawing.learning(
    vae, attributes.loss, keep_mean=config.keep_mean,
    drawing=config.drawing.to_dict(), **config.looks.to_dict(),
  )  # fmt: skip


def scorer(
  config: Any, vae: Any, grow: Callable, scenes: list
) -> Callable[[Any], dict[str, dict[str, float]]]:
  """Makes params -> scores of held-out scenes: families, and their pictures."""
  out = [s for s in scenes if lineages.is_out(s, config.batches.held_out)]
  sizes = {
    name: config.batches[name] for name in ('num_states', 'num_neighbors')
  }
  told = lineages.fixed(
    out,
    num_parents=config.validation.num_parents,
    num_children=config.batches.num_children,
    **sizes,
  )
  told = {name: families.learnable(batch) for name, batch in told.items()}
  drawn = growths.fixed(
    out,
    num_views=config.validation.num_views,
    octaves=config.scenes.octaves,
    **sizes,
  )

  def score(params):
    found = {
      name: families.score(vae, grow, params, batch)
      for name, batch in told.items()
    }
    for name, batches in drawn.items():
      found[name] = vae_drawing.score(
        vae, params, batches, keep_mean=config.keep_mean,
        drawing=config.drawing.to_dict(),
      )  # fmt: skip
    return found

  return score


def checker(
  config: Any, score: Callable
) -> Callable[[int, Any], dict[str, float]]:
  """Makes (step, params) -> scores of what is held out, every so many steps."""

  def check(step, params):
    if step % config.validation.every and step != config.train.num_steps:
      return {}
    found = score(params)
    found.pop('bare')
    return {
      f'valid_{part}_{name}': value
      for part, scores in found.items()
      for name, value in scores.items()
    }

  return check


def card(
  config: Any, folder: Path, roots: tuple[str, ...], scenes: list, scores: dict
) -> dict[str, Any]:
  """What the weights are of: data, the split of its scenes, steps, scores."""
  names = {
    is_out: sorted(
      {
        scene['meta']['source']
        for scene in scenes
        if lineages.is_out(scene, config.batches.held_out) == is_out
      }
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
    'draw_from': config.draw_from,
    'batch_size': config.batches.batch_size,
    'scores': scores,
    'commit': workdirs.commit(),
  }


def run(config: Any, folder: Path) -> Path:
  """Trains, or goes on training; returns the file of averaged weights."""
  vae = gaussian_vae.make(**config.network.to_dict())
  grow = functools.partial(families.grow, keep_mean=config.keep_mean)
  workdirs.claim_workdir(folder, config.to_dict())
  roots = histories(config, folder)
  batches = stream(config, roots)
  scenes = lineages.read(roots)
  score = scorer(config, vae, grow, scenes)
  params = train.run(
    folder, network_of(config, vae, grow), batches, adamw(**config.optimizer),
    seed=config.seed, check=checker(config, score), **config.train,
  )  # fmt: skip
  progress.save_csv(folder)
  found = card(config, folder, roots, scenes, score(params))
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
