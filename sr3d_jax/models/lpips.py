"""LPIPS: how alike two pictures look to a network (Zhang et al. 2018, v0.1).

Features of AlexNet or VGG16 after five of their ReLUs, normalised along
channels, differ by d; the distance is the sum over layers of the mean over
pixels of w · d², with learnt w.

The weights are others': torchvision's `alexnet-*.pth` or `vgg16-*.pth`, whose
classifier is not used, and the w, `alex.pth` or `vgg.pth` of
richzhang/PerceptualSimilarity.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from sr3d_jax.models.blocks import conv
from sr3d_jax.types import Array, Network

SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)  # of pixels in [-1, 1]
SCALE = np.array([0.458, 0.448, 0.450], np.float32)
EPS = 1e-10
NAMES = (
  (r'^features\.conv(\d+)\.', r'features.\1.'),
  (r'^head(\d)\.', r'lin\1.model.1.'),
)


class _Conv(NamedTuple):
  """A convolution at a place of torchvision's sequence, and its ReLU."""

  place: int
  channels: int
  size: int = 3
  stride: int = 1
  padding: int = 1
  is_seen: bool = False  # whether what comes out is compared
  is_pooled: bool = False  # whether what goes in is pooled


BACKBONES = {
  'alex': (
    3,  # px of the pools; all have a stride of 2
    (
      _Conv(0, 64, 11, 4, 2, True),
      _Conv(3, 192, 5, 1, 2, True, True),
      _Conv(6, 384, is_seen=True, is_pooled=True),
      _Conv(8, 256, is_seen=True),
      _Conv(10, 256, is_seen=True),
    ),
  ),
  'vgg': (
    2,
    (
      _Conv(0, 64),
      _Conv(2, 64, is_seen=True),
      _Conv(5, 128, is_pooled=True),
      _Conv(7, 128, is_seen=True),
      _Conv(10, 256, is_pooled=True),
      _Conv(12, 256),
      _Conv(14, 256, is_seen=True),
      _Conv(17, 512, is_pooled=True),
      _Conv(19, 512),
      _Conv(21, 512, is_seen=True),
      _Conv(24, 512, is_pooled=True),
      _Conv(26, 512),
      _Conv(28, 512, is_seen=True),
    ),
  ),
}
MIN_SIZE = {'alex': 31, 'vgg': 16}  # px, of which the last layer has one left


def make(*, backbone: str = 'alex') -> Network:
  """Makes ([B, H, W, 3], [B, H, W, 3]) in [0, 1] -> [B] distances.

  Args:
    backbone: one of `BACKBONES`.

  Returns:
    init and apply(params, (images, targets)); it is a loss and has none.
  """
  if backbone not in BACKBONES:
    raise ValueError(
      f'no backbone {backbone!r}: choose from {", ".join(BACKBONES)}'
    )
  module = _LPIPS(backbone)
  side = MIN_SIZE[backbone]

  def init(key):
    picture = jnp.zeros((1, side, side, 3))
    return module.init(key, picture, picture)['params']

  def apply(params, pair):
    images, targets = pair
    if images.shape != targets.shape or min(images.shape[-3:-1]) < side:
      raise ValueError(
        f'LPIPS compares pictures of one size, {side} px at least, got '
        f'{images.shape} and {targets.shape}'
      )
    return module.apply({'params': params}, images, targets)

  return Network(init=init, apply=apply, loss=None)


class _LPIPS(nn.Module):
  backbone: str

  @nn.compact
  def __call__(self, images: Array, targets: Array) -> Array:
    both = (2 * jnp.concatenate([images, targets]) - 1 - SHIFT) / SCALE
    total = 0.0
    for i, x in enumerate(_Features(self.backbone, name='features')(both)):
      norm = jnp.sqrt(jnp.sum(x**2, axis=-1, keepdims=True))
      a, b = jnp.split(x / (norm + EPS), 2)
      weigh = conv(1, 1, use_bias=False, name=f'head{i}')
      total += jnp.mean(weigh((a - b) ** 2), axis=(1, 2, 3))
    return total


class _Features(nn.Module):
  backbone: str

  @nn.compact
  def __call__(self, x: Array) -> list[Array]:
    pool, layers = BACKBONES[self.backbone]
    seen = []
    for layer in layers:
      if layer.is_pooled:
        x = nn.max_pool(x, (pool, pool), strides=(2, 2))
      pad = [(layer.padding, layer.padding)] * 2
      x = conv(
        layer.channels,
        layer.size,
        strides=layer.stride,
        padding=pad,
        name=f'conv{layer.place}',
      )(x)
      x = nn.relu(x)
      if layer.is_seen:
        seen.append(x)
    return seen
