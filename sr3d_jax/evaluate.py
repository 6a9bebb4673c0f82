"""Gaussians against held-out photos."""

from typing import Any

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
      their size is compared with them.
    **drawing: of `render_views`.

  Returns:
    The renders [V, H, W, 3] in [0, 1], and {name: {metric: value}} with psnr
    and ssim where there is a truth, lr_psnr where there are coarse photos.
  """
  renders = render_views(gaussians, cameras, **drawing)
  images = np.clip(renders, 0.0, 1.0)
  per_view: dict[str, dict[str, float]] = {}
  for index, name in enumerate(names):
    measured = {}
    rendered = jnp.asarray(images[index])
    if truth is not None:
      photo = jnp.asarray(truth.images[index])
      measured['psnr'] = float(metrics.psnr(rendered, photo))
      measured['ssim'] = float(metrics.ssim(rendered, photo))
    if coarse is not None:
      photo = jnp.asarray(coarse.images[index])
      measured['lr_psnr'] = float(metrics.lr_consistency_psnr(rendered, photo))
    per_view[name] = measured
  return images, per_view


def mean_metrics(per_view: dict[str, dict[str, float]]) -> dict[str, float]:
  """Averages each metric over the views that have it."""
  keys = dict.fromkeys(key for row in per_view.values() for key in row)
  return {
    key: float(np.mean([r[key] for r in per_view.values() if key in r]))
    for key in keys
  }
