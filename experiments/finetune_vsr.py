"""Trains a video super-resolution network, from scratch or from weights.

    python -m experiments.finetune_vsr --config=configs/finetune_vsr/tiny.py \
        --workdir=runs/finetuned_video

Pairs of clips to learn from are made first, where the config describes them and
they are not there yet. Killed and run again, it goes on from its last
checkpoint. Several devices share the clips of each batch. Writes weights.npz,
which `priors/video` reads, metrics.csv, and with held-out pairs samples/ and
vsr_card.json.
"""

import collections
import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import flags
from ml_collections import config_flags

from sr3d_jax import (
  capture,
  cli,
  coarse,
  consolidate,
  evaluate,
  image,
  metrics,
  resolve,
  train,
  video_scores,
  vsr_pairs,
)
from sr3d_jax.batches import clip_pairs
from sr3d_jax.fit import fit
from sr3d_jax.io import bundles, images, paths, progress
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.models import (
  basicvsr,
  discriminators,
  lpips,
  video_sr,
  video_terms,
)
from sr3d_jax.priors import video
from sr3d_jax.render import render_views
from sr3d_jax.types import Network, Params, VideoNetwork, Views, one_shot

PARTS = 'generator', 'discriminator'

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def start_file(config: Any) -> Path | None:
  """The weights that training starts from; None: from scratch."""
  if not config.start:
    return None
  return (
    video.SHIPPED
    if config.start == 'shipped'
    else paths.data_path(config.start)
  )


def perceptual_distance(config: Any) -> Callable | None:
  """LPIPS of the user's weights; None where the config names none."""
  section = config.get('perceptual')
  if not section or not section.weights:
    if section and section.weight:
      raise ValueError(
        f'perceptual.weight is {section.weight:g}, for which LPIPS needs '
        f'weights: give perceptual.weights, see {bundles.GUIDE}, or weight 0'
      )
    return None
  distance = lpips.make(backbone=section.backbone)
  file = paths.data_path(section.weights)
  params = bundles.restore(file, distance.init)
  return lambda frames, targets: distance.apply(params, (frames, targets))


def learner(
  config: Any, network: VideoNetwork, distance: Callable | None
) -> tuple[Network, optax.GradientTransformation, str | None]:
  """What learns, by which optimiser, and the part of it that is averaged."""
  options = config.loss.to_dict()
  terms = []
  steadiness = options.pop('temporal', 0.0)
  if steadiness:
    terms.append(video_terms.steady(network, steadiness))
  if config.get('perceptual') and config.perceptual.weight:
    terms.append(video_terms.alike(distance, config.perceptual.weight))

  def learn(more):
    return video_sr.learning(network, terms=(*terms, *more), **options)

  optimizer = train.adam(**config.optimizer)
  if not (config.get('adversarial') and config.adversarial.weight):
    return learn(()), optimizer, None
  judge = discriminators.make(**config.judge)
  both = optax.multi_transform(
    dict(zip(PARTS, (optimizer, train.adam(**config.judge_optimizer)))),
    dict(zip(PARTS, PARTS)),
  )
  learnt = video_terms.adversarial(learn, judge, **config.adversarial)
  return learnt, both, PARTS[0]


def enlarger(network: VideoNetwork) -> Callable:
  """(params, clip [T, h, w, 3]) -> [T, H, W, 3]."""

  @jax.jit
  def enlarge(params, clip):
    return network.enlarge(params, network.clean(params, clip[None]))[0]

  return enlarge


def held_out(config: Any, roots: tuple[str, ...]) -> list[dict[str, Any]]:
  """Pairs that are not learnt from, cut to `validation.num_frames`."""
  patterns = config.batches.held_out
  found = [
    pair
    for pair in clip_pairs.read(roots)
    if any(re.search(p, clip_pairs.source(pair)) for p in patterns)
  ]
  if not found:
    raise ValueError(
      f'no pair is of a source with {" or ".join(patterns)}, which '
      'batches.held_out names for validation'
    )
  num = config.validation.num_frames
  return [
    {
      'name': f'{clip_pairs.source(pair)}-{i}',
      'lr': image.to_float(pair['lr'][:num]),
      'hr': image.to_float(pair['hr'][:num]),
    }
    for i, pair in enumerate(found[: config.validation.num_clips])
  ]


def checker(
  config: Any,
  network: VideoNetwork,
  distance: Callable | None,
  clips: list[dict[str, Any]],
  folder: Path,
) -> Callable[[int, Params], dict[str, float]]:
  """Makes (step, params) -> scores of held-out clips, every so many steps."""
  every, last = config.validation.every, config.train.num_steps
  if every % config.train.chunk:
    raise ValueError(
      f'validation.every is {every} steps, but a look is had each '
      f'{config.train.chunk}: make it a multiple of train.chunk'
    )
  enlarge, flow = enlarger(network), jax.jit(network.flow)

  def check(step, params):
    if step % every and step != last:
      return {}
    rows = []
    for clip in clips:
      lr, hr = jnp.asarray(clip['lr']), jnp.asarray(clip['hr'])
      fine = enlarge(params, lr)
      flows, backs = (
        flow(params, hr[:-1], hr[1:]),
        flow(params, hr[1:], hr[:-1]),
      )
      rows.append(video_scores.score(fine, hr, flows, backs, distance=distance))
      file = folder / 'samples' / f'{clip["name"]}_step{step:06d}.png'
      images.save(file, np.asarray(video_scores.grid(lr, fine, hr)))
    names = dict.fromkeys(name for row in rows for name in row)
    return {
      f'valid_{name}': float(np.mean([r[name] for r in rows if name in r]))
      for name in names
    }

  return check


def lift(
  config: Any, section: dict[str, Any], enlarge: Callable, scale: int
) -> dict[str, float]:
  """Held-out PSNR, dB, of a scene that was made finer end to end.

  A coarse fit is drawn along its training views, what is drawn is enlarged, and
  the scene fitted to that: by the network, and by bicubic beside it.
  """
  scene = resolve.build('scenes', section)
  low = coarse.shrink(scene.train, scale, config.softness)
  if not len(scene.points):
    points, colors = capture.find_points(low)
    scene = dataclasses.replace(scene, points=points, colors=colors)
  drawing = {'background': scene.background, **config.drawing}
  rep = resolve.build('representations', config.representation)
  keys = jax.random.split(jax.random.key(0), 3)
  start = fit(
    keys[0], rep, rep.init(keys[1], scene), low, **drawing, **config.first_fit
  )
  shown = Views(
    images=render_views(rep.gaussians(start), low.cameras, **drawing),
    cameras=low.cameras,
    weights=low.weights,
  )

  def finer_fit(key, rep, params, views, *, anchor, stage):
    del anchor, stage
    return fit(key, rep, params, views, **drawing, **config.fit)

  def psnr(params):
    _, scores = evaluate.evaluate(
      rep.gaussians(params), scene.test.cameras, scene.test_names,
      truth=scene.test, measures=('psnr',), **drawing,
    )  # fmt: skip
    return metrics.means(scores)['psnr']

  levels = {'start': psnr(start)}
  for name, upsample in (
    ('bicubic', lambda clip: video_scores.bicubic(clip, scale)),
    ('network', lambda clip: jnp.clip(enlarge(clip), 0, 1)),
  ):
    prior = one_shot(
      lambda key: {}, lambda _, clip, up=upsample: up(clip), float(scale)
    )
    params = consolidate.consolidate(
      keys[2], prior, {}, rep, start, shown, fit=finer_fit
    )
    levels[name] = psnr(params)
  return levels


def card(
  config: Any,
  folder: Path,
  roots: tuple[str, ...],
  clips: list[dict[str, Any]],
  lifted: dict[str, Any],
) -> dict[str, Any]:
  """What the weights are of: data, mix, steps, start, scores and code."""
  files, start = clip_pairs.files(roots), start_file(config)
  mix = collections.Counter(map(clip_pairs.source, clip_pairs.read(roots)))
  curves = progress.load_curves(folder)
  valid = {name: x[-1] for name, x in curves.items() if name[:6] == 'valid_'}
  psnrs = [
    np.mean(-10 * np.log10(np.mean((plain - clip['hr']) ** 2, axis=(1, 2, 3))))
    for clip in clips
    for plain in [video_scores.bicubic(clip['lr'], config.batches.scale)]
  ]
  return {
    'weights': bundles.origins([folder / 'weights.npz']),
    'start': bundles.origins([start]) if start else 'scratch',
    'data': bundles.origins(files),
    'sources': dict(sorted(mix.items())),
    'source_weights': config.batches.to_dict().get('sources'),
    'held_out': config.batches.held_out,
    'num_steps': config.train.num_steps,
    'scores': valid | {'valid_bicubic_psnr': float(np.mean(psnrs))},
    'lifted': lifted,
    'commit': workdirs.commit(),
  }


def run(config: Any, folder: Path) -> Path:
  """Trains, or goes on training; returns the file of averaged weights."""
  network = basicvsr.make(**config.network.to_dict())
  start = start_file(config)
  if start is not None:
    bundles.restore(start, network.init)  # at once: it may not fit
    fresh = network.init
    network = network._replace(init=lambda key: bundles.restore(start, fresh))
  distance = perceptual_distance(config)
  learnt, optimizer, averaged = learner(config, network, distance)
  section = config.batches.to_dict()
  if not config.get('pairs'):  # else clips are made after the folder is claimed
    batches = resolve.build('batches', section)
  workdirs.claim_workdir(folder, config.to_dict())
  if config.get('pairs'):
    made = folder / 'pairs'
    workdirs.claim_workdir(made, config.pairs.to_dict())
    vsr_pairs.make_all(
      made, build=resolve.build, fit=fit, **config.pairs.to_dict()
    )
    section['roots'] = *section['roots'], str(made.absolute())
    batches = resolve.build('batches', section)
  check, clips = None, []
  if config.get('validation') and config.validation.every:
    clips = held_out(config, section['roots'])
    check = checker(config, network, distance, clips, folder)
  params = train.run(
    folder, learnt, batches, optimizer, seed=config.seed,
    batch_size=config.batches.batch_size, averaged=averaged, check=check,
    **config.train,
  )  # fmt: skip
  progress.save_csv(folder)
  if clips:
    scenes = config.lifted.scenes.items() if config.get('lifted') else ()
    enlarge = functools.partial(enlarger(network), params)
    lifted = {
      name: lift(config.lifted, scene.to_dict(), enlarge, network.scale)
      for name, scene in scenes
    }
    found = card(config, folder, section['roots'], clips, lifted)
    workdirs.write_json(folder / 'vsr_card.json', found)
  return folder / 'weights.npz'


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  print('weights:', run(_CONFIG.value, folder))


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/finetune_vsr')
