"""StableSR: Stable Diffusion told what a coarse picture shows, at any time.

Wang et al. 2024, "Exploiting Diffusion Prior for Real-World Image
Super-Resolution". A time-aware encoder turns the coarse picture's latents into
maps of four sizes; they modulate every residual block of the UNet. Both keep to
latents scaled as Stable Diffusion's, and to squares of 64 px, for which the
published weights were learnt.

Weights are published as stablesr_turbo.ckpt and stablesr_000117.ckpt, the
UNet's under `model.diffusion_model.`, the encoder's under
`structcond_stage_model.`; the tables name parameters as found behind these.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from sr3d_jax.models import unet
from sr3d_jax.models.blocks import conv
from sr3d_jax.models.diffusion_blocks import ResBlock, TimeEmbedding
from sr3d_jax.models.unet_levels import DownBlock, Level, MidBlock, Signals
from sr3d_jax.types import Array, Network

UP_BLOCKS = ('UpBlock2D', *3 * ('CrossAttnUpBlock2D',))
UNET_NAMES = unet.ldm_names(UP_BLOCKS)
ENCODER_NAMES = (
  *UNET_NAMES,
  (r'^fea_tran_(\d)\.', r'fea_tran.\1.'),
)


def make_unet(
  *,
  block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
  head_channels: int = 64,
  cross_attention_dim: int = 1024,
  map_channels: int = 256,
  dtype: str = 'float32',
  remat: bool = False,
) -> Network:
  """Makes the UNet; `apply(params, x, timesteps, context, maps=maps)`.

  See `unet.make`; maps are what the encoder gives for the same picture and
  timesteps.

  Args:
    block_out_channels: of each of four levels, from the finest.
    head_channels: of each head of an attention.
    cross_attention_dim: of the context.
    map_channels: of the encoder's maps.
    dtype: of products and activations.
    remat: whether blocks are computed anew for the gradient.
  """
  return unet.make(
    block_out_channels=block_out_channels,
    up_block_types=UP_BLOCKS,
    attention_head_dim=[c // head_channels for c in block_out_channels],
    cross_attention_dim=cross_attention_dim,
    map_channels=map_channels,
    dtype=dtype,
    remat=remat,
  )


class Encoder(NamedTuple):
  """The time-aware encoder as pure functions."""

  init: Callable  # (key) -> params
  # (params, latents [B, h, w, 4], timesteps [B]) -> {w: [B, h, w, channels]}
  # for the width w of each level
  apply: Callable


def make_encoder(
  *,
  block_out_channels: Sequence[int] = (256, 256, 512, 512),
  heads: int = 4,
  map_channels: int = 256,
  in_channels: int = 4,
  dtype: str = 'float32',
  remat: bool = False,
) -> Encoder:
  """Makes the time-aware encoder.

  Args:
    block_out_channels: of each level, from the finest; all but the coarsest
      attend within the picture, and so does the middle.
    heads: of each attention.
    map_channels: of the maps.
    in_channels: of the latents.
    dtype: of products and activations.
    remat: whether blocks are computed anew for the gradient.
  """
  module = _Encoder(
    tuple(block_out_channels), heads, map_channels, jnp.dtype(dtype), remat
  )

  def init(key):
    side = 2 ** (len(block_out_channels) - 1)
    latents = jnp.zeros((1, side, side, in_channels))
    return module.init(key, latents, jnp.zeros(1))['params']

  def apply(params, latents, timesteps):
    return module.apply({'params': params}, latents, timesteps)

  return Encoder(init, apply)


class _Encoder(nn.Module):
  """The UNet's way down, and what each level sees of it."""

  channels: tuple[int, ...]
  heads: int
  map_channels: int
  dtype: jnp.dtype
  remat: bool

  @nn.compact
  def __call__(self, x: Array, timesteps: Array) -> dict[int, Array]:
    embed = TimeEmbedding(self.channels[0], self.dtype, name='time_embedding')
    signals = Signals(embed(timesteps))
    x = conv(self.channels[0], dtype=self.dtype, name='conv_in')(x)
    seen, last = [], len(self.channels) - 1
    for i in range(last + 1):
      level = self._level(i, None if i == last else 'fused')
      block = DownBlock(level, i == last, name=f'down_blocks_{i}')
      x, found = block(x, signals)
      seen.append(found[level.layers - 1])  # before it is halved
    seen[last] = MidBlock(self._level(last, 'fused'), name='mid_block')(
      x, signals
    )
    return {
      x.shape[-2]: ResBlock(
        self.map_channels, dtype=self.dtype, name=f'fea_tran_{i}'
      )(x, signals.time)
      for i, x in enumerate(seen)
    }

  def _level(self, i: int, kind: str | None) -> Level:
    return Level(
      self.channels[i],
      2,
      kind,
      self.heads,
      dtype=self.dtype,
      remat=self.remat,
    )
