"""LIIF: Local Implicit Image Function (Chen et al. 2021), any scale.

A query's colour is what an MLP says of the features of the pixel it is nearest
to, of its offset from that pixel's centre and of its own size, blended over the
four pixels around. Weights are published in yinboc/liif, parameters named as
there, in the section 'model.sd' of a file. Published on EDSR-baseline: 34.67 /
30.96 / 29.00 / 26.75 dB on DIV2K's validation pictures (RGB) at x2, x3, x4, x6.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr3d_jax.models import encoders, heads
from sr3d_jax.models.ensemble import cells, corners, look_up
from sr3d_jax.types import Array, FieldNetwork, Queries

NAMES = (
  *encoders.EDSR_NAMES,
  *encoders.RDN_NAMES,
  (r'^first\.', 'imnet.layers.0.'),
  *((rf'^imnet\.layers_{i}\.', f'imnet.layers.{i + 2}.') for i in (0, 2, 4, 6)),
)


def make(
  *,
  encoder: Mapping = encoders.PUBLISHED,
  hidden: tuple[int, ...] = (256,) * 4,
  ensemble: bool = True,
  unfold: bool = True,
  cell: bool = True,
  dtype: str | None = None,
) -> FieldNetwork:
  """Makes a field of colour; as published by default.

  Args:
    encoder: its section, see `encoders.make`.
    hidden: widths of the MLP.
    ensemble: whether to blend the four pixels around a query, not the nearest.
    unfold: whether the MLP sees the 3 x 3 features around its pixel.
    cell: whether the MLP is told the query's size.
    dtype: of the layers' arithmetic, float32 by default.
  """
  network = encoders.make(**{'dtype': dtype, **encoder})
  module = _LIIF(network, tuple(hidden), ensemble, unfold, cell, dtype)
  return heads.field_network(module, network.radius + unfold + ensemble)


class _LIIF(nn.Module):
  encoder: nn.Module
  hidden: tuple[int, ...]
  ensemble: bool
  unfold: bool
  cell: bool
  dtype: str | None

  def setup(self):
    self.first = _First(
      channels=self.encoder.channels,
      width=self.hidden[0],
      size=3 if self.unfold else 1,
      num_places=4 if self.cell else 2,
    )
    self.imnet = heads.MLP((*self.hidden[1:], 3), nn.relu, self.dtype)

  def __call__(self, images: Array, queries: Queries) -> Array:
    return self.decode(self.encode(images), queries)

  def encode(self, images: Array, key=None, train: bool = False) -> Array:
    del key, train  # nothing is drawn
    return self.first.of_features(self.encoder(images))

  def decode(self, features: Array, queries: Queries) -> Array:
    return sum(w * color for w, color in self.predict(features, queries))

  def predict(
    self, features: Array, queries: Queries
  ) -> list[tuple[Array, Array]]:
    """Weight and colour of each corner."""
    height, width = features.shape[1:3]
    found = []
    for corner in corners(
      queries, height, width, only_nearest=not self.ensemble
    ):
      place = 2 * corner.offsets
      if self.cell:
        both = jnp.broadcast_arrays(place, cells(queries))
        place = jnp.concatenate(both, axis=-1)
      x = look_up(features, corner) + self.first.of_place(place)
      color = self.imnet(nn.relu(x)).astype(jnp.float32)
      found.append((corner.weights, color))
    return found


class _First(nn.Module):
  """The MLP's first layer, whose inputs are the features and the place.

  It is linear. So its share of the unfolded features is a convolution, done
  once for a pixel instead of once for each query of which it is a corner.
  """

  channels: int
  width: int
  size: int  # of the unfolded neighbourhood, px
  num_places: int

  def setup(self):
    inputs = self.channels * self.size**2 + self.num_places
    self.kernel = self.param(
      'kernel', encoders.torch_kernel, (inputs, self.width)
    )
    self.bias = self.param(
      'bias', encoders.torch_bias(inputs), (self.width,), jnp.float32
    )

  def of_features(self, features: Array) -> Array:
    """[B, H, W, C] -> [B, H, W, width]."""
    shape = (self.channels, self.size, self.size, self.width)
    # Unfolding counts the neighbours of one channel before the next channel.
    taps = jnp.moveaxis(self.kernel[: -self.num_places].reshape(shape), 0, 2)
    return jax.lax.conv_general_dilated(
      features,
      taps.astype(features.dtype),
      (1, 1),
      'SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

  def of_place(self, place: Array) -> Array:
    """[..., 2 or 4] -> [..., width], the bias included."""
    # Fractions of a pixel want every bit, on accelerators too.
    taps = self.kernel[-self.num_places :]
    return jnp.matmul(place, taps, precision='highest') + self.bias
