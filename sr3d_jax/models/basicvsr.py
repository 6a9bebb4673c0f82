"""BasicVSR and RealBasicVSR: video super-resolution that remembers, x4.

BasicVSR (Chan et al. 2021) carries features through the clip, backward and then
forward, and aligns them by optical flow. RealBasicVSR (Chan et al. 2022) cleans
the frames before it does so. Clips [B, T, H, W, 3] in [0, 1] may have any
length; a single frame is enlarged alone.

Weights are published as basicvsr_*.pth and realbasicvsr_*.pth by OpenMMLab and
as `BasicVSR_*.pth` by BasicSR, which name the parameters differently.
"""

import flax.linen as nn
import jax.numpy as jnp
from flax.linen import initializers

from sr3d_jax import image, warp
from sr3d_jax.models import spynet
from sr3d_jax.models.blocks import conv, pixel_shuffle
from sr3d_jax.types import Array, VideoNetwork

SCALE = 4
SLOPE = 0.1  # of all leaky ReLUs
_TRUNK = (
  (r'\.conv_in\.', '.main.0.'),
  (r'\.block(\d+)\.', r'.main.2.\1.'),
)
# BasicSR's names
NAMES = (
  *_TRUNK,
  (r'^(backward|forward)\.', r'\1_trunk.'),
  (r'^up(\d)\.', r'upconv\1.'),
  (r'\.level(\d)\.conv(\d)\.', r'.basic_module.\1.basic_module.\2.'),
)
# OpenMMLab's, without and with cleaning
MM_NAMES = (
  *_TRUNK,
  (r'^(backward|forward)\.', r'\1_resblocks.'),
  (r'^up(\d)\.', r'upsample\1.upsample_conv.'),
  *(
    (
      rf'\.level(\d)\.conv{2 * i}\.',
      rf'.basic_module.\1.basic_module.{i}.conv.',
    )
    for i in range(5)
  ),
)
REAL_NAMES = (
  *MM_NAMES,
  (r'^(?!clean\.)', 'basicvsr.'),
  (r'^clean\.trunk\.', 'image_cleaning.0.'),
  (r'^clean\.conv_out\.', 'image_cleaning.1.'),
)
CONSTANTS = (
  (r'spynet\.mean$', lambda shape: spynet.MEAN.reshape(1, 3, 1, 1)),
  (r'spynet\.std$', lambda shape: spynet.STD.reshape(1, 3, 1, 1)),
)


def make(
  *,
  channels: int = 64,
  num_blocks: int = 30,
  fine_channels: int = 64,
  flow_channels: tuple[int, ...] = spynet.HIDDEN,
  flow_levels: int = spynet.NUM_LEVELS,
  odd_flow: bool = False,
  clean_blocks: int = 0,
  max_cleanings: int = 1,
  clean_enough: float = 0.0,
  unroll: int = 1,
  remat: bool = False,
  dtype: str = 'float32',
) -> VideoNetwork:
  """Makes [B, T, H, W, 3] -> [B, T, 4H, 4W, 3]; BasicVSR by default.

  Args:
    channels: of the features that are carried through the clip.
    num_blocks: residual blocks of either direction.
    fine_channels: of what is enlarged.
    flow_channels: see `SPyNet`.
    flow_levels: likewise.
    odd_flow: likewise, its `is_odd`.
    clean_blocks: residual blocks that clean the frames; 0 leaves them alone.
    max_cleanings: how often they may; published networks were trained with one.
    clean_enough: mean absolute change of a clip below which cleaning ends.
    unroll: frames that one turn of the compiled loop takes; on a CPU gradients
      are three times faster where it is the whole clip.
    remat: whether residual blocks are computed again for the gradient.
    dtype: of the convolutions but the flow's; parameters are float32.
  """
  if max_cleanings < 1:
    raise ValueError(
      f'max_cleanings must be at least 1, got {max_cleanings}: clean_blocks=0 '
      'cleans nothing'
    )
  module = _BasicVSR(
    channels,
    num_blocks,
    fine_channels,
    flow_channels,
    flow_levels,
    odd_flow,
    clean_blocks,
    max_cleanings,
    clean_enough,
    unroll,
    remat,
    jnp.dtype(dtype),
  )

  def init(key):
    return module.init(key, jnp.zeros((1, 2, 32, 32, 3)))['params']

  def clean(params, clips):
    return module.apply({'params': params}, clips, method='clean_up')

  def enlarge(params, clips):
    return module.apply({'params': params}, clips, method='enlarge')

  def flow(params, frames, others):
    return module.apply({'params': params}, frames, others, method='flow_of')

  return VideoNetwork(init, clean, enlarge, flow, SCALE)


def make_real(
  *, num_blocks: int = 20, clean_blocks: int = 20, **sizes
) -> VideoNetwork:
  """Makes RealBasicVSR, which cleans the frames; see `make`."""
  return make(num_blocks=num_blocks, clean_blocks=clean_blocks, **sizes)


class _BasicVSR(nn.Module):
  channels: int
  num_blocks: int
  fine_channels: int
  flow_channels: tuple[int, ...]
  flow_levels: int
  odd_flow: bool
  clean_blocks: int
  max_cleanings: int
  clean_enough: float
  unroll: int
  remat: bool
  dtype: jnp.dtype

  def setup(self):
    trunk = dict(
      channels=self.channels,
      num_blocks=self.num_blocks,
      remat=self.remat,
      dtype=self.dtype,
    )
    self.spynet = spynet.SPyNet(
      self.flow_channels, self.flow_levels, self.odd_flow
    )
    self.backward, self.forward = _Trunk(**trunk), _Trunk(**trunk)
    self.fusion = self._conv(self.channels, 1)
    self.up1 = self._conv(4 * self.channels)
    self.up2 = self._conv(4 * self.fine_channels)
    self.conv_hr = self._conv(self.fine_channels)
    self.conv_last = self._conv(3)
    if self.clean_blocks:
      self.clean = _Clean(**trunk | {'num_blocks': self.clean_blocks})

  def _conv(self, features: int, size: int = 3) -> nn.Conv:
    return conv(features, size, dtype=self.dtype)

  def __call__(self, clips: Array) -> Array:
    return self.enlarge(self.clean_up(clips))

  def clean_up(self, clips: Array) -> Array:
    """Adds what cleaning finds, again until a clip hardly changes."""
    if not self.clean_blocks:
      return clips
    is_left = jnp.ones((len(clips), 1, 1, 1, 1), bool)
    for _ in range(self.max_cleanings):
      change = self.clean(clips.reshape(-1, *clips.shape[2:]))
      change = change.reshape(clips.shape)
      clips = clips + jnp.where(is_left, change, 0)
      size = jnp.mean(jnp.abs(change), axis=(1, 2, 3, 4), keepdims=True)
      is_left &= size >= self.clean_enough
    return clips

  def enlarge(self, clips: Array) -> Array:
    """Carries features backward, then forward, and draws each frame of both."""
    # The ends have no neighbour to come from: there the features are zero, so
    # that the flow of a frame into itself may stand in.
    later = jnp.concatenate([clips[:, 1:], clips[:, -1:]], axis=1)
    earlier = jnp.concatenate([clips[:, :1], clips[:, :-1]], axis=1)
    nothing = jnp.zeros((*clips[:, 0].shape[:-1], self.channels), self.dtype)
    _, remembered = self._scan(_BasicVSR._backward, reverse=True)(
      self, nothing, clips, later
    )
    _, fine = self._scan(_BasicVSR._forward)(
      self, nothing, clips, earlier, remembered
    )
    return fine

  def flow_of(self, frames: Array, others: Array) -> Array:
    """Where the pixels of frames lie in others."""
    return self.spynet(frames, others)

  def _scan(self, step, reverse: bool = False):
    return nn.scan(
      step,
      variable_broadcast='params',
      split_rngs={'params': False},
      in_axes=1,
      out_axes=1,
      reverse=reverse,
      unroll=self.unroll,
    )

  def _backward(self, carried, frame, later):
    carried = self._aligned(carried, frame, later)
    carried = self.backward(_joined(frame, carried))
    return carried, carried

  def _forward(self, carried, frame, earlier, remembered):
    carried = self._aligned(carried, frame, earlier)
    carried = self.forward(_joined(frame, carried))
    x = _leaky(self.fusion(_joined(remembered, carried)))
    x = _leaky(pixel_shuffle(self.up1(x), 2))
    x = _leaky(pixel_shuffle(self.up2(x), 2))
    detail = self.conv_last(_leaky(self.conv_hr(x)))
    height, width = detail.shape[1:3]
    smooth = image.resize(
      frame, height, width, method='bilinear', antialias=False
    )
    return carried, smooth + detail.astype(jnp.float32)

  def _aligned(self, carried: Array, frame: Array, origin: Array) -> Array:
    """Features of another frame, moved to where this one shows the same."""
    flow = self.spynet(frame, origin)
    return warp.by_flow(carried, flow).astype(self.dtype)


def _joined(frame: Array, features: Array) -> Array:
  return jnp.concatenate([frame.astype(features.dtype), features], axis=-1)


def _leaky(x: Array) -> Array:
  return nn.leaky_relu(x, SLOPE)


class _Trunk(nn.Module):
  """A convolution and residual blocks, at one size."""

  channels: int
  num_blocks: int
  remat: bool
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    x = _leaky(conv(self.channels, dtype=self.dtype, name='conv_in')(x))
    block = nn.remat(_Block) if self.remat else _Block
    for i in range(self.num_blocks):
      x = block(self.dtype, name=f'block{i}')(x)
    return x


class _Block(nn.Module):
  """Two convolutions that start as hardly more than nothing."""

  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    # a tenth of Kaiming's standard deviation, 2 / fan_in being its square
    small = initializers.variance_scaling(0.02, 'fan_in', 'normal')
    options = dict(kernel_init=small, dtype=self.dtype)
    y = nn.relu(conv(x.shape[-1], name='conv1', **options)(x))
    return x + conv(x.shape[-1], name='conv2', **options)(y)


class _Clean(nn.Module):
  """What is to be added to frames [B, H, W, 3] that are noisy or blurred."""

  channels: int
  num_blocks: int
  remat: bool
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, frames: Array) -> Array:
    trunk = _Trunk(
      self.channels, self.num_blocks, self.remat, self.dtype, name='trunk'
    )
    change = conv(3, dtype=self.dtype, name='conv_out')(trunk(frames))
    return change.astype(jnp.float32)
