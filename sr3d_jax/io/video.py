"""Video files, through PyAV: H.264 in the form that every browser plays."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from sr3d_jax.files import replacing

# Visually lossless: splats shimmer where the encoder is stingy.
_OPTIONS = {'crf': '16', 'preset': 'medium'}
_BT709 = 1  # the number of the primaries and of the transfer function


def save(path: str | os.PathLike, frames: np.ndarray, fps: float = 30) -> None:
  """Writes an mp4 (yuv420p, BT.709, limited range); it appears whole or not.

  Chroma is stored at half the resolution, so both sides must be even: an odd
  picture gets its last row or column twice, and no pixel is lost.

  Args:
    path: where to.
    frames: [T, H, W, 3], uint8, or float in [0, 1].
    fps: frames a second.
  """
  frames = np.asarray(frames)
  if frames.ndim != 4 or frames.shape[-1] != 3 or frames.size == 0:
    raise ValueError(
      f'frames must be [T, H, W, 3] and hold some, got shape {frames.shape}.'
    )
  if frames.dtype != np.uint8:
    frames = np.round(np.clip(frames, 0, 1) * 255).astype(np.uint8)
  odd_row, odd_column = frames.shape[1] % 2, frames.shape[2] % 2
  padding = ((0, 0), (0, odd_row), (0, odd_column), (0, 0))
  frames = np.pad(frames, padding, mode='edge')
  with replacing(path) as part:
    _encode(part, frames, _as_fraction(fps))


def load(path: str | os.PathLike) -> np.ndarray:
  """Reads a film's frames: [T, H, W, 3] uint8.

  Raises:
    ValueError: not a film that PyAV can read.
  """
  try:
    with av.open(path) as container:
      frames = [
        frame.reformat(
          format='rgb24', src_colorspace=Colorspace.ITU709
        ).to_ndarray()
        for frame in container.decode(video=0)
      ]
  except (av.error.FFmpegError, IndexError) as error:
    if isinstance(error, FileNotFoundError):
      raise
    raise ValueError(f'{path} is no film that can be read: {error}') from None
  if not frames:
    raise ValueError(f'{path} has no frames')
  return np.stack(frames)


def _encode(path: Path, frames: np.ndarray, rate: Fraction) -> None:
  """Writes [T, H, W, 3] uint8 frames whose sides are even."""
  # The index goes to the front, so that playing starts before all is loaded.
  options = {'movflags': 'faststart'}
  with av.open(path, 'w', format='mp4', options=options) as container:
    stream = container.add_stream('libx264', rate=rate, options=_OPTIONS)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = 'yuv420p'
    stream.codec_context.colorspace = Colorspace.ITU709
    stream.codec_context.color_range = ColorRange.MPEG
    stream.codec_context.color_primaries = _BT709
    stream.codec_context.color_trc = _BT709
    for image in frames:
      container.mux(stream.encode(_to_yuv(image)))
    container.mux(stream.encode())


def _as_fraction(fps: float) -> Fraction:
  """Containers count in fractions: 29.97 is 2997/100."""
  return Fraction(fps).limit_denominator(1001)


def _to_yuv(image: np.ndarray) -> av.VideoFrame:
  frame = av.VideoFrame.from_ndarray(image, format='rgb24')
  # The default is BT.601, which shifts greens wherever BT.709 is assumed.
  return frame.reformat(
    format='yuv420p',
    dst_colorspace=Colorspace.ITU709,
    src_color_range=ColorRange.JPEG,
    dst_color_range=ColorRange.MPEG,
  )
