"""A scene fitted over an image pyramid, each level from the one before.

Levels are area-averaged by powers of two, the coarsest first. Nothing is begun
anew, so that every Gaussian descends from one of the level before; two
snapshots a level tell its history, before the density changed and at the end.
On the photos of a coarse scene alone, `remembered` gives its own history.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from sr3d_jax import capture, density, filters, image, lineage
from sr3d_jax.io import records
from sr3d_jax.types import Array, Camera, Representation, Scene, Views

MAX_GROWTH = 4  # Gaussians of a level over those of the one before


def traced(rep: Representation) -> Representation:
  """The same representation, whose optimiser's state tells origins."""

  def optimizer(extent: float, num_steps: int):
    inner = rep.optimizer(extent, num_steps)

    def init(params):
      num = jax.eval_shape(rep.gaussians, params).means.shape[0]
      return density.with_origins(inner, num).init(params)

    # How many there are, the update does not ask.
    return density.with_origins(inner, 0)._replace(init=init)

  return rep._replace(optimizer=optimizer)


def shrink(views: Views, factor: int) -> Views:
  """Averages squares of factor x factor pixels, of photos and of trust.

  Rows and columns that are left over are cut, below and at the right.
  """
  if factor == 1:
    return views
  height, width = (size // factor for size in views.images.shape[1:3])
  if not height or not width:
    raise ValueError(
      f'views of {views.cameras.width} x {views.cameras.height} px cannot be '
      f'averaged by {factor}: ask for fewer levels'
    )
  whole = slice(height * factor), slice(width * factor)
  resize = functools.partial(
    image.resize, height=height, width=width, method='area'
  )
  weights = views.weights
  if weights is not None:
    weights = jnp.asarray(weights)[:, *whole, None]
    weights = resize(weights)[..., 0]
  images = jnp.asarray(views.images)[:, *whole]
  cameras = dataclasses.replace(
    views.cameras, width=width * factor, height=height * factor
  )
  return Views(
    images=jnp.clip(jax.lax.map(resize, images), 0, 1),
    cameras=cameras.at_size(width, height),
    weights=weights,
  )


def capacities(most: int, num_levels: int) -> list[int]:
  """Slots of each level: `most` at the finest, a quarter at each before."""
  steps = range(num_levels - 1, -1, -1)
  return [max(most // MAX_GROWTH**step, 1) for step in steps]


def fit_levels(
  key: Array,
  make_rep: Callable[[int], Representation],
  scene: Scene,
  fit: Callable,
  *,
  num_levels: int,
  capacity: int,
  num_steps: int,
  num_first: int,
  num_before: int,
  log: Callable[[int, dict[str, float]], None] | None = None,
  **options: Any,
) -> list[lineage.Snapshot]:
  """Fits all levels, and keeps what lived before and after each grew.

  Args:
    key: randomness.
    make_rep: capacity -> representation.
    scene: its training views are the finest level.
    fit: see `fit.fit_state`.
    num_levels: L + 1, of scales 2^-L to 1.
    capacity: slots at the finest level, see `capacities`.
    num_steps: of each level after the first.
    num_first: of the first level.
    num_before: of each level, before its density may change.
    log: called with a level and the last scalars of its fit.
    **options: of `fit`: those of the drawing, too.

  Returns:
    2 (L + 1) snapshots, the oldest first.
  """
  if not 0 < num_before < min(num_steps, num_first):
    raise ValueError(
      f'num_before must lie between 0 and the steps of a level, '
      f'{min(num_steps, num_first)}, got {num_before}'
    )
  history, before, params, slots = [], None, None, 0
  for level, room in enumerate(capacities(capacity, num_levels)):
    factor = 2 ** (num_levels - 1 - level)
    views = shrink(scene.train, factor)
    rep = traced(make_rep(room))
    start_key, fit_key = jax.random.split(jax.random.fold_in(key, level))
    if level:
      params = density.grow(params, slots, room)
    else:
      params = rep.init(start_key, scene)
    slots, total = room, num_steps if level else num_first
    heard = {}
    run = functools.partial(
      fit,
      fit_key,
      rep,
      views=views,
      total=total,
      log=lambda step, scalars, heard=heard: heard.update(scalars),
    )
    # Both parts are one fit, of which the first half may not refine.
    state = run(
      params=params,
      num_steps=num_before,
      **{**options, 'refine_start': total + 1},
    )
    for phase in (0, 1):
      if phase:
        state = run(
          params=state.params,
          num_steps=total - num_before,
          first=num_before,
          opt_state=density.restart_origins(state.opt_state),
          **options,
        )
      drawn = rep.gaussians(state.params)
      live = density.is_live(drawn)
      snapshot = _snapshot(drawn, state.opt_state, live, before, factor, phase)
      history.append(snapshot)
      before = live
    params = state.params
    if log is not None:
      log(level, heard)
  return history


def _snapshot(drawn, opt_state, live, before, factor, phase):
  origins = density.origins(opt_state)
  kept, ancestors = lineage.compact(drawn, origins, live, before)
  return lineage.Snapshot(
    gaussians=kept,
    ancestors=ancestors,
    scale=np.float32(1 / factor),
    phase=np.int32(phase),
    mass=np.asarray(lineage.footprint(kept)),
  )


def pixel_sizes(means: Array, cameras: Camera) -> Array:
  """[N] scene units that a pixel of the nearest camera covers there."""
  deviation = filters.smoothing_scales(jnp.asarray(means), cameras)
  return deviation / np.sqrt(filters.FILTER_VARIANCE)


def record(
  history: list[lineage.Snapshot],
  views: Views,
  features: Callable[[lineage.Snapshot, Views], Any] | None = None,
) -> dict[str, np.ndarray]:
  """A scene's history as arrays, with the views that it was fitted to.

  Args:
    history: of `fit_levels`.
    views: the finest.
    features: (snapshot, views of its level) -> [N, 14] for `lineage_tokens`;
      None: tokens go without.

  Returns:
    '0/means' and so on of `lineage.to_arrays`; for each snapshot 'pixel_size',
    of the finest photos, and perhaps 'hessian'; 'images' [V, H, W, 3] uint8,
    'world_to_cam', 'focal', 'center'.
  """
  arrays = lineage.to_arrays(history)
  for i, snapshot in enumerate(history):
    size = pixel_sizes(snapshot.gaussians.means, views.cameras)
    arrays[f'{i}/pixel_size'] = np.asarray(size, np.float32)
    if features is not None:
      level = shrink(views, round(1 / float(snapshot.scale)))
      found = np.asarray(features(snapshot, level), np.float32)
      arrays[f'{i}/hessian'] = found
  arrays['images'] = np.asarray(image.to_uint8(views.images))
  for name in ('world_to_cam', 'focal', 'center'):
    arrays[name] = np.asarray(getattr(views.cameras, name), np.float32)
  return arrays


def remembered(
  file: Path,
  key: Array,
  build: Callable,
  representation: Mapping[str, Any],
  scene: Scene,
  fit: Callable,
  *,
  levels: Mapping[str, Any],
  fitting: Mapping[str, Any],
) -> list[lineage.Snapshot]:
  """A coarse scene's own history, of its photos and coarser ones alone.

  Args:
    file: of `io.records`, where it is kept; read, where it is there.
    key: randomness.
    build: section -> representation.
    representation: section, whose capacity is that of the finest level.
    scene: its training views are the finest level.
    fit: see `fit.fit_state`.
    levels: of `fit_levels`: 'num_levels' and all steps.
    fitting: of `fit`, with those of the drawing; its steps are left alone.

  Returns:
    See `fit_levels`; the last snapshot is the scene.
  """
  if not file.exists():
    options = {k: v for k, v in fitting.items() if k != 'num_steps'}
    history = fit_levels(
      key,
      lambda capacity: build({**representation, 'capacity': capacity}),
      scene, fit, capacity=representation['capacity'], **levels, **options,
    )  # fmt: skip
    records.save(file, [{**lineage.to_arrays(history), 'meta': {}}])
  (arrays,) = records.load([file])
  return lineage.from_arrays(arrays)


def make_all(
  folder: Path,
  *,
  seed: int,
  num_each: int,
  sources: Mapping[str, Mapping[str, Any]],
  build: Callable,
  fit: Callable,
  representation: Mapping[str, Any],
  drawing: Mapping[str, Any],
  levels: Mapping[str, Any],
  fitting: Mapping[str, Any],
  features: Callable | None = None,
) -> list[Path]:
  """Makes the histories of some captures that are not in a folder yet.

  Args:
    folder: takes a file of `io.records` a history.
    seed: of all choices.
    num_each: histories of each capture, of different seeds: what becomes of a
      Gaussian is partly chance.
    sources: {name: section} of scenes.
    build: (kind, section) -> plug-in, see `resolve`.
    fit: see `fit.fit_state`.
    representation: section, whose capacity is that of the finest level.
    drawing: of `render_views`.
    levels: 'num_levels', 'num_steps', 'num_first', 'num_before' of
      `fit_levels`.
    fitting: of `fit`, but for its steps.
    features: as of `record`, but is told the drawing and the background, too.

  Returns:
    The files of all histories.
  """

  def make_rep(capacity):
    return build('representations', {**representation, 'capacity': capacity})

  @functools.lru_cache(maxsize=1)  # its histories follow each other
  def scene_of(name):
    scene = build('scenes', sources[name])
    if len(scene.points):
      return scene
    points, colors = capture.find_points(scene.train)
    return dataclasses.replace(scene, points=points, colors=colors)

  jobs = [(name, i) for name in sorted(sources) for i in range(num_each)]
  bar, made = tqdm.tqdm(jobs, unit='scene'), []
  for number, (name, i) in enumerate(bar):
    file = folder / f'{name}-{i:02d}.array_record'
    bar.set_postfix_str(file.stem)
    made.append(file)
    if file.exists():
      continue
    scene, quality = scene_of(name), {}

    def hear(level, scalars, quality=quality):
      quality[level] = round(scalars.get('psnr', float('nan')), 2)

    key = jax.random.fold_in(jax.random.key(seed), number)
    options = {'background': scene.background, **drawing, **fitting}
    history = fit_levels(
      key, make_rep, scene, fit, capacity=representation['capacity'],
      log=hear, **levels, **options,
    )  # fmt: skip
    meta = {
      'source': name,
      'seed': seed,
      'psnr': [quality[level] for level in sorted(quality)],
      'background': list(scene.background),
      **drawing,
    }
    look = features and functools.partial(
      features, **{'background': scene.background, **drawing}
    )
    arrays = record(history, scene.train, look)
    records.save(file, [{**arrays, 'meta': meta}])
  return made
