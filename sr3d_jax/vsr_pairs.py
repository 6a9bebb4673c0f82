"""Pairs to learn video super-resolution of 3D from: how coarse scenes look.

What a scene fitted to coarse photos shows along its path is the coarse clip,
and the fine photos are the fine one (SuperGaussian, Shen et al. 2024: 64 x 64
renders beside 256 x 256 photos). A network that learns from them sees the
stripes and blobs of splats, which no shrunk photo has.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from sr3d_jax import coarse, image, metrics
from sr3d_jax.types import Array, Scene, Views


def along_path(scene: Scene) -> Scene:
  """All views of a capture as training views, in the order of their names."""
  names = (*scene.train_names, *scene.test_names)
  order = np.argsort(np.array(names))
  parts = scene.train, scene.test

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
  none = np.zeros(0, int)
  return dataclasses.replace(
    scene,
    train=Views(images=images, cameras=cameras, weights=weights),
    train_names=tuple(names[i] for i in order),
    test=_pick(Views(images=images, cameras=cameras), none),
    test_names=(),
  )


def _pick(views: Views, index: np.ndarray) -> Views:
  cameras = dataclasses.replace(
    views.cameras,
    world_to_cam=views.cameras.world_to_cam[index],
    focal=views.cameras.focal[index],
    center=views.cameras.center[index],
  )
  return Views(images=views.images[index], cameras=cameras)


def make(
  scene: Scene,
  scale: float,
  draw: Callable[[Views], Array],
  *,
  min_psnr: float = 24.0,
) -> tuple[dict[str, Any] | None, float]:
  """Makes a pair of clips of a capture whose views are in path order.

  Args:
    scene: its training views are the fine clip.
    scale: by which the coarse one is smaller.
    draw: fits a scene to coarse views and draws them: [T, h, w, 3].
    min_psnr: dB, that renders must reach beside the shrunk photos; a scene that
      was not understood teaches nothing.

  Returns:
    The arrays of `io.records`, or None where the renders are worse; and their
    mean PSNR, dB.
  """
  photos = coarse.shrink(scene.train, scale)
  renders = jnp.clip(draw(photos), 0, 1)
  level = float(np.mean(metrics.psnr(renders, jnp.asarray(photos.images))))
  if not level >= min_psnr:
    return None, level
  cameras = photos.cameras
  fine = match_exposure(scene.train.images, photos.images, renders)
  return {
    'lr': np.asarray(image.to_uint8(renders)),
    'hr': np.asarray(image.to_uint8(fine)),
    'world_to_cam': np.asarray(cameras.world_to_cam, np.float32),
    'focal': np.asarray(cameras.focal, np.float32),
    'center': np.asarray(cameras.center, np.float32),
  }, level


def match_exposure(fine: Array, photos: Array, renders: Array) -> np.ndarray:
  """Gives fine photos the exposure that the scene settled on.

  A fit averages what a camera's automatic exposure changed. Each frame and
  channel gets the gain and bias that bring the coarse photo nearest to the
  render, by least squares.

  Args:
    fine: [T, H, W, 3].
    photos: [T, h, w, 3] the same, shrunk.
    renders: [T, h, w, 3] of the scene.

  Returns:
    [T, H, W, 3] in [0, 1].
  """
  x, y = (np.asarray(a, np.float64) for a in (photos, renders))
  axes = (1, 2)
  mean_x, mean_y = (a.mean(axes, keepdims=True) for a in (x, y))
  spread = ((x - mean_x) ** 2).mean(axes, keepdims=True)
  shared = ((x - mean_x) * (y - mean_y)).mean(axes, keepdims=True)
  # A flat frame has no contrast to scale.
  gain = np.where(spread > 1e-6, shared / np.maximum(spread, 1e-6), 1.0)
  return np.clip(gain * (np.asarray(fine) - mean_x) + mean_y, 0, 1)
