"""The KL autoencoder of latent diffusion, and its controllable decoder.

Rombach et al. 2022, "High-resolution image synthesis with latent diffusion
models"; the decoder that looks at features of the coarse picture (CFW) is of
Wang et al. 2024, "Exploiting diffusion prior for real-world image
super-resolution" (StableSR). Images are [B, H, W, 3] in [0, 1] outside, [-1, 1]
inside; latents are scaled to about unit variance, [B, H / f, W / f, C].

Weights come under two tables of names: those of diffusers' AutoencoderKL
folders, and those of the original code, which StableSR's files keep.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr3d_jax.models.attention import attend, group_norm
from sr3d_jax.models.blocks import conv, pixel_shuffle, pixel_unshuffle
from sr3d_jax.models.dense_blocks import RRDB
from sr3d_jax.types import Array

LDM_NAMES = (
  (r'\.(down|up)(\d)_block(\d)\.', r'.\1.\2.block.\3.'),
  (r'\.(down|up)(\d)_(\w+sample)\.', r'.\1.\2.\3.conv.'),
  (r'encode_enc_2_(\d)\.', r'encode_enc_2.\1.'),
  (r'(encode_enc_\d)\.nin_shortcut', r'\1.conv_out'),
)
EPSILON = 1e-6  # of every norm
LOG_VARIANCE = (-30.0, 20.0)  # the published bounds


def diffusers_names(num_levels: int) -> tuple[tuple[str, str], ...]:
  """The names in an AutoencoderKL folder, whose decoder counts from coarse."""
  turned = tuple(
    (rf'\.up{level}_', f'.up_blocks.{num_levels - 1 - level}.')
    for level in range(num_levels)
  )
  return (
    *turned,
    (r'\.down(\d)_', r'.down_blocks.\1.'),
    (r'\.block(\d)\.', r'.resnets.\1.'),
    (r'\.(down|up)sample\.', r'.\1samplers.0.conv.'),
    (r'\.mid\.block_1\.', '.mid_block.resnets.0.'),
    (r'\.mid\.block_2\.', '.mid_block.resnets.1.'),
    (r'\.mid\.attn_1\.norm\.', '.mid_block.attentions.0.group_norm.'),
    (r'\.mid\.attn_1\.([qkv])\.', r'.mid_block.attentions.0.to_\1.'),
    (r'\.mid\.attn_1\.proj_out\.', '.mid_block.attentions.0.to_out.0.'),
    (r'\.nin_shortcut\.', '.conv_shortcut.'),
    (r'\.norm_out\.', '.conv_norm_out.'),
  )


class Autoencoder(NamedTuple):
  """An autoencoder as pure functions; `factor` is its px per latent px."""

  init: Callable  # (key)                          -> params
  # (params, images) -> Posterior, {level: features that the decoder reads}
  encode: Callable
  decode: Callable  # (params, latents, features=None, fidelity=0.) -> images
  factor: int
  channels: int  # of a latent


class Posterior(NamedTuple):
  """A Gaussian over scaled latents, both [B, h, w, C]."""

  mean: Array
  std: Array

  def sample(self, key: Array) -> Array:
    """Draws latents."""
    noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
    return self.mean + self.std * noise


def make(
  *,
  channels: Sequence[int] = (128, 256, 512, 512),
  patch: int = 1,
  latent_channels: int = 4,
  num_blocks: int = 2,
  num_groups: int | None = 32,
  mid_attention: bool = True,
  scaling: float = 0.18215,
  fusion_levels: Sequence[int] = (),
  fusion_growth: int = 32,
  shortcut: bool = False,
  dtype: Any = jnp.float32,
) -> Autoencoder:
  """Makes the autoencoder of Stable Diffusion by default.

  Args:
    channels: of each level, from the finest; the next has half its size.
    patch: side of the squares of px that are channels from the start, so that
      the finest level is that much smaller than the picture.
    latent_channels: of a latent.
    num_blocks: residual blocks of a level of the encoder; the decoder's have
      one more.
    num_groups: of every norm; None: there are no norms, so that what a pixel
      becomes does not depend on the picture's size.
    mid_attention: whether the coarsest features attend to one another.
    scaling: by which published latents are multiplied.
    fusion_levels: at which the decoder can look at the encoder's features of
      the coarse picture; StableSR's are (1, 2).
    fusion_growth: of the dense blocks that do so.
    shortcut: whether a matrix from the px of a latent to it, and one back, run
      beside encoder and decoder: what linear maps can do, principal components,
      need not be learnt by the rest. Not in what is published.
    dtype: of products and activations; norms and results are float32.
  """
  _check_fusion(fusion_levels, len(channels))
  factor = patch * 2 ** (len(channels) - 1)
  module = _AutoencoderKL(
    Sizes(
      tuple(channels), num_blocks, num_groups, mid_attention, jnp.dtype(dtype)
    ),
    patch,
    latent_channels,
    scaling,
    tuple(fusion_levels),
    fusion_growth,
    factor if shortcut else None,
  )

  def init(key):
    images = jnp.zeros((1, 4 * factor, 4 * factor, 3))
    return module.init(key, images, method='both')['params']

  def encode(params, images):
    _check_images(images, factor)
    return module.apply({'params': params}, images, method='encode')

  def decode(params, latents, features=None, fidelity=0.0):
    return module.apply(
      {'params': params}, latents, features, fidelity, method='decode'
    )

  return Autoencoder(init, encode, decode, factor, latent_channels)


class Sizes(NamedTuple):
  """What all parts share; see `make`."""

  channels: tuple[int, ...]
  num_blocks: int
  num_groups: int | None
  mid_attention: bool
  dtype: Any


class _AutoencoderKL(nn.Module):
  sizes: Sizes
  patch: int
  latent_channels: int
  scaling: float
  fusion_levels: tuple[int, ...]
  fusion_growth: int
  shortcut: int | None  # side of the squares of px that matrices see

  def setup(self):
    self.encoder = _Encoder(
      2 * self.latent_channels, self.fusion_levels, self.sizes
    )
    self.decoder = _Decoder(
      3 * self.patch**2, self.fusion_levels, self.fusion_growth, self.sizes
    )
    self.quant_conv = conv(2 * self.latent_channels, 1)
    self.post_quant_conv = conv(self.latent_channels, 1)
    if self.shortcut:
      self.direct_in = conv(self.latent_channels, 1)
      self.direct_out = conv(3 * self.shortcut**2, 1)

  def encode(self, images):
    images = 2 * images - 1
    moments, features = self.encoder(pixel_unshuffle(images, self.patch))
    mean, log_variance = jnp.split(self.quant_conv(moments), 2, axis=-1)
    if self.shortcut:
      mean += self.direct_in(pixel_unshuffle(images, self.shortcut))
    std = jnp.exp(0.5 * jnp.clip(log_variance, *LOG_VARIANCE))
    return Posterior(self.scaling * mean, self.scaling * std), features

  def decode(self, latents, features, fidelity):
    x = self.post_quant_conv(latents / self.scaling)
    images = pixel_shuffle(self.decoder(x, features, fidelity), self.patch)
    if self.shortcut:
      direct = self.direct_out(latents / self.scaling)
      images += pixel_shuffle(direct, self.shortcut)
    return (images + 1) / 2

  def both(self, images):
    """Touches every parameter, those of the fusion as well."""
    posterior, features = self.encode(images)
    return self.decode(posterior.mean, features, 1.0)


class _Encoder(nn.Module):
  """[B, H, W, 3] -> moments, and {level: features before they are halved}.

  Those of other levels than the decoder's fusion are not kept: at 2016 x 1512
  px all of them are 2.6 GiB.
  """

  out: int
  fusion_levels: tuple[int, ...]
  sizes: Sizes

  @nn.compact
  def __call__(self, images):
    sizes = self.sizes
    features = {}
    x = conv(sizes.channels[0], dtype=sizes.dtype, name='conv_in')(images)
    for level, width in enumerate(sizes.channels):
      for i in range(sizes.num_blocks):
        x = _Block(width, sizes, name=f'down{level}_block{i}')(x)
      if level in self.fusion_levels:
        features[level] = x
      if level + 1 < len(sizes.channels):
        # Zeros on the right and below only, as published.
        halve = conv(
          width, strides=2, padding=[(0, 1)] * 2, dtype=sizes.dtype,
          name=f'down{level}_downsample',
        )  # fmt: skip
        x = halve(x)
    x = _Middle(sizes, name='mid')(x)
    return _head(x, self.out, sizes), features


class _Decoder(nn.Module):
  """Latents, features of the coarse picture and their weight -> images."""

  out: int
  fusion_levels: tuple[int, ...]
  fusion_growth: int
  sizes: Sizes

  @nn.compact
  def __call__(self, latents, features, fidelity):
    sizes = self.sizes
    x = conv(sizes.channels[-1], dtype=sizes.dtype, name='conv_in')(latents)
    x = _Middle(sizes, name='mid')(x)
    for level in reversed(range(len(sizes.channels))):
      width = sizes.channels[level]
      for i in range(sizes.num_blocks + 1):
        x = _Block(width, sizes, name=f'up{level}_block{i}')(x)
      if features is not None and level in self.fusion_levels:
        name = f'fusion_layer_{level}'
        fuse = _Fusion(self.fusion_growth, sizes, name=name)
        # a weight of float32 does not widen what follows
        x = x + (fidelity * fuse(features[level], x)).astype(x.dtype)
      if level:
        x = jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)
        x = conv(width, dtype=sizes.dtype, name=f'up{level}_upsample')(x)
    return _head(x, self.out, sizes)


class _Fusion(nn.Module):
  """What features of the coarse picture add to the decoder's."""

  growth: int
  sizes: Sizes

  @nn.compact
  def __call__(self, encoded, decoded):
    width = decoded.shape[-1]
    x = jnp.concatenate([encoded, decoded], axis=-1)
    x = _Block(width, self.sizes, name='encode_enc_1')(x)
    for i in range(2):
      dense = RRDB(self.growth, self.sizes.dtype, name=f'encode_enc_2_{i}')
      x = dense(x)
    return _Block(width, self.sizes, name='encode_enc_3')(x)


class _Middle(nn.Module):
  """The coarsest features, between two blocks perhaps attending."""

  sizes: Sizes

  @nn.compact
  def __call__(self, x):
    width = x.shape[-1]
    x = _Block(width, self.sizes, name='block_1')(x)
    if self.sizes.mid_attention:
      x = _Attention(self.sizes, name='attn_1')(x)
    return _Block(width, self.sizes, name='block_2')(x)


class _Block(nn.Module):
  """Two convolutions behind norms, and a way around them."""

  width: int
  sizes: Sizes

  @nn.compact
  def __call__(self, inputs):
    dtype = self.sizes.dtype
    x = inputs
    for i in (1, 2):
      x = nn.silu(_norm(self.sizes, f'norm{i}')(x))
      x = conv(self.width, dtype=dtype, name=f'conv{i}')(x)
    if inputs.shape[-1] != self.width:
      inputs = conv(self.width, 1, dtype=dtype, name='nin_shortcut')(inputs)
    return inputs + x


class _Attention(nn.Module):
  """One head over all pixels."""

  sizes: Sizes

  @nn.compact
  def __call__(self, inputs):
    *batch, height, width, channels = inputs.shape
    x = _norm(self.sizes, 'norm')(inputs)
    query, key, value = (
      conv(channels, 1, dtype=self.sizes.dtype, name=name)(x).reshape(
        *batch, height * width, 1, channels
      )
      for name in 'qkv'
    )
    x = attend(query, key, value).reshape(inputs.shape)
    out = conv(channels, 1, dtype=self.sizes.dtype, name='proj_out')
    return inputs + out(x)


def _norm(sizes: Sizes, name: str) -> Callable[[Array], Array]:
  if sizes.num_groups is None:
    return lambda x: x
  return group_norm(sizes.num_groups, EPSILON, name)


def _head(x: Array, out: int, sizes: Sizes) -> Array:
  """The last convolution, float32; inside a compact module."""
  x = nn.silu(_norm(sizes, 'norm_out')(x))
  x = conv(out, dtype=sizes.dtype, name='conv_out')(x)
  return x.astype(jnp.float32)


def _check_images(images: Array, factor: int) -> None:
  """Raises where the sides are no multiples of a latent pixel."""
  height, width = images.shape[-3:-1]
  if height % factor or width % factor:
    raise ValueError(
      f'the autoencoder wants sides that are multiples of {factor} px, got '
      f'{height} x {width}: pad the picture by reflection'
    )


def _check_fusion(levels: Sequence[int], num_levels: int) -> None:
  """Raises for levels that the autoencoder does not have."""
  wrong = [level for level in levels if not 0 <= level < num_levels]
  if wrong:
    raise ValueError(
      f'fusion_levels must be 0 to {num_levels - 1}, got {tuple(levels)}'
    )
