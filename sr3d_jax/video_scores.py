"""How good an enlarged clip is beside the true one, in numbers and at a glance.

Clips [T, H, W, 3] in [0, 1].
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from sr3d_jax import image, metrics, temporal, warp
from sr3d_jax.types import Array

GAIN = 4.0  # of differences in a grid, which are small


def score(
  fine: Array,
  hr: Array,
  flows: Array,
  backs: Array,
  *,
  distance: Callable | None = None,
) -> dict[str, float]:
  """Measures an enlarged clip.

  Args:
    fine: [T, H, W, 3], T at least 2.
    hr: [T, H, W, 3] the true clip.
    flows: [T - 1, H, W, 2] px, from each true frame into the next.
    backs: [T - 1, H, W, 2] px, from the next into each.
    distance: (images, targets [T, H, W, 3]) -> [T] of `lpips`, or None.

  Returns:
    'psnr' dB; 'sharpness' over that of the truth; 'warping' and
    'warping_gap', `temporal.warping_error` and `referenced_error`, where
    neighbours share anything; with a distance 'lpips' and `temporal.tlpips`.
  """
  if fine.shape != hr.shape or len(fine) < 2:
    raise ValueError(
      'two clips of one size and two frames at least are compared, got '
      f'{fine.shape} and {hr.shape}'
    )
  fine = jnp.clip(fine, 0, 1)
  scores = {
    'psnr': jnp.mean(metrics.psnr(fine, hr)),
    'sharpness': jnp.mean(temporal.sharpness(fine))
    / jnp.maximum(jnp.mean(temporal.sharpness(hr)), 1e-12),
  }
  align = warp.follow(flows, backs)
  errors, truth = (temporal.warping_errors(clip, align) for clip in (fine, hr))
  if np.isfinite(errors).any():
    scores['warping'] = temporal.warping_error(errors)
    scores['warping_gap'] = temporal.referenced_error(errors, truth)
  if distance is not None:
    scores['lpips'] = jnp.mean(distance(fine, hr))
    scores['tlpips'] = temporal.tlpips(
      fine, hr, lambda a, b: distance(a[None], b[None])[0]
    )
  return {name: float(value) for name, value in scores.items()}


def bicubic(lr: Array, scale: int) -> Array:
  """The clip [T, h, w, 3] enlarged frame by frame, in [0, 1]."""
  return jnp.clip(image.enlarge(jnp.asarray(lr), scale), 0, 1)


def grid(lr: Array, fine: Array, hr: Array, *, num_frames: int = 4) -> Array:
  """Lays frames side by side: [5 H, n W, 3].

  Rows: coarse, bicubic, enlarged, true, and `GAIN` times the difference of the
  last two.

  Args:
    lr: [T, h, w, 3] the coarse clip.
    fine: [T, H, W, 3] what a network made of it.
    hr: [T, H, W, 3] the true clip.
    num_frames: n, spread over the clip; fewer where it is shorter.
  """
  scale = hr.shape[-3] // lr.shape[-3]
  shown = np.unique(np.linspace(0, len(lr) - 1, num_frames).round().astype(int))
  lr, fine, hr = (jnp.asarray(clip)[shown] for clip in (lr, fine, hr))
  fine = jnp.clip(fine, 0, 1)
  rows = (
    lr.repeat(scale, axis=-3).repeat(scale, axis=-2),
    bicubic(lr, scale),
    fine,
    hr,
    jnp.clip(GAIN * jnp.abs(fine - hr), 0, 1),
  )
  return jnp.concatenate(
    [jnp.concatenate(list(row), axis=-2) for row in rows], axis=-3
  )
