"""Random clips of films and of photographs that move, for video SR.

A photograph becomes a clip by a camera that pans, turns and zooms over it, so
that the flow between its frames is known. A film's clip has unknown flow.

Batch i depends on the seed and i alone.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from sr3d_jax import image, patches
from sr3d_jax.degrade import shrink_levels
from sr3d_jax.io import images, paths, photographs


def make(
  *,
  films: tuple[str, ...] = (),
  photos: tuple[str, ...] = (),
  photo_share: float = 0.5,
  scale: int = 4,
  patch: int = 32,
  num_frames: int = 7,
  batch_size: int = 4,
  strides: tuple[int, ...] = (1,),
  shift: float = 3.0,
  turn: float = 3.0,
  zoom: float = 0.03,
  max_side: int = 2048,
  seed: int = 0,
) -> Callable[[int], dict[str, np.ndarray]]:
  """Reads films and photographs and makes a stream of pairs of clips.

  Low resolution is each fine frame shrunk by Pillow's antialiased bicubic, of 8
  bits. Clips are flipped and transposed, films reversed, at random.

  Args:
    films: folders of folders of frames, by name in their order; absolute or
      below the data folder. They are kept in memory as 8 bits.
    photos: folders and datasets, see `photographs.read`.
    photo_share: chance that a clip is of a photograph, where there are both.
    scale: whole shrinking factor.
    patch: side of the coarse frames, px.
    num_frames: T of a clip.
    batch_size: clips in a batch.
    strides: steps between the frames of a film, of which each clip takes one.
    shift: most that a photograph moves, coarse px a frame along each axis.
    turn: most that it turns, degrees a frame.
    zoom: most that it grows or shrinks, of its size a frame.
    max_side: larger photographs are shrunk to this side, px.
    seed: of all choices.

  Returns:
    step -> {'lr': [B, T, p, p, 3], 'hr': [B, T, sp, sp, 3], both in [0, 1],
    'flow': [B, T - 1, p, p, 2] (x, y) from each frame into the next, coarse px,
    NaN for films}, float32.
  """
  if not films and not photos:
    raise ValueError('give films, photos or both: there is nothing to show')
  if scale < 1 or scale != int(scale) or num_frames < 1:
    raise ValueError(
      f'scale and num_frames must be whole and at least 1, got {scale} and '
      f'{num_frames}'
    )
  if not strides or min(strides) < 1 or not 0 <= photo_share <= 1:
    raise ValueError(
      'strides must be some numbers from 1, and photo_share lie in [0, 1], got '
      f'{tuple(strides)} and {photo_share}'
    )
  side = scale * patch
  sources = []
  if films:
    share = 1 - photo_share if photos else 1.0
    sources.append((share, _filmed(films, strides, side, num_frames)))
  if photos:
    share = photo_share if films else 1.0
    limits = np.array([scale * shift, scale * shift, np.radians(turn), zoom])
    levels = photographs.read_levels(photos, max_side)
    sources.append((share, _photographed(levels, limits, side, num_frames)))
  shares, samplers = zip(*sources)

  def sample(rng):
    hr, flow = samplers[rng.choice(len(samplers), p=shares)](rng)
    lr = np.stack([shrink_levels(frame, patch, patch) for frame in hr])
    if flow is None:
      known = np.full((num_frames - 1, patch, patch, 2), np.nan)
    else:
      known = _at_centers(flow, patch, scale)
    return _oriented(patches.random_turn(rng), lr, hr, known)

  def batch(step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng((seed, step))
    lr, hr, flow = map(np.stack, zip(*(sample(rng) for _ in range(batch_size))))
    return {
      'lr': lr.astype(np.float32) / 255,
      'hr': hr.astype(np.float32) / 255,
      'flow': flow.astype(np.float32),
    }

  return batch


def _filmed(roots, strides, side, num_frames) -> Callable:
  """rng -> a clip cut out of a film, and no flow."""
  found = [film for root in roots for film in _read_films(root)]
  choices = [
    (film, stride)
    for film in found
    for stride in strides
    if len(film) > (num_frames - 1) * stride and min(film.shape[1:3]) >= side
  ]
  if not choices:
    longest = max(film.shape[0] for film in found)
    raise ValueError(
      f'no film has {num_frames} frames of {side} px, {min(strides)} apart: '
      f'the longest has {longest}; ask for fewer, smaller or nearer ones'
    )

  def sample(rng):
    film, stride = choices[rng.integers(len(choices))]
    first = rng.integers(len(film) - (num_frames - 1) * stride)
    frames = film[first : first + (num_frames - 1) * stride + 1 : stride]
    frames = frames[::-1] if rng.integers(2) else frames
    top, left = patches.random_corner(rng, film.shape[1:], side)
    return frames[:, top : top + side, left : left + side], None

  return sample


def _read_films(root: str) -> list[np.ndarray]:
  """[T, H, W, 3] uint8 of each folder of frames."""
  folder = paths.data_path(root)
  folders = sorted(path for path in Path(folder).iterdir() if path.is_dir())
  if not folders:
    raise ValueError(
      f'{folder} has no folders: a film is a folder of frames, and a root is a '
      'folder of films'
    )
  return [_read_frames(film) for film in folders]


def _read_frames(folder: Path) -> np.ndarray:
  frames = [
    np.asarray(image.to_uint8(images.load(file)[..., :3]))
    for file in images.list_images(folder)
  ]
  sizes = {frame.shape for frame in frames}
  if len(sizes) > 1:
    raise ValueError(
      f'the frames of {folder} differ in size: {", ".join(map(str, sizes))}'
    )
  return np.stack(frames)


class _Motion(NamedTuple):
  """From a frame to its photograph: matrix (x - center) + at, px."""

  matrix: np.ndarray  # [T, 2, 2] turn and zoom
  at: np.ndarray  # [T, 2] where the frame's centre lies, from the first's
  center: float  # of the frame along both axes


def _photographed(levels, limits, side, num_frames) -> Callable:
  """rng -> a clip of a photograph that moves, and its motion."""
  photos = [Image.fromarray(photo) for photo in levels]
  num_steps = num_frames - 1
  reach = side * np.exp(limits[3] * num_steps) * 2**0.5
  reach += limits[:2].max() * num_steps
  large = [photo for photo in photos if min(photo.size) >= reach]
  advice = (
    f'{round(reach)} px wide and high, what a clip of {num_frames} frames may '
    'need: give other folders, fewer frames, a smaller patch or less motion'
  )
  if not large:
    raise ValueError(f'no photograph is {advice}')
  if len(large) < len(photos):
    warnings.warn(
      f'only {len(large)} of {len(photos)} photographs are {advice}',
      stacklevel=3,
    )
  areas = np.array([photo.width * photo.height for photo in large], float)
  chances = areas / areas.sum()

  def sample(rng):
    photo = large[rng.choice(len(large), p=chances)]
    motion = _move(rng, limits, side, num_frames)
    corners = np.array([[x, y] for x in (0, side) for y in (0, side)])
    covered = _to_photo(motion, corners[None])
    low, high = covered.min(axis=(0, 1)), covered.max(axis=(0, 1))
    origin = rng.uniform(-low, np.array(photo.size) - high)
    frames = [_draw(photo, motion, t, origin, side) for t in range(num_frames)]
    return np.stack(frames), motion

  return sample


def _move(rng, limits, side, num_frames) -> _Motion:
  """Draws a motion whose speed changes evenly from the first to the last."""
  speeds = limits * rng.uniform(-1, 1, (2, 4))
  share = np.linspace(0, 1, max(num_frames - 1, 1))[:, None]
  steps = (1 - share) * speeds[0] + share * speeds[1]
  path = np.concatenate([np.zeros((1, 4)), np.cumsum(steps, axis=0)])
  path = path[:num_frames]
  cos, sin = np.cos(path[:, 2]), np.sin(path[:, 2])
  turns = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
  return _Motion(
    np.exp(path[:, 3])[:, None, None] * turns, path[:, :2], side / 2
  )


def _to_photo(motion: _Motion, points: np.ndarray) -> np.ndarray:
  """[T, P, 2] of points [T or 1, P, 2] in the frames."""
  turned = (points - motion.center) @ np.swapaxes(motion.matrix, -2, -1)
  return turned + motion.at[:, None]


def _draw(photo, motion: _Motion, t: int, origin, side: int) -> np.ndarray:
  """One frame [side, side, 3] uint8."""
  (a, b), (d, e) = motion.matrix[t]
  shift = motion.at[t] + origin - motion.matrix[t] @ (2 * [motion.center])
  affine = (a, b, shift[0], d, e, shift[1])
  return np.asarray(
    photo.transform(
      (side, side), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC
    )
  )


def _at_centers(motion: _Motion, patch: int, scale: int) -> np.ndarray:
  """[T - 1, p, p, 2] flow at the coarse pixels' centres, coarse px."""
  centers = scale * (np.arange(patch) + 0.5)
  points = np.stack(np.meshgrid(centers, centers), axis=-1).reshape(1, -1, 2)
  seen = _to_photo(motion, points)[:-1] - motion.at[1:, None]
  back = np.linalg.inv(motion.matrix[1:])
  arrived = seen @ np.swapaxes(back, -2, -1) + motion.center
  flow = (arrived - points) / scale
  return flow.reshape(-1, patch, patch, 2)


def _oriented(turn, lr, hr, flow) -> tuple[np.ndarray, ...]:
  """Flips and transposes clips, as `patches.orient` does, and their flow."""
  flip_rows, flip_columns, transpose = turn
  lr, hr, flow = (
    np.stack([patches.orient(frame, turn) for frame in clip])
    if len(clip)
    else clip
    for clip in (lr, hr, flow)
  )
  flow = flow * np.where([flip_columns, flip_rows], -1, 1)
  return lr, hr, flow[..., ::-1] if transpose else flow
