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

from sr3d_jax import capture, coarse, image, metrics
from sr3d_jax.types import Array, Scene, Views

BLUR = 4.0  # coarse px; an exposure is seen through it, a lack of detail is not


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
  views = Views(images=images, cameras=cameras, weights=weights)
  return dataclasses.replace(
    scene,
    train=views,
    train_names=tuple(names[i] for i in order),
    test=capture.pick(views, np.zeros(0, int)),
    test_names=(),
  )


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
  size = scene.train.cameras.width, scene.train.cameras.height
  if any(side % scale for side in size):
    raise ValueError(
      f'{scene.name} has views of {size[0]} x {size[1]} px, which scale '
      f'{scale:g} does not divide: give the scene another size'
    )
  photos = coarse.shrink(scene.train, scale)
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
