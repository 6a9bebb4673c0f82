"""Random cuts of pairs of clips that `experiments.make_vsr_pairs` wrote.

Batch i depends on the seed and i alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sr3d_jax import patches
from sr3d_jax.degrade import shrink_levels
from sr3d_jax.io import paths, records

AUGMENTATIONS = ('flip_rows', 'flip_columns', 'transpose', 'reverse')
REVERSE = 3  # the last; the first three are those of `patches.random_turn`


def make(
  *,
  roots: tuple[str, ...],
  scale: int = 4,
  patch: int = 32,
  num_frames: int = 7,
  batch_size: int = 4,
  strides: tuple[int, ...] = (1, 2),
  sources: Mapping[str, float] | None = None,
  held_out: Sequence[str] = (),
  num_splats: tuple[float, float] | None = None,
  photo_share: float = 0.0,
  augment: Sequence[str] = AUGMENTATIONS,
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
    sources: {pattern: weight} of the names of what pairs were made of: how
      often cuts come of those that a pattern is found in; the first counts, and
      what none is found in is left out. None: all cuts are alike.
    held_out: patterns of sources that are left out.
    num_splats: fewest and most that a coarse scene may have; None: any.
    photo_share: chance that the coarse cut is the fine one, shrunk, as if its
      scene were perfect.
    augment: some of `AUGMENTATIONS`: what chance does to cuts.
    seed: of all choices.

  Returns:
    step -> {'lr': [B, T, p, p, 3], 'hr': [B, T, sp, sp, 3], both in [0, 1],
    'flow': [B, T - 1, p, p, 2], NaN: it is not known}, float32.
  """
  if not 0 <= photo_share <= 1:
    raise ValueError(f'photo_share must lie in [0, 1], got {photo_share}')
  if set(augment) - set(AUGMENTATIONS):
    raise ValueError(
      f'augment must be some of {", ".join(AUGMENTATIONS)}, got '
      f'{", ".join(augment)}'
    )
  wanted = [name in augment for name in AUGMENTATIONS]
  pairs = chosen(read(roots), held_out=held_out, num_splats=num_splats)
  weights = {'': 1.0} if sources is None else sources
  groups = {pattern: [] for pattern, weight in weights.items() if weight > 0}
  for pair in pairs:
    lr, hr = pair['lr'], pair['hr']
    _check_pair(lr, hr, scale)
    group = _group(pair, groups)
    if group is not None and min(lr.shape[1:3]) >= patch:
      groups[group] += [
        (lr, hr, s) for s in strides if len(lr) > (num_frames - 1) * s
      ]
  for pattern, choices in groups.items():
    if not choices:
      of = f' whose source has {pattern!r}' if pattern else ''
      raise ValueError(
        f'none of {len(pairs)} pairs{of} has {num_frames} frames of {patch} '
        f'coarse px, {min(strides)} apart: ask for fewer or smaller ones, or '
        'for other sources'
      )
  if not groups:
    raise ValueError(f'sources must have a weight above 0, got {dict(weights)}')
  mixed = list(groups.values())
  shares = np.array([weights[pattern] for pattern in groups], float)
  shares /= shares.sum()

  def sample(rng):
    # One draw for all pairs alike keeps what runs without sources have seen.
    choices = mixed[rng.choice(len(mixed), p=shares) if sources else 0]
    lr, hr, stride = choices[rng.integers(len(choices))]
    first = rng.integers(len(lr) - (num_frames - 1) * stride)
    frames = first + stride * np.arange(num_frames)
    is_reversed = rng.integers(2) and wanted[REVERSE]
    frames = frames[::-1] if is_reversed else frames
    corner = patches.random_corner(rng, lr.shape[1:], patch)
    turn = tuple(a and b for a, b in zip(patches.random_turn(rng), wanted))
    fine = tuple(scale * start for start in corner)
    lr, hr = (
      np.stack([patches.cut(clip[t], at, side, turn) for t in frames])
      for clip, at, side in ((lr, corner, patch), (hr, fine, scale * patch))
    )
    if photo_share and rng.random() < photo_share:
      lr = np.stack([shrink_levels(frame, patch, patch) for frame in hr])
    return lr, hr

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


def files(roots: Sequence[str]) -> list[Path]:
  """The files of pairs in some folders; there are some."""
  found = [
    file
    for root in roots
    for file in sorted(paths.data_path(root).glob('*.array_record'))
  ]
  if not found:
    raise ValueError(
      f'{", ".join(roots)} hold no .array_record files: make them by '
      'experiments.make_vsr_pairs'
    )
  return found


def read(roots: Sequence[str]) -> list[dict[str, Any]]:
  """The pairs in some folders: lr, hr [T, H, W, 3] uint8 and their meta."""
  return list(records.load(files(roots)))


def chosen(
  pairs: Sequence[Mapping[str, Any]],
  *,
  held_out: Sequence[str] = (),
  num_splats: tuple[float, float] | None = None,
) -> list[Mapping[str, Any]]:
  """Leaves out pairs by their source or their number of splats, see `make`."""
  for pattern in held_out:
    if not any(re.search(pattern, source(pair)) for pair in pairs):
      raise ValueError(
        f'no pair has a source with {pattern!r}, which was to be held out: '
        f'there are {", ".join(sorted(map(source, pairs)))}'
      )
  kept = [
    pair
    for pair in pairs
    if not any(re.search(pattern, source(pair)) for pattern in held_out)
  ]
  if num_splats is not None:
    least, most = num_splats
    counts = sorted({pair['meta']['num_splats'] for pair in kept})
    kept = [p for p in kept if least <= p['meta']['num_splats'] <= most]
    if not kept:
      raise ValueError(
        f'no pair has {least:g} to {most:g} splats: there are some of '
        f'{", ".join(map(str, counts))}'
      )
  if not kept:
    raise ValueError(
      f'all {len(pairs)} pairs are held out: none is left to learn from'
    )
  return kept


def source(pair: Mapping[str, Any]) -> str:
  """What a pair was made of."""
  return pair['meta'].get('source', '')


def _group(pair: Mapping[str, Any], patterns: Sequence[str]) -> str | None:
  found = (p for p in patterns if re.search(p, source(pair)))
  return next(found, None)


def _check_pair(lr: np.ndarray, hr: np.ndarray, scale: int) -> None:
  wanted = (lr.shape[0], scale * lr.shape[1], scale * lr.shape[2], 3)
  if hr.shape != wanted:
    raise ValueError(
      f'a pair has clips {lr.shape} and {hr.shape}: at scale {scale} the fine '
      f'one would be {wanted}; they were made for another scale'
    )
