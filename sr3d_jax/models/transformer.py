"""The transformers in latent diffusion's UNets, between pictures and contexts.

Parameters have the names of diffusers and are float32; `dtype` is that of the
products, while norms and softmax are in float32.
"""

import flax.linen as nn
import jax.numpy as jnp

from sr3d_jax.models.attention import attend, group_norm
from sr3d_jax.types import Array


class Transformer(nn.Module):
  """Adds to a picture [B, H, W, C] what it finds in itself and in a context.

  A group norm, a projection, one transformer block and its way back (Rombach
  et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models").

  Attributes:
    heads: that share the channels.
    groups: of the norm.
    is_linear: whether the projections' kernels are [C, C], as in SD 2, rather
      than [1, 1, C, C], as in SD 1.
    only_context: whether the first attention, too, is to the context.
    dtype: of the products.
  """

  heads: int
  groups: int = 32
  is_linear: bool = True
  only_context: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, context: Array) -> Array:
    batch, height, width, channels = x.shape
    y = group_norm(self.groups, 1e-6, 'norm')(x)
    y = self._project(channels, 'proj_in')(y)
    y = _TransformerBlock(
      self.heads, self.only_context, self.dtype, name='transformer_blocks_0'
    )(y.reshape(batch, -1, channels), context)
    y = y.reshape(batch, height, width, channels)
    return x + self._project(
      channels, 'proj_out', kernel_init=nn.initializers.zeros
    )(y)

  def _project(self, channels: int, name: str, **kwargs) -> nn.Module:
    kwargs = {'dtype': self.dtype, 'name': name} | kwargs
    if self.is_linear:
      return nn.Dense(channels, **kwargs)
    return nn.Conv(channels, (1, 1), **kwargs)


class _TransformerBlock(nn.Module):
  """Attention within tokens [B, N, C], to a context, and a gated layer."""

  heads: int
  only_context: bool
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, context: Array) -> Array:
    attn1, attn2 = (
      _Attention(self.heads, self.dtype, name=name)
      for name in ('attn1', 'attn2')
    )
    y = _layer_norm('norm1')(x)
    x = x + attn1(y, context if self.only_context else y)
    x = x + attn2(_layer_norm('norm2')(x), context)
    return x + _GatedLayer(self.dtype, name='ff')(_layer_norm('norm3')(x))


class _Attention(nn.Module):
  """Attends from tokens [B, N, C] to others [B, M, D], biased only at last."""

  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, others: Array) -> Array:
    batch, _, channels = x.shape
    q, k, v = (
      nn.Dense(channels, use_bias=False, dtype=self.dtype, name=name)(
        tokens
      ).reshape(batch, -1, self.heads, channels // self.heads)
      for name, tokens in (('to_q', x), ('to_k', others), ('to_v', others))
    )
    mixed = attend(q, k, v).reshape(x.shape)
    return nn.Dense(channels, dtype=self.dtype, name='to_out_0')(mixed)


class _GatedLayer(nn.Module):
  """x W₁ · gelu(x W₂), 4 C wide, and back (Shazeer 2020, GEGLU)."""

  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    channels = x.shape[-1]
    y = nn.Dense(8 * channels, dtype=self.dtype, name='net_0_proj')(x)
    y, gate = jnp.split(y, 2, axis=-1)
    y = y * nn.gelu(gate, approximate=False)
    return nn.Dense(channels, dtype=self.dtype, name='net_2')(y)


def _layer_norm(name: str) -> nn.LayerNorm:
  return nn.LayerNorm(
    epsilon=1e-5, dtype=jnp.float32, use_fast_variance=False, name=name
  )
