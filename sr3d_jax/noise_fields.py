"""Noise that belongs to a scene: the same surface, the same noise in all views.

A diffusion prior draws the details of each view from the noise that it starts
from. If views share that noise where they share a surface, their details may
agree before anything is consolidated.

Each view alone must still look to the network as if its noise were drawn pixel
by pixel. So no value may enter two pixels of a view, not even in part: blending
splats, as colours are, would colour the spectrum, since one splat covers many
pixels. Both fields below are exactly white and of unit variance, whatever the
scene, and what a view cannot share it draws for itself.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels.rasterize import rasterize

from sr3d_jax import render, view_consistency
from sr3d_jax.types import Array, Camera, Gaussians, only_pinholes

OWN_SHARE = 0.05  # px; what fills less of its pixel counts less than chance
NUM_SOURCES = 4  # earlier views that a view may take noise from
TOLERANCE = 0.05  # of the depth: pixels of latents are large, surfaces slant


def splatted(
  key: Array,
  gaussians: Gaussians,
  cameras: Camera,
  channels: int,
  **drawing: Any,
) -> np.ndarray:
  """Gives each Gaussian noise, which enters the pixel that its centre lies in.

  n_p = (Σ_i m_i f_i + m e_p) / sqrt(Σ_i m_i² + m²), with f_i the features of
  the Gaussians whose centres lie in pixel p and m_i how much of the picture
  each fills, Σ_q w_iq by alpha compositing, so that the hidden bring nothing.
  e_p are the view's own, which is all there is between the centres of splats
  larger than a pixel.

  Args:
    key: randomness.
    gaussians: [N], as they are drawn.
    cameras: [V] at the size of the noise, h x w.
    channels: C.
    **drawing: of `render.render_views`, but for the background.

  Returns:
    [V, h, w, C] each view white, N(0, 1).
  """
  feature_key, own_key = jax.random.split(key)
  features = jax.random.normal(
    feature_key, (gaussians.means.shape[0], channels)
  )
  capacity = render.plan_capacity(gaussians, cameras, **drawing)
  options = tuple(sorted(drawing.items()))
  return np.stack([
    _splat(
      jax.random.fold_in(own_key, i),
      gaussians,
      render.view_of(cameras, i),
      features,
      capacity,
      options,
    )
    for i in range(len(cameras.world_to_cam))
  ])  # fmt: skip


@functools.partial(jax.jit, static_argnames=('capacity', 'options'))
def _splat(
  key: Array,
  gaussians: Gaussians,
  camera: Camera,
  features: Array,
  capacity: int,
  options: tuple,
) -> Array:
  """[h, w, C] of one view."""
  options = dict(options)
  splats = render.project(gaussians, camera, **options)
  size = {'width': camera.width, 'height': camera.height}

  def draw(values: Array) -> Array:
    return rasterize(
      splats.means2d, splats.conics, splats.opacities, values, splats.depths,
      **size, background=jnp.zeros(1), capacity=capacity,
      backend=options.get('backend'),
    ).image  # fmt: skip

  picture, pull = jax.vjp(draw, jnp.zeros((len(features), 1)))
  (filled,) = pull(jnp.ones_like(picture))  # [N, 1] px
  centers = jnp.where(filled > 0, splats.means2d, -1.0)
  column, row = jnp.moveaxis(jnp.floor(centers).astype(int), -1, 0)
  inside = (column >= 0) & (column < camera.width)
  inside &= (row >= 0) & (row < camera.height)
  num_pixels = camera.height * camera.width
  pixel = jnp.where(inside, row * camera.width + column, num_pixels)

  def gather(values: Array) -> Array:
    sums = jnp.zeros((num_pixels, values.shape[-1]))
    return sums.at[pixel].add(values, mode='drop')

  own = jax.random.normal(key, (num_pixels, features.shape[-1]))
  total = gather(filled * features) + OWN_SHARE * own
  noise = total / jnp.sqrt(gather(filled**2) + OWN_SHARE**2)
  return noise.reshape(camera.height, camera.width, -1)


def warped(
  key: Array,
  gaussians: Gaussians,
  cameras: Camera,
  channels: int,
  **drawing: Any,
) -> np.ndarray:
  """Hands noise on from view to view along the depth of the scene.

  Samples are numbered. A pixel takes the number of the pixel of an earlier view
  that shows the same surface, whole pixels and no interpolation; of those that
  want one number the nearest gets it, and who gets none takes a new one. Which
  numbers a view has depends on geometry alone and none comes twice, so that its
  noise is white.

  Args:
    key: randomness.
    gaussians: [N], as they are drawn.
    cameras: [V] pinholes at the size of the noise, h x w.
    channels: C.
    **drawing: of `render.render_views`.

  Returns:
    [V, h, w, C] each view white, N(0, 1).
  """
  only_pinholes(cameras, 'warped noise')
  surfaces = [
    view_consistency.surface(drawn.depth, drawn.alpha)
    for drawn in render.render_each(gaussians, cameras, **drawing)
  ]
  views = [render.view_of(cameras, i) for i in range(len(surfaces))]
  places = np.asarray(cameras.position)
  shape = cameras.height, cameras.width
  num_pixels = math.prod(shape)
  numbers: list[Array] = []
  for i, target in enumerate(zip(surfaces, views)):
    fresh = i * num_pixels + jnp.arange(num_pixels).reshape(shape)
    chosen = fresh
    away = np.linalg.norm(places[:i] - places[i], axis=-1)
    for j in np.argsort(away)[:NUM_SOURCES]:
      source = surfaces[j], views[j]
      chosen = _inherit(chosen, fresh, numbers[j], source, target)
    numbers.append(chosen)
  samples = jax.random.normal(key, (len(views) * num_pixels, channels))
  return np.stack([samples[chosen] for chosen in numbers])


@jax.jit
def _inherit(
  chosen: Array,
  fresh: Array,
  offered: Array,
  source: tuple[Array, Camera],
  target: tuple[Array, Camera],
) -> Array:
  """Replaces numbers [h, w] that are still `fresh` by those of a source."""
  height, width = offered.shape
  rows, columns = jnp.mgrid[:height, :width] + 0.5
  # Cubic interpolation is exact for what grows linearly, as positions do.
  found, visible = view_consistency.warp(
    jnp.stack([rows, columns], axis=-1), source, target, tolerance=TOLERANCE
  )
  cell = jnp.floor(found)
  cost = jnp.sum((found - cell - 0.5) ** 2, axis=-1)
  row, column = jnp.moveaxis(cell.astype(int), -1, 0)
  offer = offered[jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)]
  takes = visible & (chosen == fresh)
  wanted = jnp.where(takes, offer, chosen).reshape(-1)
  # Who has a number keeps it.
  cost = jnp.where(takes, cost, -1.0).reshape(-1)
  order = jnp.lexsort((cost, wanted))
  is_first = jnp.diff(wanted[order], prepend=-1) != 0
  wins = jnp.zeros(wanted.shape, bool).at[order].set(is_first)
  return jnp.where(wins, wanted, fresh.reshape(-1)).reshape(height, width)


FIELDS = {'splatted': splatted, 'warped': warped}
