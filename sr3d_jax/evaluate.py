"""Gaussians against held-out photos.

What is measured is chosen by name. Where a view has nothing to be measured
against, it lacks that score.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import judges, metrics, similarity, view_consistency
from sr3d_jax import niqe as niqe_lib
from sr3d_jax.io import paths, pristine
from sr3d_jax.models import lpips
from sr3d_jax.render import render_each
from sr3d_jax.types import Array, Camera, Gaussians, Scene, Views


def _trusted(rendered: Array, photo: Array, weights: Array | None) -> Array:
  """Takes pixels of weight 0 from the photo, so that they differ nowhere."""
  if weights is None:
    return rendered
  return jnp.where(weights[..., None] > 0, rendered, photo)


def _trusting(score: Callable) -> Callable:
  score = jax.jit(score)

  def measure(rendered: Array, photo: Array, weights: Array | None) -> Array:
    return score(_trusted(rendered, photo, weights), photo)

  return measure


# (rendered, photo [H, W, 3], weights [H, W] or None) -> []
TO_TRUTH = {
  'psnr': metrics.psnr,
  'ssim': metrics.ssim,
  'ms_ssim': _trusting(similarity.ms_ssim),
  'gmsd': _trusting(similarity.gmsd),
  'haarpsi': _trusting(similarity.haarpsi),
}
DEFAULT = ('psnr', 'ssim', 'lr_psnr')
MEASURES = (*TO_TRUTH, 'lr_psnr', 'niqe', 'consistency', *judges.MEASURES)


class Measures(NamedTuple):
  """What is measured of a row of a table."""

  views: Callable  # `evaluate`, but for what is chosen
  together: Callable  # (renders [V, H, W, 3], truth or None) -> {metric: value}
  needs: Mapping[
    str, str
  ]  # {metric: the file without which it is not measured}


def prepare(measures: Iterable[str], scene: Scene) -> Measures:
  """Chooses what is measured; what cannot be measured raises now.

  Measures of `judges` want weights that only users have. Without their file
  they are not measured, and `needs` says so.

  Args:
    measures: names in `MEASURES`. 'consistency' is the `psnr` of
      `view_consistency.Agreement`, and brings its `visible` as `covisible`
      and, where there are coarse photos, its `detail_error`.
    scene: with the test views at the size that is drawn, or less.
  """
  measures = tuple(measures)
  unknown = [name for name in measures if name not in MEASURES]
  if unknown:
    raise ValueError(
      f'measures must be some of {", ".join(MEASURES)}, got '
      f'{", ".join(unknown)}'
    )
  cameras, model, others, pairs = scene.test.cameras, None, None, ()
  if 'ms_ssim' in measures:
    similarity.check_ms_ssim_size(cameras.height, cameras.width)
  if 'niqe' in measures:
    niqe_lib.check_size(cameras.height, cameras.width)
    model = pristine.load(paths.data_path(pristine.PATH))
  if 'consistency' in measures:
    others, pairs = _neighbours(scene)
  _check_judges(measures, len(scene.test_names), cameras)
  needs = judges.needs(measures)
  measures = tuple(name for name in measures if name not in needs)
  judged = {
    name: _trusting(judges.pair(name))
    for name in measures
    if name in judges.PAIRS
  }
  views = functools.partial(
    evaluate, measures=measures, model=model, others=others, pairs=pairs,
    judged=judged,
  )  # fmt: skip
  together = functools.partial(judge_together, measures=measures)
  return Measures(views, together, needs)


def judge_together(
  renders: np.ndarray, truth: Views | None, *, measures: tuple[str, ...]
) -> dict[str, float]:
  """Scores renders [V, H, W, 3] as a set and as a clip, by networks.

  Args:
    renders: in [0, 1]; what the photos are not trusted in counts as theirs.
    truth: [V] of the size of the renders; None where nobody knows.
    measures: names in `MEASURES`, of which one view alone has none.
  """
  photos = None
  if truth is not None:
    photos = np.asarray(truth.images)
    renders = np.asarray(_trusted(renders, photos, truth.weights))
  return judges.judge_views(measures, renders, photos)


def _check_judges(measures: tuple[str, ...], num: int, cameras: Camera) -> None:
  """Raises where views are too small or too few for a network's measure."""
  for name in measures:
    if name in ('fid', 'kid', 'tlpips') and num < 2:
      raise ValueError(
        f'{name} compares two views at least, got {num}: hold out more, or '
        'leave it out of the measures'
      )
    backbone = judges.PAIRS.get(name, [None])[0]
    side = lpips.MIN_SIZE.get(backbone, 0)
    if min(cameras.height, cameras.width) < side:
      raise ValueError(
        f'{name} compares pictures of {side} px at least, got '
        f'{cameras.height} x {cameras.width}: leave it out of the measures'
      )


def _neighbours(scene: Scene) -> tuple[Camera, tuple[tuple[int, int], ...]]:
  """Pairs each test view with the nearest view, of test and training.

  Returns:
    The training cameras that are partners, at the size of the test views, and
    pairs of indices into test cameras and these.
  """
  tests = scene.test.cameras
  trains = scene.train.cameras.at_size(tests.width, tests.height)
  both = jax.tree.map(lambda *x: np.concatenate(x), tests, trains)
  num = len(scene.test_names)
  found = view_consistency.partners(both, scene.points)[:num]
  if not np.any(found >= 0):
    raise ValueError(
      f'none of {num} test views sees half of {len(scene.points)} points as '
      'another view does: leave consistency out of the measures, or hold out '
      'views that are closer'
    )
  used = np.unique(found[found >= num])
  places = {int(x): num + i for i, x in enumerate(used)}
  pairs = [(i, places.get(int(x), int(x))) for i, x in enumerate(found)]
  others = jax.tree.map(lambda x: x[used], both)
  return others, tuple(pair for pair in pairs if pair[1] >= 0)


def evaluate(
  gaussians: Gaussians,
  cameras: Camera,
  names: tuple[str, ...],
  *,
  truth: Views | None = None,
  coarse: Views | None = None,
  measures: tuple[str, ...] = DEFAULT,
  model: tuple[np.ndarray, np.ndarray] | None = None,
  others: Camera | None = None,
  pairs: tuple[tuple[int, int], ...] = (),
  judged: Mapping[str, Callable] | None = None,
  **drawing: Any,
) -> tuple[np.ndarray, dict[str, dict[str, float]]]:
  """Renders held-out views and measures them.

  Args:
    gaussians: the scene, filters applied.
    cameras: [V] where to look from.
    names: [V] of the views.
    truth: [V] what should be seen; None where nobody knows.
    coarse: [V] low-resolution photos of the same views; the render shrunk to
      their size is compared with them. Of both, only pixels with a weight
      count.
    measures: names in `MEASURES`; what needs a truth or coarse photos is
      measured where those are.
    model: mean and covariance of `niqe`, where that is measured.
    others: [U] further cameras that the views are compared with, where
      'consistency' is measured.
    pairs: which of the V + U views are compared then.
    judged: further measures of the kind of `TO_TRUTH`, by their names.
    **drawing: of `render_views`.

  Returns:
    The renders [V, H, W, 3] in [0, 1], and {name: {metric: value}}; a view
    without a trusted pixel has none of the metrics that compare.
  """
  if pairs and others is not None:
    others = others.at_size(cameras.width, cameras.height)
    drawn = jax.tree.map(lambda *x: jnp.concatenate(x), cameras, others)
  else:
    drawn = cameras
  images, surfaces = _draw(gaussians, drawn, **drawing)
  per_view: dict[str, dict[str, float]] = {}
  to_truth = {**TO_TRUTH, **(judged or {})}
  for i, name in enumerate(names):
    per_view[name] = _compare(
      images[i], _photo(truth, i), _photo(coarse, i), measures, to_truth
    )
    if 'niqe' in measures:
      value = float(niqe_lib.niqe(images[i], *model))
      per_view[name] |= {'niqe': value} if np.isfinite(value) else {}
  scale = 1.0 if coarse is None else cameras.width / coarse.cameras.width
  agreements = view_consistency.score(
    images, surfaces, drawn, pairs, scale=scale
  )
  for i in agreements.keys() & set(range(len(names))):
    per_view[names[i]]['consistency'] = agreements[i]['psnr']
    per_view[names[i]]['covisible'] = agreements[i]['visible']
    if coarse is not None:  # else nobody knows what detail is
      per_view[names[i]]['detail_error'] = agreements[i]['detail_error']
  return images[: len(names)], per_view


def _draw(
  gaussians: Gaussians, cameras: Camera, **drawing: Any
) -> tuple[np.ndarray, np.ndarray]:
  """Images [V, H, W, 3] in [0, 1] and surfaces [V, H, W], on the host."""
  shape = (cameras.world_to_cam.shape[0], cameras.height, cameras.width)
  images = np.zeros((*shape, 3), np.float32)
  surfaces = np.zeros(shape, np.float32)
  for i, output in enumerate(render_each(gaussians, cameras, **drawing)):
    images[i] = np.clip(output.image, 0.0, 1.0)
    surfaces[i] = view_consistency.surface(output.depth, output.alpha)
  return images, surfaces


def _compare(
  rendered: np.ndarray,
  truth: tuple | None,
  coarse: tuple | None,
  measures: tuple[str, ...],
  to_truth: Mapping[str, Callable],
) -> dict[str, float]:
  """Measures one view [H, W, 3] against its photos, as far as there are."""
  rendered, measured = jnp.asarray(rendered), {}
  for name in measures:
    if truth and name in to_truth:
      measured[name] = to_truth[name](rendered, *truth)
    if coarse and name == 'lr_psnr':
      measured[name] = metrics.lr_consistency_psnr(rendered, *coarse)
  return {name: float(value) for name, value in measured.items()}


def _photo(
  views: Views | None, index: int
) -> tuple[jax.Array, jax.Array | None] | None:
  """A view's image and weights; None where there is nothing to compare."""
  if views is None:
    return None
  weights = None if views.weights is None else jnp.asarray(views.weights[index])
  if weights is not None and not weights.any():
    return None
  return jnp.asarray(views.images[index]), weights
