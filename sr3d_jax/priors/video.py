"""A video network as a prior: views become clips, in path order or ordered.

Renders along a path are a clip as they come (SuperGaussian). Photos are put in
order first, by pose or by their features (Sequence Matters, Ko et al. 2024).
Clips overlap, since a recurrent network is worst at their ends. Frames are RGB
in [0, 1] throughout.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import color_fix as color_fix_lib
from sr3d_jax import geometry, image, ordering
from sr3d_jax.io import bundles, paths
from sr3d_jax.models import basicvsr
from sr3d_jax.models.blocks import check_scale
from sr3d_jax.types import Array, Camera, Params, SRPrior, Views

SHIPPED = Path(__file__).parents[1] / 'weights' / 'basicvsr.npz'
FIXES = {
  'none': lambda fine, coarse: fine,
  'mean_std': color_fix_lib.shrunk_statistics,
  'lowfreq': color_fix_lib.shrunk_low_band,
}
ORDERS = ('path', 'closed', 'shuffled', 'pose', 'features', 'adaptive')
TINY = {
  'scale': 4.0,
  'weights': 'untrained',
  'order': 'path',
  'sizes': {
    'channels': 4,
    'num_blocks': 1,
    'fine_channels': 4,
    'flow_channels': (4,),
    'flow_levels': 2,
  },
}


def make(
  *,
  scale: float,
  weights: str = 'shipped',
  sizes: Mapping[str, Any] | None = None,
  order: str = 'path',
  clip_length: int = 30,
  overlap: int = 3,
  thresholds: Sequence[float] = (15.0, 30.0, 45.0),
  color_fix: str = 'none',
) -> SRPrior:
  """Makes the prior.

  Args:
    scale: at least 1; the network enlarges by 4, and other sizes are resized
      from that.
    weights: 'shipped' ones, an .npz file of `experiments.finetune_vsr`, or a
      .safetensors file of `experiments.convert_weights`; absolute or below the
      data folder; 'untrained', for tests.
    sizes: keywords of `basicvsr.make`, as the weights have them.
    order: 'path', the views are neighbours as they come; 'closed', and the
      last one is the first one's; 'shuffled', for comparison; 'pose' and
      'features', one greedy chain; 'adaptive', many chains by features that
      never turn by more than a threshold.
    clip_length: frames that the network sees at once, at most.
    overlap: frames on either side of a clip that it sees and does not give.
    thresholds: of 'adaptive', degrees between neighbours, growing.
    color_fix: what is taken from the coarse frames, see `FIXES`.
  """
  check_scale(scale)
  if order not in ORDERS:
    raise ValueError(f'no order {order!r}: choose from {", ".join(ORDERS)}')
  if color_fix not in FIXES:
    raise ValueError(
      f'no color_fix {color_fix!r}: choose from {", ".join(FIXES)}'
    )
  fix = FIXES[color_fix]
  ordering.check_chunks(clip_length, overlap)
  ordering.check_thresholds(thresholds)
  network = basicvsr.make(**(sizes or {}))
  arrange = functools.partial(
    arranged,
    order=order,
    clip_length=clip_length,
    overlap=overlap,
    thresholds=thresholds,
  )

  def init(key):
    return _load(weights, network.init, key)

  @jax.jit
  def enlarge(params, clip):
    fine = network.enlarge(params, network.clean(params, clip[None]))[0]
    height, width = (round(scale * size) for size in clip.shape[1:3])
    if fine.shape[1:3] != (height, width):
      fine = image.resize(fine, height, width)
    return jnp.clip(fix(fine, clip), 0, 1)

  def begin(params: Params, key: Array, views: Views) -> tuple:
    del params, key
    return views.images, arrange(views)

  def step(params: Params, key: Array, state: tuple, i: int) -> tuple:
    del key, i
    images, chains = state
    fine = [None] * len(images)
    for chain in chains:
      clip = np.asarray(enlarge(params, images[chain.frames]))
      for j in np.flatnonzero(chain.kept):
        fine[chain.frames[j]] = clip[j]
    return state, jnp.asarray(np.stack(fine))

  return SRPrior(
    init, begin, step, lambda params, state, images: state, 1, scale
  )


def _load(weights: str, init: Callable, key: Array) -> Params:
  if weights == 'untrained':
    return init(key)
  file = SHIPPED if weights == 'shipped' else paths.data_path(weights)
  return bundles.restore(file, init)


def arranged(
  views: Views,
  *,
  order: str,
  clip_length: int,
  overlap: int,
  thresholds: Sequence[float] = (),
) -> list[ordering.Chain]:
  """Puts views into clips, each of which keeps some of them; see `make`."""
  num_views = len(views.images)
  cut = functools.partial(ordering.chunks, length=clip_length, overlap=overlap)
  if order == 'path' or num_views == 1:
    return cut(np.arange(num_views))
  if order == 'closed':
    return _closed(num_views, clip_length, overlap)
  if order == 'shuffled':
    return cut(np.random.default_rng(0).permutation(num_views))
  if order == 'pose':
    return cut(ordering.greedy(_angles(views.cameras)))
  features = ordering.by_features(views.images)
  if order == 'features':
    return cut(ordering.greedy(features))
  return ordering.adaptive(
    features,
    np.degrees(_angles(views.cameras)),
    thresholds,
    max_length=clip_length,
  )


def _angles(cameras: Camera) -> np.ndarray:
  """[V, V] radians between views, seen from what they look at."""
  center = geometry.scene_center(cameras.world_to_cam)
  return ordering.by_pose(np.asarray(cameras.position), np.asarray(center))


def _closed(
  num_views: int, clip_length: int, overlap: int
) -> list[ordering.Chain]:
  """Clips of a ring: the first and the last have neighbours, too."""
  wrap = min(overlap, num_views)
  ring = np.arange(-wrap, num_views + wrap) % num_views
  own = np.arange(len(ring))
  own = (own >= wrap) & (own < wrap + num_views)
  places = ordering.chunks(np.arange(len(ring)), clip_length, overlap)
  chains = [
    ordering.Chain(ring[frames], kept & own[frames]) for frames, kept in places
  ]
  return [chain for chain in chains if chain.kept.any()]
