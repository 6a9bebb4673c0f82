"""Clips for a video prior: what a coarse scene shows along camera paths.

SuperGaussian (Shen et al. 2024) renders the coarse scene along smooth paths,
enlarges each as a clip of its own and fits a finer scene to all frames. A path
is a section, a function of `trajectories` by its `name` and that one's
arguments, or the captured cameras in their order:

    {'name': 'captured', 'photos': False}
    {'name': 'sinusoid', 'num_views': 30, 'distance': 0.8}

A path goes all the way round where the captured cameras do, unless it says
`closed`.
Views beyond both ends of a path are drawn, shown to the prior, and dropped.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import capture, image, trajectories
from sr3d_jax.types import (
  Camera,
  Gaussians,
  SRPrior,
  Views,
  only_pinholes,
)

PATHS = ('orbit', 'sinusoid', 'spiral', 'close_up')
BEYOND = 6  # views, on either side: where a recurrent network is worst
MAX_FLOW = 6 / 64  # of the width, between neighbours, that alignment bears
MAX_VIEWS = 960  # of a path; one that wants more leaps in some other way


class Walk(NamedTuple):
  """A path that is one clip."""

  name: str
  cameras: Camera  # [T + 2 beyond], pinholes
  beyond: int
  photos: bool = False  # whether the photos are shown in place of renders

  @property
  def kept(self) -> slice:
    """The T of the path itself."""
    return slice(self.beyond, len(self.cameras.focal) - self.beyond)


def plan(
  sections: Sequence[Mapping[str, Any]],
  cameras: Camera,
  points: np.ndarray,
  *,
  max_flow: float = MAX_FLOW,
) -> tuple[Walk, ...]:
  """Lays paths around a capture, with as many views as a video prior needs.

  Args:
    sections: of the paths, see above.
    cameras: [V] of the capture.
    points: [P, 3] of the scene, by which motion is measured.
    max_flow: most that they may move between neighbours on the mean, as a share
      of the width; where a path leaps farther it gets more views. The captured
      cameras are as they are: an `order` of the prior is for those.

  Raises:
    ValueError: an unknown path or key, or one that no number of views calms.
  """
  if not sections:
    raise ValueError(
      f'there are no paths: name some of captured, {", ".join(PATHS)}'
    )
  only_pinholes(cameras, 'a path')
  return tuple(
    _lay(dict(section), cameras, np.asarray(points), max_flow)
    for section in sections
  )


def _lay(
  keys: dict[str, Any], cameras: Camera, points: np.ndarray, max_flow: float
) -> Walk:
  name = keys.pop('name', None)
  if name == 'captured':
    if set(keys) - {'photos'}:
      raise ValueError(
        f"the path 'captured' has one key, photos, got {', '.join(keys)}"
      )
    return Walk(name, cameras, 0, bool(keys.get('photos', False)))
  if name not in PATHS:
    raise ValueError(
      f'no path {name!r}: choose from captured, {", ".join(PATHS)}'
    )
  make = getattr(trajectories, name)
  known = inspect.signature(make).parameters
  unknown = set(keys) - set(known) | {'cameras'} & set(keys)
  if unknown or 'num_views' not in keys:
    wanted = ', '.join(set(known) - {'cameras'})
    raise ValueError(
      f'the path {name!r} wants num_views, and takes {wanted}; got '
      f'{", ".join(keys) or "nothing"}'
    )
  if keys.get('closed') is None:
    keys['closed'] = trajectories.goes_round(cameras)
  num_views = keys.pop('num_views')
  beyond = keys.pop('beyond', BEYOND)
  if num_views < 2:
    raise ValueError(
      f'the path {name!r} has {num_views} views, want 2 at least to see depth'
    )
  while True:
    path = make(cameras, num_views, beyond=beyond, **keys)
    path = jax.tree.map(np.asarray, path)
    leap = float(np.max(flows(path, points), initial=0.0))
    if leap <= max_flow * path.width:
      return Walk(name, path, beyond)
    more = math.ceil(num_views * 1.05 * leap / (max_flow * path.width))
    if max(more, num_views) >= MAX_VIEWS:
      raise ValueError(
        f'the path {name!r} moves by {leap:.1f} px between two of its '
        f'{num_views} views, at most {max_flow * path.width:.1f} are wanted, '
        f'and {MAX_VIEWS} would not do: take it farther away (distance)'
      )
    num_views = more


def flows(cameras: Camera, points: np.ndarray) -> np.ndarray:
  """Mean motion between neighbours on a path, px.

  Args:
    cameras: [T] pinholes.
    points: [P, 3]; those count that both neighbours have in their pictures.

  Returns:
    [T - 1]; 0 where the two share no point.
  """
  pixels, seen = (np.stack(x) for x in zip(*_projected(cameras, points)))
  moved = np.linalg.norm(pixels[1:] - pixels[:-1], axis=-1)
  shared = seen[1:] & seen[:-1]
  total = np.sum(np.where(shared, moved, 0.0), axis=-1)
  return total / np.maximum(shared.sum(axis=-1), 1)


def _projected(cameras: Camera, points: np.ndarray):
  """Pixels [P, 2], and which lie in the picture, for each camera."""
  size = cameras.width, cameras.height
  for pose, focal, center in zip(
    cameras.world_to_cam, cameras.focal, cameras.center, strict=True
  ):
    local = points @ np.asarray(pose[:3, :3]).T + np.asarray(pose[:3, 3])
    depth = np.where(local[:, 2:] > 0, local[:, 2:], 1.0)
    pixels = local[:, :2] / depth * focal + center
    inside = np.all((pixels >= 0) & (pixels < size), axis=-1)
    yield pixels, inside & (local[:, 2] > 0)


def film(
  walk: Walk,
  gaussians: Gaussians,
  photos: Views,
  *,
  draw: Callable,
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Views:
  """Takes the pictures of a walk.

  Args:
    walk: of `plan`.
    gaussians: the coarse scene.
    photos: [V] of the capture.
    draw: (gaussians, cameras) -> images.
    background: of the scene.

  Raises:
    ValueError: some of its pictures show nothing.
  """
  if walk.photos:
    return photos
  images = np.clip(draw(gaussians, walk.cameras), 0.0, 1.0)
  levels, behind = (
    np.asarray(image.to_uint8(x)) for x in (images, np.float32(background))
  )
  is_empty = np.all(levels == behind, axis=(1, 2, 3))
  if np.any(is_empty[walk.kept]):
    raise ValueError(
      f'{int(is_empty[walk.kept].sum())} of the '
      f'{len(images[walk.kept])} views along the path {walk.name!r} show '
      'nothing but the background: it leaves the scene; take it nearer or '
      'farther (distance), or lower its swing'
    )
  return Views(images=images, cameras=walk.cameras)


def kept(walks: Sequence[Walk], clips: Sequence[Views]) -> Views:
  """The views of all clips without those beyond the ends of their paths.

  A photo's weights stay; renders are trusted whole.
  """
  parts = [capture.pick(c, w.kept) for w, c in zip(walks, clips, strict=True)]
  weights = None
  if any(part.weights is not None for part in parts):
    weights = np.concatenate(
      [
        np.ones(part.images.shape[:3], np.float32)
        if part.weights is None
        else part.weights
        for part in parts
      ]
    )
  return Views(
    images=np.concatenate([part.images for part in parts]),
    cameras=jax.tree.map(
      lambda *x: np.concatenate(x), *(part.cameras for part in parts)
    ),
    weights=weights,
  )


def along(
  prior: SRPrior, walks: Sequence[Walk], clips: Sequence[Views]
) -> SRPrior:
  """The prior that sees each clip by itself and answers for the kept views.

  Args:
    prior: of one step.
    walks: of `plan`.
    clips: what they show, of `film`.

  Returns:
    A prior for the views of `kept`.
  """
  if prior.num_steps != 1:
    raise ValueError(
      f'along paths a prior has one step, this one has {prior.num_steps}: it '
      'would be told of views that it has not drawn; take one of one step, or '
      'leave the paths out'
    )

  def begin(params, key, views):
    wanted = sum(
      len(clip.images[walk.kept]) for walk, clip in zip(walks, clips)
    )
    if len(views.images) != wanted:
      raise ValueError(
        f'the paths have {wanted} views, got {len(views.images)}: pass those '
        'of walks.kept'
      )
    keys = jax.random.split(key, len(clips))
    return [prior.begin(params, k, clip) for k, clip in zip(keys, clips)]

  def step(params, key, states, i):
    keys = jax.random.split(key, len(states))
    pairs = [
      prior.step(params, k, state, i)
      for k, state in zip(keys, states, strict=True)
    ]
    states, images = zip(*pairs)
    shown = [fine[walk.kept] for walk, fine in zip(walks, images)]
    return list(states), jnp.concatenate(shown)

  return prior._replace(
    begin=begin, step=step, inject=lambda params, states, images: states
  )


def show(
  prior: SRPrior,
  sections: Sequence[Mapping[str, Any]],
  gaussians: Gaussians,
  photos: Views,
  points: np.ndarray,
  draw: Callable,
  background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> tuple[SRPrior, Views, str]:
  """Lays paths through a coarse scene and takes their pictures.

  Args:
    prior: of one step.
    sections: of the paths, see above.
    gaussians: the coarse scene.
    photos: [V] of the capture.
    points: [P, 3] of its surface, see `plan`.
    draw: (gaussians, cameras) -> images.
    background: of the scene.

  Returns:
    The prior along the paths, the views that it makes finer, and how many
    there are of each path.
  """
  walks = plan(sections, photos.cameras, points)
  clips = [
    film(walk, gaussians, photos, draw=draw, background=background)
    for walk in walks
  ]
  told = ', '.join(f'{w.name} {len(c.images)}' for w, c in zip(walks, clips))
  views = kept(walks, clips)
  return along(prior, walks, clips), views, f'views along paths: {told}'
