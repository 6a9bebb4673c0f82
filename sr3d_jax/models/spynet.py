"""SPyNet: optical flow from coarse to fine (Ranjan and Black 2017).

The copy that BasicVSR carries: seven by seven convolutions, six levels, frames
resized to whole multiples of 32 px. Flows are as in `warp`.

An odd one is ours: what a level adds changes its sign when its two pictures
change places, so that it adds nothing where they are equal. It is learnt in
hundreds of steps where the other takes tens of thousands.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from sr3d_jax import image, warp
from sr3d_jax.models.blocks import conv
from sr3d_jax.types import Array

NUM_LEVELS = 6
HIDDEN = (32, 64, 32, 16)
# of ImageNet, as published
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


class SPyNet(nn.Module):
  """Finds where each pixel of a frame lies in another one.

  Attributes:
    hidden: channels between the convolutions of each level.
    num_levels: each of twice the size of the one before; frames are resized to
      whole multiples of 2^(num_levels - 1).
    is_odd: see above.
  """

  hidden: tuple[int, ...] = HIDDEN
  num_levels: int = NUM_LEVELS
  is_odd: bool = False

  @nn.compact
  def __call__(self, frames: Array, others: Array) -> Array:
    """Gives the flow [B, H, W, 2] from frames [B, H, W, 3] into others."""
    height, width = frames.shape[1:3]
    whole = image.ragged_size((height, width), 2 ** (self.num_levels - 1))
    frames, others = (
      _pyramid(_resize(x, *whole), self.num_levels) for x in (frames, others)
    )
    coarsest = frames[0].shape[:3]
    flow = jnp.zeros((*coarsest, 2))
    for level, (frame, other) in enumerate(zip(frames, others)):
      flow = _doubled(flow) if level else flow
      aligned = warp.by_flow(other, flow, beyond='edge')
      add = _Level(self.hidden, name=f'level{level}')
      if self.is_odd:
        flow = flow + _odd(add, frame, aligned)
      else:
        flow = flow + add(jnp.concatenate([frame, aligned, flow], axis=-1))
    stretch = jnp.array([width / whole[1], height / whole[0]])
    return _resize(flow, height, width) * stretch


class _Level(nn.Module):
  """What the flow lacks; convolutions are numbered as in PyTorch's sequence."""

  hidden: tuple[int, ...]

  @nn.compact
  def __call__(self, x: Array) -> Array:
    for i, channels in enumerate(self.hidden):
      x = nn.relu(conv(channels, 7, name=f'conv{2 * i}')(x))
    return conv(2, 7, name=f'conv{2 * len(self.hidden)}')(x)


def _odd(level: nn.Module, frame: Array, aligned: Array) -> Array:
  """Half of what changes when the pictures change places, in one batch."""
  mean, difference = 0.5 * (frame + aligned), frame - aligned
  both = jnp.concatenate([mean, difference], -1)
  swapped = jnp.concatenate([mean, -difference], -1)
  ahead, back = jnp.split(level(jnp.concatenate([both, swapped])), 2)
  return 0.5 * (ahead - back)


def _resize(x: Array, height: int, width: int) -> Array:
  if x.shape[1:3] == (height, width):
    return x
  return image.resize(x, height, width, method='bilinear', antialias=False)


def _pyramid(frames: Array, num_levels: int) -> list[Array]:
  """Normalised frames, each half of the next: the coarsest comes first."""
  levels = [(frames - MEAN) / STD]
  for _ in range(num_levels - 1):
    levels.append(nn.avg_pool(levels[-1], (2, 2), strides=(2, 2)))
  return levels[::-1]


def _doubled(flow: Array) -> Array:
  """The flow of pictures of twice the size; corner pixels keep their values."""
  rows, columns = (_between_corners(size) for size in flow.shape[1:3])
  flow = jnp.einsum('oh,bhwc->bowc', rows, flow, precision='highest')
  return 2 * jnp.einsum('pw,bowc->bopc', columns, flow, precision='highest')


def _between_corners(size: int) -> np.ndarray:
  """[2 size, size] linear weights from the first pixel to the last."""
  position = np.linspace(0, size - 1, 2 * size)[:, None]
  weights = np.maximum(1 - np.abs(position - np.arange(size)), 0)
  return weights.astype(np.float32)
