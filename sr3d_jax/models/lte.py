"""LTE: Local Texture Estimator (Lee and Jin 2022), any scale.

The MLP of LIIF sees waves instead of offsets: their amplitudes and frequencies
are estimated for each coarse pixel, their phases from the query's size. What it
says is added to the picture enlarged bilinearly. Weights are published in
jaewon-lee-b/lte, parameters named as there, in the section 'model.sd' of a
file. Published on EDSR-baseline: 34.72 / 31.02 / 29.04 / 26.81 dB on DIV2K's
validation pictures (RGB) at x2, x3, x4, x6.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from sr3d_jax import sampling
from sr3d_jax.models import encoders, heads
from sr3d_jax.models.ensemble import cells, corners, look_up
from sr3d_jax.types import Array, FieldNetwork, Queries

NAMES = (
  *encoders.EDSR_NAMES,
  *encoders.RDN_NAMES,
  (r'^imnet\.layers_(\d+)\.', r'imnet.layers.\1.'),
)


def make(
  *,
  encoder: Mapping = encoders.PUBLISHED,
  hidden: tuple[int, ...] = (256,) * 3,
  width: int = 256,
  dtype: str | None = None,
) -> FieldNetwork:
  """Makes a field of colour; as published by default.

  Args:
    encoder: its section, see `encoders.make`.
    hidden: widths of the MLP.
    width: of what it sees: a cosine and a sine for each of width / 2 waves.
    dtype: of the layers' arithmetic, float32 by default.
  """
  if width % 2:
    raise ValueError(f'width must be even, cosines and sines, got {width}')
  network = encoders.make(**{'dtype': dtype, **encoder})
  module = _LTE(network, tuple(hidden), width, dtype)
  return heads.field_network(module, network.radius + 2)


class _LTE(nn.Module):
  encoder: nn.Module
  hidden: tuple[int, ...]
  width: int
  dtype: str | None

  def setup(self):
    def layer():
      return encoders.torch_conv(
        self.width, self.encoder.channels, dtype=self.dtype
      )

    self.coef = layer()
    self.freq = layer()
    self.phase = nn.Dense(
      self.width // 2,
      use_bias=False,
      kernel_init=encoders.torch_kernel,
      precision='highest',  # turns want every bit, on accelerators too
    )
    self.imnet = heads.MLP((*self.hidden, 3), nn.relu, self.dtype)

  def __call__(self, images: Array, queries: Queries) -> Array:
    return self.decode(self.encode(images), queries)

  def encode(
    self, images: Array, key=None, train: bool = False
  ) -> dict[str, Array]:
    del key, train  # nothing is drawn
    features = self.encoder(images)
    coef, freq = self.coef(features), self.freq(features)
    return {'image': images, 'coef': coef, 'freq': freq}

  def decode(self, features: dict[str, Array], queries: Queries) -> Array:
    base = heads.over_pictures(sampling.bilinear, features['image'], queries)
    return base + sum(w * color for w, color in self.predict(features, queries))

  def predict(
    self, features: dict[str, Array], queries: Queries
  ) -> list[tuple[Array, Array]]:
    """Weight and colour of each corner, without the bilinear picture."""
    coef, freq = features['coef'], features['freq']
    phase = self.phase(cells(queries))
    found = []
    for corner in corners(queries, *coef.shape[1:3]):
      waves = _waves(look_up(freq, corner), corner.offsets, phase)
      x = look_up(coef, corner) * waves
      found.append((corner.weights, self.imnet(x).astype(jnp.float32)))
    return found


def _waves(freq: Array, offsets: Array, phase: Array) -> Array:
  """cos and sin of pi (frequency . offset + phase), offsets in half pixels.

  Args:
    freq: [B, ..., width] in pairs of (row, column).
    offsets: [B, ..., 2] px.
    phase: [..., width / 2].
  """
  freq = freq.astype(jnp.float32).reshape(*freq.shape[:-1], -1, 2)
  turns = jnp.sum(freq * (2 * offsets)[..., None, :], axis=-1) + phase
  return heads.waves(turns)
