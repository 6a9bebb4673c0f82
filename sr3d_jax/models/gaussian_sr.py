"""GaussianSR: a picture of any size from one Gaussian for each coarse pixel.

Hu et al. 2025 (AAAI, arXiv 2407.18046). An encoder gives features and, for each
pixel, scores over a bank of Gaussian shapes. A few channels are splatted with
the chosen shapes, the others are interpolated by bicubic; a Fourier head (Lee &
Jin 2022, "Local Texture Estimator") turns both into colour at any position.

Every point in which the released code and the mathematics part is an option of
`gaussian_design`: `make()` is the exact network, `make(**RELEASED)` the
released one, with its defects.
"""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from sr3d_kernels.accumulate import accumulate

from sr3d_jax import fields, kernel_bank, sampling, tile_splat
from sr3d_jax.kernel_bank import TINY, Shapes
from sr3d_jax.models import encoders, gaussian_design, heads
from sr3d_jax.models.encoders import torch_conv, torch_kernel
from sr3d_jax.models.ensemble import Corner, cells, corners
from sr3d_jax.models.gaussian_design import Design
from sr3d_jax.types import Array, FieldNetwork, Queries

# Our modules to the keys that the released code expects; its checkpoint has
# `fc` where the code has since said `dec`.
NAMES = (
  *((r'^encoder\.' + ours, 'encoder.edsr.' + theirs)
    for ours, theirs in encoders.EDSR_NAMES),
  (r'^encoder\.(?!edsr)', 'encoder.edsr.'),
  (r'^selector\.', 'encoder.segmentation_head.0.'),
  (r'^bank\.', ''),
  (r'layers_(\d+)', r'layers.\1'),
)  # fmt: skip
OLD_NAMES = (*NAMES, (r'^dec\.', 'fc.'))

RELEASED_MESH = (0.2, 3.0)
MAX_RHO = 0.99
START_OPACITY = 1.0  # before the sigmoid


def make(**design: Any) -> FieldNetwork:
  """Makes the network of a `Design`, whose attributes are the keywords.

  Raises:
    ValueError: no network can be of this design.
  """
  chosen = gaussian_design.choose(**design)
  return heads.field_network(_GaussianSR(chosen), _halo(chosen))


def selection(
  params: Any, images: Array, **design: Any
) -> tuple[Array, Shapes]:
  """What the selector says of images [B, H, W, 3] in [0, 1].

  Returns:
    Each kernel's chance at each pixel, [B, H, W, K], and the bank, [K].
  """
  variables, module = {'params': params}, _GaussianSR(Design(**design))
  return module.apply(variables, 2 * images - 1, method='selection')


def _halo(design: Design) -> int | None:
  """Coarse pixels around a query that its colour depends on."""
  if design.splat == 'tiles' or design.head == 'grid' or design.average:
    return None
  reach = 2  # of the bicubic stream
  if design.gaussian_channels:
    # The selector looks one pixel further than the encoder.
    reach = 1 + max(gaussian_design.window(design), reach)
  return encoders.make(**design.encoder).radius + reach


class _GaussianSR(nn.Module):
  design: Design

  def setup(self):
    d = self.design
    self.encoder = encoders.make(**{'dtype': d.dtype, **d.encoder})
    channels = self.encoder.channels
    if d.gaussian_channels:
      self.selector = torch_conv(d.num_kernels, channels, dtype=d.dtype)
      self.bank = _Bank(d)
    if d.offsets:
      self.mover = torch_conv(2, channels, dtype=d.dtype)
    layer = torch_conv if d.head == 'grid' else heads.dense
    self.coef = layer(d.width, channels, dtype=d.dtype)
    self.freq = layer(d.width, channels, dtype=d.dtype)
    self.phase = nn.Dense(
      d.width // 2,
      use_bias=False,
      kernel_init=torch_kernel,
      precision='highest',  # turns want every bit, on accelerators too
    )
    self.dec = heads.MLP((*d.hidden, 3), heads.gelu, d.dtype)

  def __call__(self, images: Array, queries: Queries) -> Array:
    return self.decode(self.encode(images, None, False), queries)

  def encode(self, images: Array, key: Array | None, train: bool) -> dict:
    d = self.design
    found = self.encoder(images).astype(jnp.float32)
    features = {'image': images, 'plain': found[..., d.gaussian_channels :]}
    if d.gaussian_channels:
      shapes = kernel_bank.choose(
        self.selector(found).astype(jnp.float32),
        self.bank(),
        mode=d.select if train else d.eval_select or d.select,
        temperature=d.temperature,
        key=key if d.noise else None,
      )
      if d.average and d.splat == 'exact':
        shapes = kernel_bank.average_tiles(shapes)
      features['values'] = found[..., : d.gaussian_channels]
      features['shapes'] = shapes
    if d.offsets:
      features['offsets'] = jnp.tanh(self.mover(found)) / 2
    return features

  def selection(self, images: Array) -> tuple[Array, Shapes]:
    scores = self.selector(self.encoder(images)).astype(jnp.float32)
    return jax.nn.softmax(scores / self.design.temperature), self.bank()

  def decode(self, features: dict, queries: Queries) -> Array:
    d = self.design
    height, width = features['image'].shape[1:3]
    if d.head == 'grid':
      field = self.field(features, _whole(features, queries))
      maps = (self.coef(field), self.freq(field))
      coef, freq = (_on_grid(x, features, queries) for x in maps)
    else:
      field = self.field(features, queries)
      coef, freq = self.coef(field), self.freq(field)
    around = corners(queries, height, width, only_nearest=d.ensemble == 'none')
    colors = self.head(coef, freq.astype(jnp.float32), queries, around)
    if d.skip:
      image = features['image']
      colors += heads.over_pictures(sampling.bilinear, image, queries)
    return colors

  def head(
    self, coef: Array, freq: Array, queries: Queries, around: Iterable[Corner]
  ) -> Array:
    """The Fourier head: colours from the waves of the pixels around."""
    phase = self.phase(cells(queries))

    def waves(offsets):
      angle = freq[..., ::2] * (2 * offsets[..., :1]) + phase
      return heads.cos_sin(angle + freq[..., 1::2] * (2 * offsets[..., 1:]))

    def color(cos, sin):
      return self.dec(coef * jnp.concatenate([cos, sin], axis=-1))

    found = [(corner.weights, waves(corner.offsets)) for corner in around]
    if self.design.ensemble == 'colors':
      colors = sum(weight * color(*pair) for weight, pair in found)
    else:
      # Blended apart: to join each first takes a CPU five times as long.
      weights, pairs = zip(*found)
      blend = (sum(map(jnp.multiply, weights, x)) for x in zip(*pairs))
      colors = color(*blend)
    return colors.astype(jnp.float32)

  def field(self, features: dict, queries: Queries) -> Array:
    """Features [B, ..., C] at the queries, splatted and interpolated."""
    d = self.design
    streams = []
    if d.gaussian_channels:
      splat = self.tiles if d.splat == 'tiles' else self.exact
      streams.append(splat(features, queries))
    if features['plain'].shape[-1]:
      bicubic = functools.partial(sampling.bicubic, a=d.cubic)
      streams.append(heads.over_pictures(bicubic, features['plain'], queries))
    return jnp.concatenate(streams, axis=-1)

  def tiles(self, features: dict, queries: Queries) -> Array:
    d = self.design
    grid = _whole(features, queries)
    shapes = jax.tree.map(lambda x: x[..., 0], features['shapes'])
    fine = tile_splat.splat(
      features['values'], shapes, grid.height, grid.width,
      scale=grid.scale, average=d.average, centre=d.centre, units=d.units,
      blend=d.blend, clamp=d.clamp,
    )  # fmt: skip
    return _on_grid(fine, features, queries)

  def exact(self, features: dict, queries: Queries) -> Array:
    d = self.design
    values, shapes = features['values'], features['shapes']
    batch, height, width, _ = values.shape
    rows, columns, footprint = (
      jnp.broadcast_to(x, (batch, *x.shape[1:]))
      for x in (queries.rows, queries.columns, queries.footprint)
    )
    offsets = features.get('offsets')
    if d.units == 'hr':  # free, where tiles need no covariance
      shapes = shapes._replace(rho=jnp.clip(shapes.rho, -MAX_RHO, MAX_RHO))
    covariances = shapes.covariances()
    if d.units == 'hr':
      covariances = tile_splat.to_coarse(covariances, footprint)
    if d.centre == 'released':
      shift = tile_splat.released_shift(footprint, height, width)
      offsets = shift if offsets is None else shift + offsets

    @jax.vmap
    def sums(values, covariances, opacities, offsets, rows, columns, footprint):
      return accumulate(
        values, covariances, opacities, rows, columns, footprint,
        radius=gaussian_design.window(d), offsets=offsets,
      )  # fmt: skip

    field = weights = 0
    for m in range(covariances.shape[-2]):
      found = sums(
        values, covariances[..., m, :], shapes.opacity[..., m], offsets,
        rows, columns, d.kappa / 4 * footprint,
      )  # fmt: skip
      field, weights = field + found.values, weights + found.weights
    if d.blend == 'norm':
      field /= jnp.maximum(weights, TINY)[..., None]
    return jnp.clip(field, 0, 1) if d.clamp else field


class _Bank(nn.Module):
  """The shapes as parameters: free, or bounded where units are 'lr'."""

  design: Design

  @nn.compact
  def __call__(self) -> Shapes:
    num, is_free = self.design.num_kernels, self.design.units == 'hr'
    low, high = self.design.sigmas

    def start(index):
      ends = RELEASED_MESH if is_free else kernel_bank.start_mesh((low, high))
      sigma = kernel_bank.mesh(num, *ends)[index]
      share = (sigma - low) / (high - low)
      return sigma if is_free else jax.scipy.special.logit(share)

    opacity = nn.sigmoid(START_OPACITY) if is_free else START_OPACITY
    rows = self.param('sigma_x', lambda key: start(0))
    columns = self.param('sigma_y', lambda key: start(1))
    rho = self.param('rho', lambda key: jnp.zeros((num, 1)))[:, 0]
    opacity = self.param(
      'opacity', lambda key: jnp.full((num, 1), opacity, jnp.float32)
    )
    if is_free:
      return Shapes(rows, columns, rho, opacity[:, 0])
    return Shapes(
      low + (high - low) * nn.sigmoid(rows),
      low + (high - low) * nn.sigmoid(columns),
      self.design.max_rho * jnp.tanh(rho),
      nn.sigmoid(opacity[:, 0]),
    )


def _whole(features: dict, queries: Queries) -> Queries:
  """All pixels of the fine grid that the queries are of."""
  if queries.height is None:
    raise ValueError(
      'this network draws the whole fine grid, but the queries do not say of '
      'which grid they are: give batches of one scale each (`scales`)'
    )
  height, width = features['image'].shape[1:3]
  scale = queries.scale or queries.height / height
  return fields.grid(height, width, queries.height, queries.width, scale=scale)


def _on_grid(fine: Array, features: dict, queries: Queries) -> Array:
  """The fine grid's pixels [B, ..., C] that the queries lie in."""
  height, width = features['image'].shape[1:3]
  queries = dataclasses.replace(
    queries,
    rows=queries.rows * (queries.height / height),
    columns=queries.columns * (queries.width / width),
  )
  return heads.over_pictures(sampling.nearest, fine, queries)
