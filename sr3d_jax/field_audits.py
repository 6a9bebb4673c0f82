"""Asks a trained network what a mean PSNR of stills does not tell.

Whether an enlarged picture explains the one it was made of, whether films
flicker, whether training was calm. Every audit returns plain figures by name.
"""

import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import backproject, degrade, fields, films, image, metrics
from sr3d_jax.types import Array, FieldNetwork, Params


def back_projection(
  network: FieldNetwork,
  params: Params,
  squares: Sequence[np.ndarray],
  *,
  scales: Sequence[float] = (2.0, 4.0),
  steps: Sequence[int] = (0, 1, 3),
) -> dict[str, dict[str, float]]:
  """PSNR of what is enlarged, and of what that shrinks to, by steps taken."""
  found = {}
  for scale in scales:
    border = int(np.ceil(scale))
    pairs = degrade.frozen_pairs(squares, scale)
    enlarged = [
      fields.enlarge(network, params, lr, *hr.shape[:2], scale=scale)
      for lr, hr in pairs
    ]
    for num in steps:
      rows = []
      for picture, (lr, hr) in zip(enlarged, pairs):
        picture = backproject.back_project(picture, lr, num_steps=num)
        picture = jnp.clip(picture, 0, 1)
        there = metrics.psnr(picture, hr, shave=border)
        rows.append((there, metrics.lr_consistency_psnr(picture, lr)))
      hr_psnr, lr_psnr = np.mean(np.array(rows), axis=0)
      found[f'x{scale:g}, {num} steps'] = {
        'hr_psnr': float(hr_psnr),
        'lr_psnr': float(lr_psnr),
      }
  return found


def film(
  network: FieldNetwork,
  params: Params,
  squares: Sequence[np.ndarray],
  *,
  motions: Sequence[str] = films.MOTIONS,
  scale: float = 4.0,
  num_frames: int = 8,
  speed: float = 1.3,
) -> dict[str, dict[str, float]]:
  """How films flicker that are enlarged frame by frame, or moved as a field.

  Args:
    network: where it need not draw whole grids, its 'field' of the first
      frame is asked along the motion too.
    params: of the network.
    squares: stills.
    motions: words of `films.motion`.
    scale: at which each frame is made small.
    num_frames: of a film.
    speed: px of the still a frame.

  Returns:
    {motion, who: mean of `flicker`}.
  """
  border = int(np.ceil(1.5 * speed * num_frames + 2 * scale))
  found = {}
  for word in motions:
    rows = []
    for still in squares:
      truth, matrices = _shoot(still, word, num_frames, speed, scale)
      shown = _films(network, params, truth, matrices, scale)
      rows.append(
        {
          who: flicker(frames, truth, matrices, border=border)
          for who, frames in shown.items()
        }
      )
    for who in rows[0]:
      found[f'{word}, {who}'] = metrics.means(
        {str(i): row[who] for i, row in enumerate(rows)}
      )
  return found


def flicker(
  frames: Array, truth: Array, matrices: np.ndarray, *, border: int
) -> dict[str, float]:
  """How an enlarged film differs from the true one, and from itself.

  Args:
    frames: [T, H, W, 3].
    truth: likewise.
    matrices: [T, 3, 3], the motion.
    border: px to ignore: what comes into view, and goes.

  Returns:
    'psnr', dB; 'tpsnr', dB, of the changes from frame to frame; 'warp_error',
    root mean square of those of the aligned film, and 'temporal_std' of its
    pixels over time, both in levels of 255.
  """
  inside = functools.partial(metrics.crop, shave=border)
  aligned = inside(films.align(frames, matrices))
  changes = [jnp.diff(inside(x), axis=0) for x in (frames, truth)]
  return {
    'psnr': float(jnp.mean(metrics.psnr(frames, truth, shave=border))),
    'tpsnr': float(jnp.mean(metrics.psnr(*changes))),
    'warp_error': _levels(jnp.diff(aligned, axis=0)),
    'temporal_std': _levels(aligned - jnp.mean(aligned, axis=0)),
  }


def unrest(curves: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
  """How calmly a network was trained.

  Args:
    curves: {scalar: mean of each chunk}, of a run.

  Returns:
    Of the later half of 'l1' and of 'gradient' each 'spread', the deviation
    from a straight line by the mean, and 'spike', the greatest by the median.
  """
  found = {}
  for name in ('l1', 'gradient'):
    curve = [value for value in curves.get(name, ()) if value is not None]
    late = np.array(curve[len(curve) // 2 :])
    if len(late) < 3:
      raise ValueError(
        f'the later half of the curve of {name!r} must have 3 chunks at least, '
        f'got {len(late)}: train anew, for longer'
      )
    steps = np.arange(len(late))
    line = np.polyval(np.polyfit(steps, late, 1), steps)
    found[f'{name} spread'] = float(np.std(late - line) / late.mean())
    found[f'{name} spike'] = float(late.max() / np.median(late))
  return found


def _shoot(still, word: str, num_frames: int, speed: float, scale: float):
  """A film [T, H, W, 3] of a still, and its motion."""
  height, width = degrade.frozen_pairs([still], scale)[0][1].shape[:2]
  matrices = films.motion(
    word, num_frames=num_frames, speed=speed, height=height, width=width
  )
  stills = jnp.broadcast_to(still, (num_frames, *still.shape))
  frames = films.look(stills, jnp.asarray(matrices), height, width)
  return jnp.clip(frames, 0, 1), matrices


def _films(
  network: FieldNetwork,
  params: Params,
  truth: Array,
  matrices: np.ndarray,
  scale: float,
) -> dict[str, Array]:
  """The film as it is, and enlarged in several ways."""
  size = truth.shape[1:3]
  pairs = degrade.frozen_pairs(np.asarray(truth), scale)
  lows = jnp.stack([lr for lr, _ in pairs])
  frames = [
    fields.enlarge(network, params, lr, *size, scale=scale) for lr in lows
  ]
  found = {
    'truth': truth,
    'bicubic': jnp.clip(image.resize(lows, *size), 0, 1),
    'frames': jnp.clip(jnp.stack(frames), 0, 1),
  }
  if network.halo is not None:
    decode = jax.jit(network.decode)
    features = jax.jit(network.encode)(params, lows[:1])
    coarse = np.diag([lows.shape[2] / size[1], lows.shape[1] / size[0], 1.0])
    moved = [
      decode(params, features, fields.warped(coarse @ matrix, *size))[0]
      for matrix in matrices
    ]
    found['field'] = jnp.clip(jnp.stack(moved), 0, 1)
  return found


def _levels(x: Array) -> float:
  return float(255 * jnp.sqrt(jnp.mean(x**2)))
