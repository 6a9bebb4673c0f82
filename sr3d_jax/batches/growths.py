"""Coarse scenes, what a network is told of them, and finer photos of them.

Of the same files as `lineages`, for a network that learns by what its children
look like. A scene is told as `grow` tells it, and drawn at the resolution of a
later level, which it was not fitted to; batch i depends on the seed and i.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import image, lineage, offspring
from sr3d_jax.batches import lineages
from sr3d_jax.types import Camera, Gaussians

_LEAST_SIDE = 32  # px: D-SSIM looks at 11
_BLOCK = 256  # the least


class Episode(NamedTuple):
  """A scene at the end of a level, and the photos of one or two levels on.

  Attributes:
    gaussians: [N] as they are drawn; those from `num` on fill up.
    inputs: of the network, [N, ...].
    num: of live Gaussians.
    images: [V, H, W, 3] uint8.
    cameras: [V] of them.
    background: [3].
    octaves: between the photos that were fitted and these.
  """

  gaussians: Gaussians
  inputs: dict[str, np.ndarray]
  num: int
  images: np.ndarray
  cameras: Camera
  background: np.ndarray
  octaves: int


class Window(NamedTuple):
  """A piece of a view, px."""

  view: int
  top: int
  left: int
  height: int
  width: int


def make(
  *,
  roots: tuple[str, ...],
  num_states: int = 4,
  num_neighbors: int = 8,
  octaves: Sequence[int] = (1, 2),
  shares: Sequence[float] = (0.25, 1.0),
  side: int = 128,
  most: int = 2048,
  drop_history: float = 0.5,
  held_out: Sequence[str] = (),
  seed: int = 0,
) -> Callable[[int], dict[str, Any]]:
  """Reads histories and makes a stream of scenes to be drawn.

  Args:
    roots: folders of .array_record files, absolute or below the data folder.
    num_states: T of a lineage.
    num_neighbors: k.
    octaves: between what was fitted and what is to be drawn.
    shares: of the Gaussians in sight that have children, one of them a step.
    side: of the square that is drawn, px; of smaller photos, all; half of it,
      or a quarter, where more than `most` stand there.
    most: B, Gaussians that have children in a step.
    drop_history: chance that a scene comes without its past.
    held_out: patterns of sources that are left out.
    seed: of all choices.

  Returns:
    step -> see `describe`.
  """
  if not 0 <= drop_history <= 1:
    raise ValueError(f'drop_history must lie in [0, 1], got {drop_history}')
  scenes = lineages.chosen(lineages.read(roots), held_out)
  sizes = num_states, num_neighbors
  told = {
    is_bare: [e for s in scenes for e in episodes(s, *sizes, octaves, is_bare)]
    for is_bare in (False, True)
  }

  def batch(step: int) -> dict[str, Any]:
    rng = np.random.default_rng((seed, step))
    some = told[bool(rng.random() < drop_history)]
    episode = some[rng.integers(len(some))]
    return _some(rng, episode, rng.choice(shares), side, most)

  return batch


def fixed(
  scenes: Sequence[dict[str, Any]],
  *,
  num_views: int,
  num_states: int,
  num_neighbors: int,
  octaves: Sequence[int],
) -> dict[str, list[dict[str, Any]]]:
  """Views of some scenes in which all have children, the same in every run.

  Returns:
    Batches of `make`, bare of their past, by octaves: 'x2' and so on.
  """
  found = {f'x{2**step}': [] for step in octaves}
  for scene in scenes:
    for episode in episodes(scene, num_states, num_neighbors, octaves, True):
      size, last = episode.images.shape[1:3], len(episode.images) - 1
      rows = np.arange(len(episode.gaussians.means))
      for view in np.linspace(0, last, num_views).round().astype(int):
        window = Window(view, 0, 0, *size)
        batch = describe(episode, rows, rows < episode.num, window)
        found[f'x{2**episode.octaves}'].append(batch)
  return {name: batches for name, batches in found.items() if batches}


def describe(
  episode: Episode, rows: np.ndarray, chosen: np.ndarray, window: Window
) -> dict[str, Any]:
  """Makes a batch of a piece of one view.

  Args:
    episode: of N Gaussians.
    rows: [B] Gaussians that the network is told of.
    chosen: [B] bool, which of them have children; each at most once.
    window: the piece.

  Returns:
    The network's inputs [B, ...]; 'parents', `Gaussians` [B]; 'chosen' [B];
    'rest', `Gaussians` [N], of no opacity where they have children; 'image'
    [H, W, 3] in [0, 1]; 'world_to_cam', 'focal' and 'center' of its camera;
    'background' [3].
  """
  cameras, (view, top, left, height, width) = episode.cameras, window
  logits = episode.gaussians.opacity_logits.copy()
  logits[rows[chosen]] = -np.inf
  piece = episode.images[view, top : top + height, left : left + width]
  center = np.asarray(cameras.center[view]) - np.array([left, top], np.float32)
  return {
    **{name: x[rows] for name, x in episode.inputs.items()},
    'parents': jax.tree.map(lambda x: x[rows], episode.gaussians),
    'chosen': chosen,
    'rest': dataclasses.replace(episode.gaussians, opacity_logits=logits),
    'image': piece.astype(np.float32) / 255,
    'world_to_cam': np.asarray(cameras.world_to_cam[view]),
    'focal': np.asarray(cameras.focal[view]),
    'center': center,
    'background': episode.background,
  }


def _some(
  rng: np.random.Generator, episode: Episode, share: float, side: int, most: int
) -> dict[str, Any]:
  """A batch of a random window, and of a share of what stands in it."""
  view = rng.integers(len(episode.images))
  places = rng.random(2)
  while True:
    window = _window(episode, view, places, side)
    inside = _inside(episode, window)
    if len(inside) <= most or side <= _LEAST_SIDE:
      break
    side //= 2
  asked = min(max(round(share * len(inside)), 1), most)
  some = rng.permutation(inside)[:asked]
  rows = np.resize(some if len(some) else np.zeros(1, int), most)
  return describe(episode, rows, np.arange(most) < len(some), window)


def _window(
  episode: Episode, view: int, places: np.ndarray, side: int
) -> Window:
  """A window at a place in [0, 1)^2 of all where it may lie."""
  sizes = episode.images.shape[1:3]
  height, width = (min(side, size) for size in sizes)
  top, left = (
    int(place * (size - part + 1))
    for place, size, part in zip(places, sizes, (height, width), strict=True)
  )
  return Window(view, top, left, height, width)


def _inside(episode: Episode, window: Window) -> np.ndarray:
  """Rows of the Gaussians whose centres a window shows."""
  cameras, (view, top, left, height, width) = episode.cameras, window
  pose = np.asarray(cameras.world_to_cam[view])
  points = episode.gaussians.means[: episode.num] @ pose[:3, :3].T + pose[:3, 3]
  depth = np.maximum(points[:, 2:], 1e-6)
  pixels = points[:, :2] / depth * np.asarray(cameras.focal[view])
  pixels = pixels + np.asarray(cameras.center[view]) - [left, top]
  is_seen = (pixels > 0) & (pixels < [width, height]) & (points[:, 2:] > 0)
  return np.flatnonzero(is_seen.all(axis=1))


def episodes(
  scene: dict[str, Any],
  num_states: int,
  num_neighbors: int,
  octaves: Sequence[int],
  is_bare: bool,
) -> list[Episode]:
  """A scene's levels with photos so many octaves finer.

  Args:
    scene: of `lineages.read`.
    num_states: T.
    num_neighbors: k.
    octaves: which.
    is_bare: whether its past is hidden.
  """
  history = lineage.from_arrays(scene)
  found = []
  for last in range(1, len(history), 2):
    for step in octaves:
      scale = float(history[last].scale) * 2**step
      if scale > 1:
        continue
      images, cameras = _photos(scene, scale)
      past = [] if is_bare else history[: last + 1]
      newest = history[last].gaussians
      told = offspring.tell(
        offspring.Learned(None, None, 0.0, num_states, num_neighbors),
        jax.tree.map(jnp.asarray, newest), cameras,
        history=past, scale=2.0**step,
      )  # fmt: skip
      num = len(newest.means)
      told = told._replace(past=tuple(_filled(state) for state in told.past))
      rows = np.minimum(np.arange(len(told.past[0].means)), num - 1)
      inputs = _padded(offspring.inputs(told, rows), num_states)
      gaussians = jax.tree.map(np.array, told.past[0])
      gaussians.opacity_logits[num:] = -np.inf
      background = np.asarray(scene['meta']['background'], np.float32)
      found.append(
        Episode(gaussians, inputs, num, images, cameras, background, step)
      )
  return found


def _filled(gaussians: Gaussians) -> Gaussians:
  """Repeats the last, so that few numbers of Gaussians compile."""
  num = len(gaussians.means)
  missing = -num % max(_BLOCK, (1 << (num - 1).bit_length()) // 8)
  return jax.tree.map(
    lambda x: jnp.pad(x, ((0, missing), *((0, 0),) * (x.ndim - 1)), 'edge'),
    gaussians,
  )


def _padded(inputs: dict[str, Any], num_states: int) -> dict[str, np.ndarray]:
  """Gives lineages T states, so that all scenes share a shape."""
  inputs = {name: np.asarray(x) for name, x in inputs.items()}
  missing = num_states - inputs['mask'].shape[1]
  for name, rest in (('tokens', ((0, 0),)), ('mask', ())):
    inputs[name] = np.pad(inputs[name], ((0, 0), (0, missing), *rest))
  return inputs


def _photos(scene: dict[str, Any], scale: float) -> tuple[np.ndarray, Camera]:
  """Photos [V, H, W, 3] uint8 of a level, averaged by area, and cameras."""
  images = np.asarray(scene['images'])
  height, width = (round(size * scale) for size in images.shape[1:3])
  camera = Camera(
    **{
      name: jnp.asarray(scene[name])
      for name in ('world_to_cam', 'focal', 'center')
    },
    width=images.shape[2],
    height=images.shape[1],
  )
  if scale < 1:
    resize = jax.jit(
      functools.partial(image.resize, height=height, width=width, method='area')
    )
    small = [resize(jnp.asarray(x, jnp.float32) / 255) for x in images]
    images = np.asarray(image.to_uint8(jnp.clip(jnp.stack(small), 0, 1)))
  return images, camera.at_size(width, height)
