"""Inception v3 of 2015, whose features FID, KID and IS compare.

Szegedy et al. 2016, as TensorFlow published it on 2015-12-05; its weights are
`pt_inception-2015-12-05-6726825d.pth` of pytorch-fid, the same as those of
torch-fidelity. Beside torchvision's Inception v3 it has 1008 classes and no
auxiliary one, wants pixels in [-1, 1], its mean pools do not count the padding,
and the pool within Mixed_7c takes the largest value and not the mean.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr3d_jax import image, sampling
from sr3d_jax.types import Array, Network

SIDE = 299  # px, of the pictures that it was trained on
MIN_SIDE = 75  # px, of which the last block has one left
NUM_FEATURES, NUM_CLASSES = 2048, 1008
EPS = 1e-3  # of the normalisation
NAMES = ()  # ours are the published ones


class _Conv(NamedTuple):
  """A convolution of a block, its normalisation and its ReLU."""

  name: str  # after 'branch'
  channels: int
  size: tuple[int, int] = (1, 1)  # rows, columns
  stride: int = 1  # 2: nothing is padded


class _Fork(NamedTuple):
  """Two convolutions of one input, beside each other."""

  rows: _Conv
  columns: _Conv


class _Block(NamedTuple):
  """Branches beside each other, and last a pool."""

  branches: tuple[tuple[_Conv | _Fork, ...], ...]
  pool: str  # 'mean', 'max', or 'half', which is not projected
  pooled: int = 0  # channels after the pool


def _square(pooled: int) -> _Block:
  """Blocks 5b to 5d: 3 x 3 and 5 x 5."""
  return _Block(
    (
      (_Conv('1x1', 64),),
      (_Conv('5x5_1', 48), _Conv('5x5_2', 64, (5, 5))),
      (
        _Conv('3x3dbl_1', 64),
        _Conv('3x3dbl_2', 96, (3, 3)),
        _Conv('3x3dbl_3', 96, (3, 3)),
      ),
    ),
    'mean',
    pooled,
  )


def _long(channels: int) -> _Block:
  """Blocks 6b to 6e: 7 x 7 as a row and a column."""
  row, column = (1, 7), (7, 1)
  return _Block(
    (
      (_Conv('1x1', 192),),
      (
        _Conv('7x7_1', channels),
        _Conv('7x7_2', channels, row),
        _Conv('7x7_3', 192, column),
      ),
      (
        _Conv('7x7dbl_1', channels),
        _Conv('7x7dbl_2', channels, column),
        _Conv('7x7dbl_3', channels, row),
        _Conv('7x7dbl_4', channels, column),
        _Conv('7x7dbl_5', 192, row),
      ),
    ),
    'mean',
    192,
  )


def _wide(pool: str) -> _Block:
  """Blocks 7b and 7c: 3 x 3 as a row beside a column."""

  def fork(name: str) -> _Fork:
    return _Fork(_Conv(f'{name}a', 384, (1, 3)), _Conv(f'{name}b', 384, (3, 1)))

  return _Block(
    (
      (_Conv('1x1', 320),),
      (_Conv('3x3_1', 384), fork('3x3_2')),
      (
        _Conv('3x3dbl_1', 448),
        _Conv('3x3dbl_2', 384, (3, 3)),
        fork('3x3dbl_3'),
      ),
    ),
    pool,
    192,
  )


BLOCKS = {
  'Mixed_5b': _square(32),
  'Mixed_5c': _square(64),
  'Mixed_5d': _square(64),
  'Mixed_6a': _Block(
    (
      (_Conv('3x3', 384, (3, 3), 2),),
      (
        _Conv('3x3dbl_1', 64),
        _Conv('3x3dbl_2', 96, (3, 3)),
        _Conv('3x3dbl_3', 96, (3, 3), 2),
      ),
    ),
    'half',
  ),
  'Mixed_6b': _long(128),
  'Mixed_6c': _long(160),
  'Mixed_6d': _long(160),
  'Mixed_6e': _long(192),
  'Mixed_7a': _Block(
    (
      (_Conv('3x3_1', 192), _Conv('3x3_2', 320, (3, 3), 2)),
      (
        _Conv('7x7x3_1', 192),
        _Conv('7x7x3_2', 192, (1, 7)),
        _Conv('7x7x3_3', 192, (7, 1)),
        _Conv('7x7x3_4', 192, (3, 3), 2),
      ),
    ),
    'half',
  ),
  'Mixed_7b': _wide('mean'),
  'Mixed_7c': _wide('max'),
}


def make(*, side: int = SIDE) -> Network:
  """Makes prepared pictures [B, side, side, 3] in [-1, 1] -> what is compared.

  Args:
    side: px; scores are published for 299.

  Returns:
    init and apply(params, pictures) -> features [B, 2048] and logits [B, 1008],
    these without a bias, as IS has them; it is a measure and has no loss.
  """
  if side < MIN_SIDE:
    raise ValueError(
      f'side must be at least {MIN_SIDE} px, got {side}: nothing would be left '
      'of a picture'
    )

  def init(key):
    return _Inception().init(key, jnp.zeros((1, side, side, 3)))['params']

  def apply(params, pictures):
    if pictures.shape[1:] != (side, side, 3):
      raise ValueError(
        f'inception wants pictures [B, {side}, {side}, 3], got '
        f'{pictures.shape}: `prepare` resizes them'
      )
    return _Inception().apply({'params': params}, pictures)

  return Network(init=init, apply=apply, loss=None)


def _linear(images: Array, side: int) -> Array:
  """As pytorch-fid: bilinear between centres, no antialiasing."""
  fine = image.resize(images, side, side, method='bilinear', antialias=False)
  return 2 * fine - 1


def _corner(images: Array, side: int) -> Array:
  """As TensorFlow 1 and torch-fidelity: top left corners lie on each other."""
  rows, columns = (
    jnp.arange(side) * (size / side) + 0.5 for size in images.shape[1:3]
  )
  fine = jax.vmap(sampling.bilinear, (0, None, None))(
    images, rows[:, None], columns[None]
  )
  return (255 * fine - 128) / 128


def _clean(images: Array, side: int) -> Array:
  """As clean-fid and pyiqa: antialiased bicubic, clipped."""
  fine = jnp.clip(image.resize(images, side, side), 0, 1)
  return (255 * fine - 128) / 128


RESIZES: dict[str, Callable[[Array, int], Array]] = {
  'pytorch_fid': _linear,
  'tensorflow': _corner,
  'clean': _clean,
}


def prepare(images: Array, *, resize: str, side: int = SIDE) -> Array:
  """Makes pictures [B, H, W, 3] in [0, 1] what the network wants.

  Scores of one resize are not those of another (Parmar et al. 2022).

  Args:
    images: of any size.
    resize: one of `RESIZES`.
    side: px, of the result.

  Returns:
    [B, side, side, 3], about in [-1, 1].
  """
  if resize not in RESIZES:
    raise ValueError(
      f'no resize {resize!r} for inception: choose from {", ".join(RESIZES)}'
    )
  return RESIZES[resize](images, side)


class _Inception(nn.Module):
  @nn.compact
  def __call__(self, x: Array) -> tuple[Array, Array]:
    def layer(name, channels, size, stride=1, padding='VALID'):
      return _Layer(channels, (size, size), stride, padding, name=name)

    x = layer('Conv2d_1a_3x3', 32, 3, 2)(x)
    x = layer('Conv2d_2a_3x3', 32, 3)(x)
    x = layer('Conv2d_2b_3x3', 64, 3, padding='SAME')(x)
    x = nn.max_pool(x, (3, 3), (2, 2))
    x = layer('Conv2d_3b_1x1', 80, 1)(x)
    x = layer('Conv2d_4a_3x3', 192, 3)(x)
    x = nn.max_pool(x, (3, 3), (2, 2))
    for name, block in BLOCKS.items():
      x = _Mixed(block, name=name)(x)
    features = jnp.mean(x, axis=(1, 2))
    return features, nn.Dense(NUM_CLASSES, use_bias=False, name='fc')(features)


class _Mixed(nn.Module):
  block: _Block

  @nn.compact
  def __call__(self, x: Array) -> Array:
    def layer(conv):
      padding = 'SAME' if conv.stride == 1 else 'VALID'
      name = f'branch{conv.name}'
      return _Layer(conv.channels, conv.size, conv.stride, padding, name=name)

    found = []
    for branch in self.block.branches:
      y = x
      for step in branch:
        if isinstance(step, _Fork):
          y = jnp.concatenate([layer(conv)(y) for conv in step], axis=-1)
        else:
          y = layer(step)(y)
      found.append(y)
    if self.block.pool == 'half':
      y = nn.max_pool(x, (3, 3), (2, 2))
    elif self.block.pool == 'max':
      y = nn.max_pool(x, (3, 3), padding='SAME')
    else:
      y = nn.avg_pool(x, (3, 3), padding='SAME', count_include_pad=False)
    if self.block.pooled:
      y = layer(_Conv('_pool', self.block.pooled))(y)
    return jnp.concatenate([*found, y], axis=-1)


class _Layer(nn.Module):
  channels: int
  size: tuple[int, int]
  stride: int
  padding: str

  @nn.compact
  def __call__(self, x: Array) -> Array:
    x = nn.Conv(
      self.channels,
      self.size,
      self.stride,
      padding=self.padding,
      use_bias=False,
      name='conv',
    )(x)
    return nn.relu(_Norm(name='bn')(x))


class _Norm(nn.Module):
  """Normalises by the statistics of the training."""

  @nn.compact
  def __call__(self, x: Array) -> Array:
    ones, zeros, shape = (
      nn.initializers.ones,
      nn.initializers.zeros,
      x.shape[-1:],
    )
    mean = self.param('running_mean', zeros, shape)
    variance = self.param('running_var', ones, shape)
    scale = self.param('scale', ones, shape)
    bias = self.param('bias', zeros, shape)
    return (x - mean) * (scale / jnp.sqrt(variance + EPS)) + bias
