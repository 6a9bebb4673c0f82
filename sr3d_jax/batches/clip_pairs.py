"""Random cuts of pairs of clips that `experiments.make_vsr_pairs` wrote.

Batch i depends on the seed and i alone.
"""

from collections.abc import Callable

import numpy as np

from sr3d_jax import patches
from sr3d_jax.io import paths, records


def make(
  *,
  roots: tuple[str, ...],
  scale: int = 4,
  patch: int = 32,
  num_frames: int = 7,
  batch_size: int = 4,
  strides: tuple[int, ...] = (1, 2),
  seed: int = 0,
) -> Callable[[int], dict[str, np.ndarray]]:
  """Reads pairs and makes a stream of cuts, flipped, turned and reversed.

  Args:
    roots: folders of .array_record files, absolute or below the data folder;
      all pairs are kept in memory as 8 bits.
    scale: of the pairs.
    patch: side of the coarse cuts, px.
    num_frames: T of a cut.
    batch_size: cuts in a batch.
    strides: steps between frames, of which each cut takes one.
    seed: of all choices.

  Returns:
    step -> {'lr': [B, T, p, p, 3], 'hr': [B, T, sp, sp, 3], both in [0, 1],
    'flow': [B, T - 1, p, p, 2], NaN: it is not known}, float32.
  """
  files = [
    file
    for root in roots
    for file in sorted(paths.data_path(root).glob('*.array_record'))
  ]
  if not files:
    raise ValueError(
      f'{", ".join(roots)} hold no .array_record files: make them by '
      'experiments.make_vsr_pairs'
    )
  pairs = [(record['lr'], record['hr']) for record in records.load(files)]
  choices = []
  for lr, hr in pairs:
    _check_pair(lr, hr, scale)
    if min(lr.shape[1:3]) >= patch:
      choices += [
        (lr, hr, s) for s in strides if len(lr) > (num_frames - 1) * s
      ]
  if not choices:
    raise ValueError(
      f'none of {len(pairs)} pairs has {num_frames} frames of {patch} coarse '
      f'px, {min(strides)} apart: ask for fewer or smaller ones'
    )

  def sample(rng):
    lr, hr, stride = choices[rng.integers(len(choices))]
    first = rng.integers(len(lr) - (num_frames - 1) * stride)
    frames = first + stride * np.arange(num_frames)
    frames = frames[::-1] if rng.integers(2) else frames
    corner = patches.random_corner(rng, lr.shape[1:], patch)
    turn = patches.random_turn(rng)
    fine = tuple(scale * start for start in corner)
    return [
      np.stack([patches.cut(clip[t], at, side, turn) for t in frames])
      for clip, at, side in ((lr, corner, patch), (hr, fine, scale * patch))
    ]

  unknown = np.full((batch_size, num_frames - 1, patch, patch, 2), np.nan)

  def batch(step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng((seed, step))
    lr, hr = map(np.stack, zip(*(sample(rng) for _ in range(batch_size))))
    return {
      'lr': lr.astype(np.float32) / 255,
      'hr': hr.astype(np.float32) / 255,
      'flow': unknown.astype(np.float32),
    }

  return batch


def _check_pair(lr: np.ndarray, hr: np.ndarray, scale: int) -> None:
  wanted = (lr.shape[0], scale * lr.shape[1], scale * lr.shape[2], 3)
  if hr.shape != wanted:
    raise ValueError(
      f'a pair has clips {lr.shape} and {hr.shape}: at scale {scale} the fine '
      f'one would be {wanted}; they were made for another scale'
    )
