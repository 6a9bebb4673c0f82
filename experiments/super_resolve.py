"""The main job: coarse photos in, a sharp 3D-consistent Gaussian scene out.

    python -m experiments.super_resolve --config=configs/quickstart.py \
        --workdir=runs/quickstart

One row a method: the fit to the coarse views; for each prior the fit to its
finer views; and, where finer photos exist, the fit to those, a bound. Rows are
resumed one by one when the same command runs again.
"""

import dataclasses
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from ml_collections import config_flags

from sr3d_jax import (
  capture,
  cli,
  clip_scores,
  coarse,
  consolidate,
  coverage,
  evaluate,
  grow,
  hosts,
  inputs,
  methods,
  resolve,
  sh,
  split_evidence,
  timing,
  walks,
)
from sr3d_jax.fit import fit_state
from sr3d_jax.io import paths, splat_files, video
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.methods import ANCHORED
from sr3d_jax.projection import ALPHA_MIN
from sr3d_jax.render import render_views
from sr3d_jax.table import Table
from sr3d_jax.types import Gaussians, Scene, SRPrior, Views

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results go.')


def full_scene(config: Any) -> Scene:
  """The scene at the size of its photos.

  Where those are the truth, they give no points: features of the fine photos
  would leak, so `run` looks for points in the coarse ones.
  """
  section = config.scene.to_dict()
  if section.get('name') == 'any':
    section = inputs.scene_section(section)
  make = resolve.module('scenes', section.get('name')).make
  if config.shrink > 1 and 'triangulate' in inspect.signature(make).parameters:
    section['triangulate'] = False
  return resolve.build('scenes', section)


def low_resolution(config: Any, full: Scene) -> Scene:
  """The coarse views as a scene: `lr_scene`, or the photos shrunk."""
  if 'lr_scene' not in config:
    options = config.shrink, config.softness
    return dataclasses.replace(
      full,
      train=coarse.shrink(full.train, *options),
      test=coarse.shrink(full.test, *options),
    )
  low = resolve.build('scenes', config.lr_scene)
  coarse.check_pair(full, low, config.shrink, is_train_fine=config.bound)
  return low


def check_softness(config: Any, rows: dict[str, methods.Method]) -> None:
  """Raises where soft photos would be compared with what is only shrunk."""
  if not config.softness:
    return
  wrong = [row for row, made in rows.items() if made.anchor_weight]
  wrong += [name for name in ('lr_psnr',) if name in config.measures]
  wrong += [name for name in ('lr_scene',) if name in config]
  if wrong:
    raise ValueError(
      f'softness is {config.softness} px, but {", ".join(wrong)} would compare '
      'photos that are soft with pictures that are only shrunk: leave anchors, '
      'lr_psnr and lr_scene out, or the softness at 0'
    )


def build_part(kind: str, section: Any, where: str) -> Any:
  """Builds a plug-in; a prior's error says how to choose one with its keys."""
  try:
    return resolve.build(kind, section)
  except ValueError as error:
    if kind != 'priors':
      raise
    raise ValueError(
      f'{error}. To switch to a prior with its own section write '
      f'--config={where}:NAME, with NAME a file of configs/priors/'
    ) from error


def main_prior(config: Any) -> str:
  """What rows call the config's own prior."""
  return config.prior.get('network', config.prior.name)


def main_row(config: Any) -> str:
  """Names the row that is exported: `main`, or that of the config's prior."""
  return config.get('main') or (
    main_prior(config) + (ANCHORED if config.anchor else '')
  )


def prior_section(config: Any, word: str) -> Any:
  """The config's own section if `word` names it, or configs/priors/<word>.

  All rows have one size, so a baseline takes the main prior's scale.
  """
  if word == main_prior(config):
    return config.prior
  folder = importlib.import_module('configs.priors').__path__
  known = sorted(module.name for module in pkgutil.iter_modules(folder))
  if word not in known:
    raise ValueError(
      f'baselines name an unknown prior: {word!r}; there are '
      f'{", ".join(known)}, each with or without {ANCHORED!r}'
    )
  section = importlib.import_module(f'configs.priors.{word}').get_config()
  if 'scale' in section and 'scale' in config.prior:
    section.scale = config.prior.scale
  return section


def builder(config: Any) -> Callable:
  """Builds plug-ins; equal ones are one, so that their work compiles once."""
  built = {}

  def build(kind: str, section: dict[str, Any]) -> Any:
    key = kind, repr(sorted(section.items()))
    if key not in built:
      built[key] = build_part(kind, section, config.source)
    return built[key]

  return build


def method(config: Any, row: str, build: Callable) -> methods.Method:
  """How a row is made: of `config.rows`, or of the word that it is."""
  section = config.get('rows', {}).get(row)
  if section is None:
    word = row.removesuffix(ANCHORED)
    weight = config.anchor_weight if row != word else 0.0
    section = {'prior': word, 'anchor_weight': weight}
  return methods.make(
    row,
    dict(section),
    prior=lambda word: prior_section(config, word).to_dict(),
    build=build,
    representation=config.representation.to_dict(),
    fit=config.fit.to_dict(),
  )


def all_methods(config: Any) -> dict[str, methods.Method]:
  """{row: method} of the baselines, the rows and the main prior.

  A baseline may be the main prior without the anchor, or with it.
  """
  rows = (*config.baselines, *config.get('rows', {}), main_row(config))
  build = builder(config)
  chosen = {row: method(config, row, build) for row in rows}
  for row, found in chosen.items():
    if config.shrink > 1 and found.prior.scale != config.shrink:
      raise ValueError(
        f'shrink is {config.shrink:g} but prior.scale is '
        f'{found.prior.scale:g} in row {row!r}, so that the finer views would '
        'not have the size of the truth: set both alike'
      )
  return chosen


def along_paths(
  made: methods.Method,
  gaussians: Gaussians,
  scene: Scene,
  photos: Views,
  drawing: dict[str, Any],
) -> tuple[SRPrior, Views, dict[str, float]]:
  """A row's prior along its paths, the views that it makes finer, and facts.

  These are `coverage`: which share of what the test views show, as the coarse
  scene has it, the paths see three times or more; and `footprint`: what a
  coarse pixel covers of it at best, in scene units, the median.
  """
  plan = walks.plan(made.paths, photos.cameras, np.asarray(scene.points))
  clips = [
    walks.film(
      walk, gaussians, photos, background=scene.background,
      draw=functools.partial(render_views, **drawing),
    )
    for walk in plan
  ]  # fmt: skip
  views = walks.kept(plan, clips)
  facts = coverage.report(gaussians, views.cameras, scene.test.cameras, drawing)
  told = ', '.join(f'{w.name} {len(c.images)}' for w, c in zip(plan, clips))
  print(f'views along paths: {told}; they cover {facts["coverage"]:.1%}')
  return walks.along(made.prior, plan, clips), views, facts


def compare_clips(
  folder: Path,
  rate: float,
  key: Any,
  prior: SRPrior,
  prior_params: Any,
  scenes: tuple[Gaussians, Gaussians],
  scene: Scene,
  drawing: dict[str, Any],
) -> None:
  """Writes what became of a row's films: clips.json, and them side by side.

  `captured` goes along the training views, `novel` along the held-out ones;
  `scenes` are the coarse one and the lifted one, `rate` frames a second.
  """
  start, lifted = scenes
  scores = {}
  for name, truth in (('captured', scene.train), ('novel', scene.test)):
    if len(truth.images) < 2:
      continue
    films = clip_scores.stages(
      key, prior, prior_params, start, lifted, truth, drawing
    )
    align = clip_scores.depth_alignment(start, truth, drawing)
    scores[name] = clip_scores.measure(films, align)
    shown = np.concatenate([films[x] for x in clip_scores.STAGES], axis=-2)
    folder.mkdir(parents=True, exist_ok=True)
    video.save(folder / f'{name}.mp4', shown, rate)
  workdirs.write_json(folder / 'clips.json', scores)


def with_points(scene: Scene, gaussians: Gaussians) -> Scene:
  """The scene whose points are those of Gaussians that can be seen."""
  seen = np.asarray(gaussians.opacities) >= ALPHA_MIN
  colors = 0.5 + sh.C0 * np.asarray(gaussians.sh)[seen, 0]
  return dataclasses.replace(
    scene,
    points=np.asarray(gaussians.means)[seen],
    colors=np.clip(colors, 0, 1),
  )


def run(config: Any, folder: Any) -> list[dict]:
  """Makes every row of the table that is not there yet; returns them all."""
  key = jax.random.key(config.seed)
  init_key, first_key, fit_key, prior_key = jax.random.split(key, 4)
  rows = all_methods(config)
  check_softness(config, rows)
  rows[main_row(config)].prior.init(prior_key)  # else it fails hours from now
  full = full_scene(config)
  low = low_resolution(config, full)
  lr_train, lr_test = low.train, low.test
  # What the fine views know of the shape stays out.
  points, colors = low.points, low.colors
  if not len(points):
    points, colors = capture.find_points(lr_train)
  full = dataclasses.replace(full, points=points, colors=colors)
  rep = resolve.build('representations', config.representation)
  measure = evaluate.prepare(config.measures, full)
  workdirs.claim_workdir(folder, config.to_dict())
  drawing = {'background': full.background, **config.drawing}
  table = Table(
    folder,
    full,
    truth=full.test if config.shrink > 1 else None,
    coarse=lr_test,
    measure=measure,
    drawing=drawing,
    config=config.source,
  )

  def finer_fit(row: str, steps, options, one_fit=False, **anchored):
    moments = None  # of the optimizer, from stage to stage

    def fit_stage(key, rep, params, views, *, anchor=None, stage=0):
      nonlocal moments
      place = sum(count > 0 for count in steps[:stage])
      with table.recorder(row, steps[stage], place) as (store, log):
        state = fit_state(
          key, rep, params, views, anchor=anchor, num_steps=steps[stage],
          opt_state=moments, **methods.span(steps, stage, one_fit),
          store=store, log=log, **drawing, **options[stage], **anchored,
        )  # fmt: skip
      moments = state.opt_state
      return state.params

    return fit_stage

  if config.get('given'):
    start = rep.adopt(
      splat_files.load(paths.data_path(config.scene.root)), lr_train.cameras
    )
    table.add('lr_fit', rep.gaussians(start), note='as given')
  else:
    with table.recorder('lr_fit', config.first_fit.num_steps) as (store, log):
      start = fit_state(
        first_key, rep, rep.init(init_key, full), lr_train,
        store=store, log=log, **drawing, **config.first_fit,
      ).params  # fmt: skip
    table.add('lr_fit', rep.gaussians(start), note='coarse views only')

  for row, made in rows.items():
    if table.has(row):
      continue
    try:
      prior_params = made.prior.init(prior_key)
    except FileNotFoundError as error:
      table.skip(row, str(error))
      continue
    shown, views, facts = made.prior, lr_train, {}
    if made.paths:
      shown, views, facts = along_paths(
        made, rep.gaussians(start), full, lr_train, drawing
      )
    params = start
    if made.start == 'points':
      params = made.representation.init(
        init_key, with_points(full, rep.gaussians(start))
      )
    if made.grow is not None:
      fine = lr_train.cameras.at_scale(made.prior.scale)
      scenes = rep.gaussians(start), rep.gaussians(rep.refresh(start, fine))
      try:
        params, told = methods.grown(
          made, fit_key, scenes, lr_train, load=grow.load,
          grow=functools.partial(grow.grow, measure=split_evidence.curvature),
          gather=split_evidence.gather, **drawing,
        )  # fmt: skip
      except FileNotFoundError as error:
        table.skip(row, str(error))
        continue
      facts |= told
    prior, seconds = timing.timed(shown)
    if prior.couple is not None:
      prior = prior._replace(
        couple=functools.partial(prior.couple, **config.drawing)
      )
    if any(made.steps):
      params = consolidate.consolidate(
        fit_key, prior, prior_params, made.representation, params, views,
        fit=finer_fit(
          row, made.steps, made.fit, made.one_fit,
          anchor_weight=made.anchor_weight,
        ),
        draw=functools.partial(render_views, **drawing),
        is_fitted=[steps > 0 for steps in made.steps],
        trust=made.trust and functools.partial(made.trust, drawing=drawing),
      )  # fmt: skip
    gaussians = made.representation.gaussians(params)
    if config.get('clips') and hosts.is_first():
      # Before the row counts as finished: a run that is killed goes on here.
      compare_clips(
        folder / 'rows' / row, config.clips, prior_key, made.prior,
        prior_params, (rep.gaussians(start), gaussians), full, drawing,
      )  # fmt: skip
    table.add(
      row, gaussians, scale=prior.scale, prior_seconds=round(sum(seconds), 1),
      **facts,
    )  # fmt: skip

  if config.bound and config.shrink > 1 and not table.has('hr_fit'):
    options = config.fit.to_dict()
    steps = (options.pop('num_steps'),)
    fit_views = finer_fit('hr_fit', steps, (options,))
    params = fit_views(fit_key, rep, start, full.train)
    table.add('hr_fit', rep.gaussians(params), note='bound: saw fine photos')
  return table.finish(main_row(config))


def main(argv: list[str]) -> None:
  """Runs the job that the flags describe."""
  del argv
  folder = workdirs.open_workdir(_WORKDIR.value, _CONFIG.value.to_dict())
  run(_CONFIG.value, folder)


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  cli.run(main, configs='configs/scenes', many_hosts=True)
