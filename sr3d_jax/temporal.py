"""Whether a clip flickers: each frame is compared with the next one, warped.

How frames are aligned is the caller's affair: `view_consistency.follow` goes
along the depth of a scene that does not move, `warp.follow` along optical flow.
An alignment is (t, pictures [H, W, C] like frame t + 1) -> pictures [H, W, C]
as frame t sees them, and [H, W] bool, which of it both frames see.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import image
from sr3d_jax.types import Array

Alignment = Callable[[int, Array], tuple[Array, Array]]


def warping_errors(clip: Array, align: Alignment) -> np.ndarray:
  """Measures how much each frame differs from the next one.

  E_t = mean |W(I_{t+1}) - I_t|² over the pixels that both see, and channels
  (Lai et al. 2018). Bicubic enlargements beat the truth in it, since what is
  blurred hardly changes: see `referenced_error`.

  Args:
    clip: [T, H, W, 3] in [0, 1], T at least 2.
    align: see above.

  Returns:
    [T - 1]; NaN where two frames share nothing.
  """
  if len(clip) < 2:
    raise ValueError(f'a clip has two frames at least, got {clip.shape}')
  errors = []
  for t in range(len(clip) - 1):
    warped, visible = align(t, clip[t + 1])
    errors.append(_mean_square(warped, clip[t], visible))
  return np.asarray(errors)


@jax.jit
def _mean_square(warped: Array, frame: Array, visible: Array) -> Array:
  squares = jnp.where(visible[..., None], (warped - frame) ** 2, 0.0)
  return jnp.sum(squares) / (jnp.sum(visible) * frame.shape[-1])


def warping_error(errors: np.ndarray) -> float:
  """The mean over the pairs of a clip that share something."""
  return float(np.nanmean(errors))


def referenced_error(errors: np.ndarray, truth: np.ndarray) -> float:
  """How far a clip is from changing as the true one does: mean |E_t - E*_t|.

  VideoGigaGAN (Xu et al. 2024) introduced such an error; its exact form is not
  known to us.

  Args:
    errors: [T - 1] `warping_errors` of a clip.
    truth: [T - 1] those of the true one, aligned alike.
  """
  if errors.shape != truth.shape:
    raise ValueError(
      f'the true clip must be as long, got the errors of {len(errors)} and '
      f'{len(truth)} pairs of frames'
    )
  return float(np.nanmean(np.abs(errors - truth)))


def tlpips(
  clip: Array, truth: Array, distance: Callable[[Array, Array], Array]
) -> float:
  """How far neighbours look apart, beside how far the true ones do.

  100 mean_t |d(y_t, y_{t+1}) - d(g_t, g_{t+1})| (Chu et al. 2020), of frames as
  they are: what moves is not aligned. 0 is as alive as the truth.

  Args:
    clip: [T, H, W, 3] in [0, 1], T at least 2.
    truth: of the same shape.
    distance: (frame, frame [H, W, 3]) -> [], LPIPS of AlexNet as published.
  """
  if np.shape(clip) != np.shape(truth) or len(clip) < 2:
    raise ValueError(
      'tLPIPS compares clips of one shape and two frames at least, got '
      f'{np.shape(clip)} and {np.shape(truth)}'
    )
  found, wanted = (
    np.array([float(distance(a, b)) for a, b in itertools.pairwise(frames)])
    for frames in (clip, truth)
  )
  return float(100 * np.mean(np.abs(found - wanted)))


def frame_psnr(errors: np.ndarray) -> float:
  """PSNR between neighbours, dB: that of the mean of `warping_errors`.

  Not the mean of the pairs' PSNR, which one pause of a clip makes infinite.
  """
  with np.errstate(divide='ignore'):
    return float(-10 * np.log10(np.nanmean(errors)))


def sharpness(images: Array) -> Array:
  """Variance of the luma's Laplacian, for each of [..., H, W, 3] in [0, 1].

  Whatever is blurred is steady; beside a warping error this tells how much was
  given for it.
  """
  luma = image.rgb_to_y(images)[..., 0]
  middle = luma[..., 1:-1, 1:-1]
  rows = luma[..., 2:, 1:-1] + luma[..., :-2, 1:-1]
  columns = luma[..., 1:-1, 2:] + luma[..., 1:-1, :-2]
  return jnp.var(rows + columns - 4 * middle, axis=(-2, -1))
