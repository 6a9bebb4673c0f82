"""Transformers of short sequences, and sets, of which some may be missing.

Norms come first (Xiong et al. 2020, "On Layer Normalization in the Transformer
Architecture") and in float32, as are softmax and the result; `dtype` is that of
the products.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr3d_jax.types import Array


class Stack(nn.Module):
  """Layers over tokens [B, N, D] that a mask [B, N] shows, and a last norm.

  What is hidden is not attended to; its own result means nothing.

  Attributes:
    layers: of attention and of a hidden layer 4 D wide.
    heads: of each attention.
    dtype: of the products.
    crosses: whether each layer attends to others [B, M, D], too.
  """

  layers: int
  heads: int
  dtype: Any = jnp.float32
  crosses: bool = False

  @nn.compact
  def __call__(
    self,
    x: Array,
    mask: Array,
    others: Array | None = None,
    others_mask: Array | None = None,
  ) -> Array:
    width = x.shape[-1]
    for _ in range(self.layers):
      y = _norm()(x)
      x = x + MaskedAttention(self.heads, self.dtype)(y, y, mask)
      if self.crosses:
        cross = MaskedAttention(self.heads, self.dtype)
        x = x + cross(_norm()(x), others, others_mask)
      y = nn.Dense(4 * width, dtype=self.dtype)(_norm()(x))
      x = x + nn.Dense(width, dtype=self.dtype)(nn.gelu(y))
    return _norm()(x)


class MaskedAttention(nn.Module):
  """Attends from tokens [B, N, D] to others [B, M, D] that a mask [B, M] shows.

  A row that sees none finds their mean. Unlike `attention.attend` it knows
  masks, and holds all scores at once: sequences are of a handful of tokens.
  """

  heads: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, others: Array, mask: Array) -> Array:
    batch, _, width = x.shape
    q, k, v = (
      nn.Dense(width, dtype=self.dtype, name=name)(tokens).reshape(
        batch, -1, self.heads, width // self.heads
      )
      for name, tokens in (('q', x), ('k', others), ('v', others))
    )
    scores = jnp.einsum(
      'bqhd,bkhd->bhqk', q, k, preferred_element_type=jnp.float32
    )
    # not -inf, of which a row with nothing else would make NaN
    hidden = jnp.finfo(scores.dtype).min
    scores = scores * q.shape[-1] ** -0.5
    scores = jnp.where(mask[:, None, None], scores, hidden)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    mixed = jnp.einsum('bhqk,bkhd->bqhd', weights, v).reshape(x.shape)
    return nn.Dense(width, dtype=self.dtype, name='out')(mixed)


class SetToken(nn.Module):
  """One token [B, 1, D] of a set [B, k, C], and whether it has any [B, 1].

  Two layers for each element, then the largest and the mean: the order of a
  set means nothing. Of none, both are 0.
  """

  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, mask: Array) -> tuple[Array, Array]:
    x = nn.Dense(self.width, dtype=self.dtype)(shown(x, mask))
    x = nn.Dense(self.width, dtype=self.dtype)(nn.gelu(x)).astype(jnp.float32)
    is_any = jnp.any(mask, axis=1, keepdims=True)
    least = jnp.finfo(x.dtype).min
    largest = jnp.max(
      jnp.where(mask[..., None], x, least), axis=1, initial=least
    )
    count = jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1)
    mean = jnp.sum(shown(x, mask), axis=1) / count
    pooled = jnp.concatenate([jnp.where(is_any, largest, 0), mean], axis=-1)
    return nn.Dense(self.width, dtype=self.dtype)(pooled)[:, None], is_any


def shown(x: Array, mask: Array) -> Array:
  """Zeros in place of what a mask hides: no NaN of it enters a product."""
  return jnp.where(mask[..., None], x, 0)


def _norm() -> nn.LayerNorm:
  return nn.LayerNorm(dtype=jnp.float32, use_fast_variance=False)
