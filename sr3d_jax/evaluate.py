"""Gaussians against held-out photos."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import metrics
from sr3d_jax.render import render_views
from sr3d_jax.types import Camera, Gaussians, Views


def evaluate(
  gaussians: Gaussians,
  cameras: Camera,
  names: tuple[str, ...],
  *,
  truth: Views | None = None,
  coarse: Views | None = None,
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
    **drawing: of `render_views`.

  Returns:
    The renders [V, H, W, 3] in [0, 1], and {name: {metric: value}} with psnr
    and ssim where there is a truth, lr_psnr where there are coarse photos; a
    view without a trusted pixel has none of them.
  """
  renders = render_views(gaussians, cameras, **drawing)
  images = np.clip(renders, 0.0, 1.0)
  per_view: dict[str, dict[str, float]] = {}
  for index, name in enumerate(names):
    measured = {}
    rendered = jnp.asarray(images[index])
    if photo := _photo(truth, index):
      measured['psnr'] = float(metrics.psnr(rendered, *photo))
      measured['ssim'] = float(metrics.ssim(rendered, *photo))
    if photo := _photo(coarse, index):
      measured['lr_psnr'] = float(metrics.lr_consistency_psnr(rendered, *photo))
    per_view[name] = measured
  return images, per_view


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
