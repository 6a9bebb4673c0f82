"""Encoders: images [B, H, W, 3] in [-1, 1] to features [B, H, W, C].

What the networks that enlarge by any scale have in common; EDSR puts its pixel
shuffle on top. `EDSR_NAMES` and `RDN_NAMES` give the published names of their
parameters and may be joined: no row of one meets a name of the other.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen import initializers

from sr3d_jax.models.blocks import conv
from sr3d_jax.types import Array

# PyTorch's own: weights and biases uniform in +-1 / sqrt(fan in).
torch_kernel = initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')

# Our modules to those of published state dicts, below a prefix that differs.
EDSR_NAMES = (
  (r'head\.', 'head.0.'),
  (r'block(\d+)\.conv1\.', r'body.\1.body.0.'),
  (r'block(\d+)\.conv2\.', r'body.\1.body.2.'),
  (r'block(\d+)\.(weight|bias)$', r'body.\1.\2'),
)
RDN_NAMES = (
  (r'shallow(\d)\.', r'SFENet\1.'),
  (r'dense(\d+)\.conv(\d+)\.', r'RDBs.\1.convs.\2.conv.0.'),
  (r'dense(\d+)\.fuse\.', r'RDBs.\1.LFF.'),
  (r'fuse(\d)\.', r'GFF.\1.'),
)
PUBLISHED = {'name': 'edsr', 'mean_shift': True}  # EDSR-baseline


def torch_bias(fan_in: int) -> initializers.Initializer:
  """The bias that PyTorch gives a layer of so many inputs to each output."""
  bound = fan_in**-0.5
  return lambda key, shape, dtype: jax.random.uniform(
    key, shape, dtype, -bound, bound
  )


def torch_conv(features: int, inputs: int, size: int = 3, **kwargs) -> nn.Conv:
  """A convolution that starts as PyTorch's."""
  return conv(
    features,
    size,
    kernel_init=torch_kernel,
    bias_init=torch_bias(inputs * size * size),
    **kwargs,
  )


def make(*, name: str = 'edsr', **sizes) -> nn.Module:
  """Makes an encoder of `ENCODERS` by name; `sizes` are its attributes."""
  if name not in ENCODERS:
    raise ValueError(
      f'unknown encoder {name!r}: choose from {", ".join(ENCODERS)}'
    )
  return ENCODERS[name](**sizes)


class EDSR(nn.Module):
  """Residual blocks without norms (Lim et al. 2017), without the upsampler.

  Attributes:
    channels: of the features.
    num_blocks: residual blocks.
    residual_scale: of each block's correction.
    mean_shift: whether to hold the 24 numbers of the published checkpoints'
      mean shift, which the encoder never uses.
  """

  channels: int = 64
  num_blocks: int = 16
  residual_scale: float = 1.0
  mean_shift: bool = False
  dtype: str | None = None

  @property
  def radius(self) -> int:
    """Pixels on each side that a feature depends on."""
    return 2 + 2 * self.num_blocks

  @nn.compact
  def __call__(self, images: Array) -> Array:
    width = self.channels
    if self.mean_shift:
      _MeanShift(name='sub_mean')()
      _MeanShift(name='add_mean')()

    def layer(name: str, inputs: int = width) -> nn.Conv:
      return torch_conv(width, inputs, dtype=self.dtype, name=name)

    shallow = layer('head', images.shape[-1])(images)
    x = shallow
    for i in range(self.num_blocks):
      x = _Block(self.residual_scale, self.dtype, name=f'block{i}')(x)
    # published as one block more
    return shallow + layer(f'block{self.num_blocks}')(x)


class _Block(nn.Module):
  """x + scale conv(relu(conv(x)))."""

  scale: float
  dtype: str | None

  @nn.compact
  def __call__(self, x: Array) -> Array:
    width = x.shape[-1]
    y = torch_conv(width, width, dtype=self.dtype, name='conv1')(x)
    y = torch_conv(width, width, dtype=self.dtype, name='conv2')(nn.relu(y))
    return x + self.scale * y


class _MeanShift(nn.Module):
  """Holds a 1 x 1 convolution that does nothing here."""

  @nn.compact
  def __call__(self) -> None:
    self.param('kernel', initializers.zeros, (1, 1, 3, 3))
    self.param('bias', initializers.zeros, (3,))


class RDN(nn.Module):
  """Residual dense blocks (Zhang et al. 2018), without the upsampler.

  The defaults are configuration B of LIIF and its followers: 22.0 M parameters.

  Attributes:
    channels: of the features.
    num_blocks: dense blocks.
    num_layers: convolutions of each.
    growth: channels that each of them adds.
  """

  channels: int = 64
  num_blocks: int = 16
  num_layers: int = 8
  growth: int = 64
  dtype: str | None = None

  @property
  def radius(self) -> int:
    """Pixels on each side that a feature depends on."""
    return 3 + self.num_blocks * self.num_layers

  @nn.compact
  def __call__(self, images: Array) -> Array:
    def layer(name: str, x: Array, size: int = 3) -> Array:
      return torch_conv(
        self.channels, x.shape[-1], size, dtype=self.dtype, name=name
      )(x)

    shallow = layer('shallow1', images)
    x, outputs = layer('shallow2', shallow), []
    for i in range(self.num_blocks):
      x = _DenseBlock(
        self.num_layers, self.growth, self.dtype, name=f'dense{i}'
      )(x)
      outputs.append(x)
    x = layer('fuse0', jnp.concatenate(outputs, axis=-1), size=1)
    return shallow + layer('fuse1', x)


class _DenseBlock(nn.Module):
  """Each convolution sees what went in and all that came out before it."""

  num_layers: int
  growth: int
  dtype: str | None

  @nn.compact
  def __call__(self, inputs: Array) -> Array:
    def layer(name: str, features: int, x: Array, size: int = 3) -> Array:
      return torch_conv(
        features, x.shape[-1], size, dtype=self.dtype, name=name
      )(x)

    x = inputs
    for i in range(self.num_layers):
      y = nn.relu(layer(f'conv{i}', self.growth, x))
      x = jnp.concatenate([x, y], axis=-1)
    return inputs + layer('fuse', inputs.shape[-1], x, size=1)


ENCODERS = {'edsr': EDSR, 'rdn': RDN}
