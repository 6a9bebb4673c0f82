"""Pairs to learn video super-resolution of 3D from: how coarse scenes look.

What a scene fitted to coarse photos shows along its path is the coarse clip,
and the fine photos are the fine one (SuperGaussian, Shen et al. 2024: 64 x 64
renders beside 256 x 256 photos). A network that learns from them sees the
stripes and blobs of splats, which no shrunk photo has.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm

from sr3d_jax import (
  capture,
  coarse,
  files,
  geometry,
  image,
  metrics,
  ordering,
)
from sr3d_jax.io import records
from sr3d_jax.render import render_views
from sr3d_jax.types import Array, Scene, Views

LEAPS = 1.5  # times the greedy chain, that a film is not long
BLUR = 4.0  # coarse px; an exposure is seen through it, a lack of detail is not


def along_path(scene: Scene) -> Scene:
  """All views of a capture as training views, neighbours beside each other.

  That is the order of their names, as of a film, unless a greedy chain of
  nearest views from the first on is much shorter: photos may leap.
  """
  names = (*scene.train_names, *scene.test_names)
  parts = scene.train, scene.test
  order = _order(names, np.concatenate([p.cameras.world_to_cam for p in parts]))

  def join(*leaves: Array) -> np.ndarray:
    return np.concatenate([np.asarray(x) for x in leaves])[order]

  cameras = dataclasses.replace(
    scene.train.cameras,
    **{
      name: join(*(getattr(part.cameras, name) for part in parts))
      for name in ('world_to_cam', 'focal', 'center')
    },
  )
  if any(part.cameras.lens is not None for part in parts):
    raise ValueError(
      f'{scene.name} has cameras with a lens: undistort its pictures first'
    )
  weights = None
  if scene.train.weights is not None:
    weights = join(*(part.weights for part in parts))
  images = join(*(part.images for part in parts))
  views = Views(images=images, cameras=cameras, weights=weights)
  return dataclasses.replace(
    scene,
    train=views,
    train_names=tuple(names[i] for i in order),
    test=capture.pick(views, np.zeros(0, int)),
    test_names=(),
  )


def _order(names: tuple[str, ...], poses: np.ndarray) -> np.ndarray:
  """[V] indices: by name, or by pose where that is a film and names are not."""
  by_name = np.argsort(np.array(names))
  eyes = np.asarray(geometry.invert_pose(poses))[by_name, :3, 3]
  turns = ordering.by_pose(eyes, np.asarray(geometry.scene_center(poses)))
  chain = ordering.greedy(turns)
  film = np.trace(turns, offset=1)
  return by_name[chain] if film > LEAPS * _length(turns, chain) else by_name


def _length(turns: np.ndarray, chain: np.ndarray) -> float:
  return float(turns[chain[:-1], chain[1:]].sum())


def make(
  scene: Scene,
  scale: float,
  draw: Callable[[Views], Array],
  *,
  softness: float = 0.0,
  min_psnr: float = 24.0,
) -> tuple[dict[str, Any] | None, float]:
  """Makes a pair of clips of a capture whose views are in path order.

  Args:
    scene: its training views are the fine clip.
    scale: by which the coarse one is smaller.
    draw: fits a scene to coarse views and draws them: [T, h, w, 3].
    softness: of the coarse photos, see `coarse.shrink`.
    min_psnr: dB, that renders must reach beside the shrunk photos; a scene that
      was not understood teaches nothing.

  Returns:
    The arrays of `io.records`, or None where the renders are worse; and their
    mean PSNR, dB.
  """
  size = scene.train.cameras.width, scene.train.cameras.height
  if any(side % scale for side in size):
    raise ValueError(
      f'{scene.name} has views of {size[0]} x {size[1]} px, which scale '
      f'{scale:g} does not divide: give the scene another size'
    )
  photos = coarse.shrink(scene.train, scale, softness)
  renders = jnp.clip(draw(photos), 0, 1)
  level = float(
    np.mean(metrics.psnr(renders, jnp.asarray(photos.images), photos.weights))
  )
  if not level >= min_psnr:
    return None, level
  cameras = photos.cameras
  fine = match_exposure(scene.train.images, photos, renders)
  return {
    'lr': np.asarray(image.to_uint8(renders)),
    'hr': np.asarray(image.to_uint8(fine)),
    'world_to_cam': np.asarray(cameras.world_to_cam, np.float32),
    'focal': np.asarray(cameras.focal, np.float32),
    'center': np.asarray(cameras.center, np.float32),
  }, level


def make_all(
  folder: Path,
  *,
  seed: int,
  scale: float,
  min_psnr: float,
  num_each: int,
  drawn: Mapping[str, Sequence[float]],
  sources: Mapping[str, Mapping[str, Any]],
  build: Callable,
  fit: Callable,
  representation: Mapping[str, Any],
  drawing: Mapping[str, Any],
  fitting: Mapping[str, Any],
) -> list[Path]:
  """Makes the pairs of some captures that are not in a folder yet.

  Args:
    folder: takes a file a pair, and left_out.json of those that were too bad.
    seed: of all choices.
    scale: see `make`.
    min_psnr: likewise.
    num_each: pairs of each capture.
    drawn: 'num_splats', 'num_steps' and 'softness' (see `coarse.shrink`), of
      which each pair draws one.
    sources: {name: section} of scenes.
    build: (kind, section) -> plug-in, see `resolve`.
    fit: see `fit`.
    representation: section of the coarse scenes, but for its capacity.
    drawing: of `render_views`.
    fitting: of `fit`, but for its steps.

  Returns:
    The files of all pairs.
  """
  draw = functools.partial(
    splat_renders, build, fit, representation, drawing, fitting
  )

  @functools.lru_cache(maxsize=1)  # its pairs follow each other
  def capture_of(name):
    return along_path(build('scenes', sources[name]))

  made, told = [], folder / 'left_out.json'
  left_out = json.loads(told.read_text()) if told.exists() else {}
  jobs = [(name, i) for name in sorted(sources) for i in range(num_each)]
  bar = tqdm.tqdm(jobs, unit='pair')
  for number, (name, i) in enumerate(bar):
    file = folder / f'{name}-{i:02d}.array_record'
    bar.set_postfix_str(file.stem)
    if file.stem in left_out:
      continue
    if not file.exists():
      key = jax.random.fold_in(jax.random.key(seed), number)
      rng = np.random.default_rng((seed, number))
      num_splats, num_steps = (
        int(rng.choice(drawn[word])) for word in ('num_splats', 'num_steps')
      )
      softness = float(rng.choice(drawn['softness']))
      scene = capture_of(name)
      renders = functools.partial(draw, scene, num_splats, num_steps, key)
      pair, level = make(
        scene, scale, renders, softness=softness, min_psnr=min_psnr
      )
      meta = {
        'source': name,
        'num_splats': num_splats,
        'num_steps': num_steps,
        'softness': softness,
        'psnr': round(level, 2),
        'seed': seed,
        'blur': drawing['blur'],
      }
      if pair is None:
        left_out[file.stem] = meta
        files.write_whole(told, json.dumps(left_out, indent=2))
        bar.write(
          f'{file.stem} is left out: {level:.1f} dB beside its photos, wanted '
          f'{min_psnr:g}'
        )
        continue
      records.save(file, [{**pair, 'meta': meta}])
    made.append(file)
  if not made:
    raise ValueError(
      f'none of {len(jobs)} pairs reached {min_psnr:g} dB, see {told}'
    )
  return made


def splat_renders(
  build: Callable,
  fit: Callable,
  representation: Mapping[str, Any],
  drawing: Mapping[str, Any],
  fitting: Mapping[str, Any],
  scene: Scene,
  num_splats: int,
  num_steps: int,
  key: Array,
  views: Views,
) -> np.ndarray:
  """Fits so many splats to coarse views, in so many steps, and draws them."""
  if not len(scene.points):
    points, colors = capture.find_points(views)
    scene = dataclasses.replace(scene, points=points, colors=colors)
  rep = build('representations', {**representation, 'capacity': num_splats})
  drawing = {'background': scene.background, **drawing}
  start_key, fit_key = jax.random.split(key)
  params = rep.init(start_key, scene)
  options = {**fitting, 'num_steps': num_steps}
  params = fit(fit_key, rep, params, views, **drawing, **options)
  return render_views(rep.gaussians(params), views.cameras, **drawing)


def match_exposure(fine: Array, photos: Views, renders: Array) -> np.ndarray:
  """Gives fine photos the exposure that the scene settled on.

  A fit averages what a camera's automatic exposure changed. Each frame and
  channel gets the gain and bias that bring the coarse photo nearest to the
  render, by least squares over trusted pixels. Both are blurred first: what the
  scene lacks in detail would pass for a lack of contrast.

  Args:
    fine: [T, H, W, 3].
    photos: [T, h, w, 3] the same, shrunk.
    renders: [T, h, w, 3] of the scene.

  Returns:
    [T, H, W, 3] in [0, 1].
  """
  weights = photos.weights
  weights = np.ones(renders.shape[:-1]) if weights is None else weights
  weights = np.asarray(weights, np.float32)[..., None]

  def blur(a: Array) -> np.ndarray:
    return np.asarray(image.gaussian_blur(jnp.asarray(a), BLUR), np.float64)

  near = np.maximum(blur(weights), 1e-6)
  x, y = (blur(weights * a) / near for a in (photos.images, renders))
  weights = np.broadcast_to(weights, x.shape)

  def mean(a: np.ndarray) -> np.ndarray:
    return np.average(a, (1, 2), weights, keepdims=True)

  mean_x, mean_y = mean(x), mean(y)
  spread = mean((x - mean_x) ** 2)
  shared = mean((x - mean_x) * (y - mean_y))
  # A flat frame has no contrast to scale.
  gain = np.where(spread > 1e-6, shared / np.maximum(spread, 1e-6), 1.0)
  return np.clip(gain * (np.asarray(fine) - mean_x) + mean_y, 0, 1)
