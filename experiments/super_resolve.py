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
from typing import Any, NamedTuple

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
  pyramid,
  resolve,
  sh,
  split_evidence,
  timing,
  walks,
)
from sr3d_jax.fit import fit_state
from sr3d_jax.io import paths, splat_files
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.methods import ANCHORED
from sr3d_jax.projection import ALPHA_MIN
from sr3d_jax.render import render_views
from sr3d_jax.table import Table
from sr3d_jax.types import Array, Gaussians, Representation, Scene

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


def with_points(scene: Scene, gaussians: Gaussians) -> Scene:
  """The scene whose points are those of Gaussians that can be seen."""
  seen = np.asarray(gaussians.opacities) >= ALPHA_MIN
  colors = 0.5 + sh.C0 * np.asarray(gaussians.sh)[seen, 0]
  return dataclasses.replace(
    scene,
    points=np.asarray(gaussians.means)[seen],
    colors=np.clip(colors, 0, 1),
  )


class Job(NamedTuple):
  """What all rows of a run share."""

  config: Any
  folder: Path
  full: Scene
  low: Scene
  rep: Representation
  table: Table
  drawing: dict[str, Any]
  init_key: Array
  fit_key: Array
  prior_key: Array


def coarse_scene(job: Job, key: Array) -> methods.Start:
  """What rows begin with: splats that were given, or a fit to coarse photos."""
  config, rep, views = job.config, job.rep, job.low.train
  if config.get('given'):
    given = splat_files.load(paths.data_path(config.scene.root))
    return methods.Start(rep.adopt(given, views.cameras), note='as given')
  if 'levels' in config:
    file = job.folder / 'history.array_record'
    history = pyramid.remembered(
      file, key, functools.partial(resolve.build, 'representations'),
      config.representation.to_dict(),
      dataclasses.replace(job.full, train=views), fit_state,
      levels=config.levels.to_dict(),
      fitting=config.first_fit.to_dict() | job.drawing,
    )  # fmt: skip
    params = rep.adopt(history[-1].gaussians, views.cameras)
    note = 'coarse views only, coarser ones first'
    return methods.Start(params, tuple(history), note)
  with job.table.recorder('lr_fit', config.first_fit.num_steps) as (store, log):
    params = fit_state(
      key, rep, rep.init(job.init_key, job.full), views,
      store=store, log=log, **job.drawing, **config.first_fit,
    ).params  # fmt: skip
  return methods.Start(params, note='coarse views only')


def finer_fit(job: Job, row: str, steps, options, one_fit=False, **anchored):
  """Makes `consolidate`'s fit of a row, resumed from its last checkpoint."""
  moments = None  # of the optimizer, from stage to stage

  def fit_stage(key, rep, params, views, *, anchor=None, stage=0):
    nonlocal moments
    place = sum(count > 0 for count in steps[:stage])
    with job.table.recorder(row, steps[stage], place) as (store, log):
      state = fit_state(
        key, rep, params, views, anchor=anchor, num_steps=steps[stage],
        opt_state=moments, **methods.span(steps, stage, one_fit),
        store=store, log=log, **job.drawing, **options[stage], **anchored,
      )  # fmt: skip
    moments = state.opt_state
    return state.params

  return fit_stage


def grown(
  job: Job, made: methods.Method, start: methods.Start
) -> tuple[Any, dict[str, float]]:
  """Params of a scene that got more Gaussians, and the seconds it took."""
  views, rep = job.low.train, job.rep
  fine = rep.refresh(start.params, views.cameras.at_scale(made.prior.scale))
  scenes = rep.gaussians(start.params), rep.gaussians(fine)
  return methods.grown(
    made, job.fit_key, scenes, views, history=start.history, load=grow.load,
    grow=functools.partial(grow.grow, measure=split_evidence.curvature),
    gather=split_evidence.gather, **job.drawing,
  )  # fmt: skip


def add_row(
  job: Job, row: str, made: methods.Method, start: methods.Start
) -> None:
  """Makes a row; one whose weights are not there is told and left out."""
  drawing, params, facts = job.drawing, start.params, {}
  shown, views, coarse = made.prior, job.low.train, job.rep.gaussians(params)
  draw = functools.partial(render_views, **drawing)
  try:
    prior_params = made.prior.init(job.prior_key)
    if made.paths:
      points, background = np.asarray(job.full.points), job.full.background
      shown, views, told = walks.show(
        made.prior, made.paths, coarse, views, points, draw, background
      )
      facts = coverage.report(
        coarse, views.cameras, job.full.test.cameras, drawing
      )
      print(f'{told}; they cover {facts["coverage"]:.1%}')
    if made.start == 'points':
      scene = with_points(job.full, coarse)
      params = made.representation.init(job.init_key, scene)
    if made.grow is not None:
      params, spent = grown(job, made, start)
      facts |= spent
  except FileNotFoundError as error:
    job.table.skip(row, str(error))
    return
  prior, seconds = timing.timed(shown)
  if prior.couple is not None:
    prior = prior._replace(
      couple=functools.partial(prior.couple, **job.config.drawing)
    )
  if any(made.steps):
    params = consolidate.consolidate(
      job.fit_key, prior, prior_params, made.representation, params, views,
      fit=finer_fit(
        job, row, made.steps, made.fit, made.one_fit,
        anchor_weight=made.anchor_weight,
      ),
      draw=draw, is_fitted=[steps > 0 for steps in made.steps],
      trust=made.trust and functools.partial(made.trust, drawing=drawing),
    )  # fmt: skip
  gaussians = made.representation.gaussians(params)
  if job.config.get('clips') and hosts.is_first():
    # Before the row counts as finished: a run that is killed goes on here.
    clip_scores.compare(
      job.folder / 'rows' / row, job.config.clips, job.prior_key, made.prior,
      prior_params, (coarse, gaussians), job.full, drawing,
    )  # fmt: skip
  job.table.add(
    row, gaussians, scale=prior.scale, prior_seconds=round(sum(seconds), 1),
    **facts,
  )  # fmt: skip


def run(config: Any, folder: Any) -> list[dict]:
  """Makes every row of the table that is not there yet; returns them all."""
  key = jax.random.key(config.seed)
  init_key, first_key, fit_key, prior_key = jax.random.split(key, 4)
  rows = all_methods(config)
  check_softness(config, rows)
  rows[main_row(config)].prior.init(prior_key)  # else it fails hours from now
  full = full_scene(config)
  low = low_resolution(config, full)
  # What the fine views know of the shape stays out.
  points, colors = low.points, low.colors
  if not len(points):
    points, colors = capture.find_points(low.train)
  full = dataclasses.replace(full, points=points, colors=colors)
  rep = resolve.build('representations', config.representation)
  measure = evaluate.prepare(config.measures, full)
  workdirs.claim_workdir(folder, config.to_dict())
  drawing = {'background': full.background, **config.drawing}
  table = Table(
    folder,
    full,
    truth=full.test if config.shrink > 1 else None,
    coarse=low.test,
    measure=measure,
    drawing=drawing,
    config=config.source,
  )
  job = Job(
    config, folder, full, low, rep, table, drawing, init_key, fit_key, prior_key
  )
  start = coarse_scene(job, first_key)
  table.add('lr_fit', rep.gaussians(start.params), note=start.note)
  for row, made in rows.items():
    if not table.has(row):
      add_row(job, row, made, start)
  if config.bound and config.shrink > 1 and not table.has('hr_fit'):
    options = config.fit.to_dict()
    steps = (options.pop('num_steps'),)
    fit_views = finer_fit(job, 'hr_fit', steps, (options,))
    params = fit_views(fit_key, rep, start.params, full.train)
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
