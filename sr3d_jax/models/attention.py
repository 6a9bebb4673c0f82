"""Attention within a picture, and the arithmetic of all attention; NHWC.

`attend` is the arithmetic alone. It holds all scores at once where they are
few, and otherwise blocks of them, with the same result: softmax(q kᵀ / √D) v
can be summed over keys in any order, if the largest score so far is kept apart
(Milakov & Gimelshein 2018; Rabe & Staats 2021).

Parameters are float32; a module's `dtype` is that of its products, while norms
and softmax are in float32.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr3d_jax.types import Array

MAX_SCORES = 2**26  # held at once, 256 MiB; beyond, attention goes by blocks
MIN_BLOCK = 128  # smaller products waste a device


def attend(q: Array, k: Array, v: Array, block: int | None = None) -> Array:
  """Attends to values by softmax(q kᵀ / √D) v.

  Args:
    q: [B, Q, heads, D] queries.
    k: [B, K, heads, D] keys.
    v: [B, K, heads, D] values.
    block: queries and keys whose scores are held at once; None chooses it, so
      that at most `MAX_SCORES` are where blocks of `MIN_BLOCK` allow that.

  Returns:
    [B, Q, heads, D], of the type of `v`.
  """
  block = block or _block(q.shape, k.shape[1])
  if block >= max(q.shape[1], k.shape[1]):
    weights = jax.nn.softmax(_scores(q, k), axis=-1).astype(v.dtype)
    return jnp.einsum('bhqk,bkhd->bqhd', weights, v)
  queries = jnp.moveaxis(_blocks(q, block), 1, 0)
  keys, values = _blocks(k, block), _blocks(v, block)

  # what it does is done anew for the gradient: kept, it would fill the memory
  @jax.checkpoint
  def attend_rows(rows):
    return _attend_rows(rows, keys, values, k.shape[1])

  rows = jax.lax.map(attend_rows, queries)
  whole = jnp.moveaxis(rows, 0, 1).reshape(q.shape[0], -1, *q.shape[2:])
  return whole[:, : q.shape[1]].astype(v.dtype)


def _scores(q: Array, k: Array) -> Array:
  """q kᵀ / √D in float32: [B, heads, Q, K]."""
  scores = jnp.einsum(
    'bqhd,bkhd->bhqk', q, k, preferred_element_type=jnp.float32
  )
  return scores * q.shape[-1] ** -0.5


def _block(shape: tuple[int, ...], num_keys: int) -> int:
  """Chooses a block for queries of this shape [B, Q, heads, D]."""
  batch, num_queries, heads, _ = shape
  longest = max(num_queries, num_keys)
  if batch * heads * num_queries * num_keys <= MAX_SCORES:
    return longest
  side = math.isqrt(MAX_SCORES // (batch * heads))
  return min(longest, max(MIN_BLOCK, 2 ** (max(side, 1).bit_length() - 1)))


def _blocks(x: Array, block: int) -> Array:
  """Cuts [B, N, heads, D] into [B, blocks, block, heads, D], zeros added.

  There are as few blocks as a bound on their size permits, all alike.
  """
  number = -(-x.shape[1] // block)
  block = -(-x.shape[1] // number)
  x = jnp.pad(x, [(0, 0), (0, -x.shape[1] % block), (0, 0), (0, 0)])
  return x.reshape(x.shape[0], -1, block, *x.shape[2:])


def _attend_rows(q: Array, keys: Array, values: Array, num_keys: int) -> Array:
  """Attends from one block of queries to all blocks of keys, one by one.

  Of the keys met so far it carries, for each query, the largest score m, the
  sum of exp(score - m) and the values weighted by it.
  """
  block = keys.shape[2]

  @jax.checkpoint  # here too, or all blocks' scores are kept
  def meet(carry, each):
    largest, total, mixed = carry
    k, v, first = each
    is_key = first + jnp.arange(block) < num_keys
    scores = jnp.where(is_key, _scores(q, k), -jnp.inf)
    new = jnp.maximum(largest, scores.max(axis=-1))
    weights = jnp.exp(scores - new[..., None])
    fade = jnp.exp(largest - new)
    mixed = mixed * fade[..., None] + jnp.einsum(
      'bhqk,bkhd->bhqd',
      weights.astype(v.dtype),
      v,
      preferred_element_type=jnp.float32,
    )
    return (new, total * fade + weights.sum(axis=-1), mixed), None

  batch, rows, heads, width = q.shape
  zeros = jnp.zeros((batch, heads, rows), jnp.float32)
  start = (zeros - jnp.inf, zeros, jnp.zeros((*zeros.shape, width)))
  firsts = block * jnp.arange(keys.shape[1])
  blocks = (jnp.moveaxis(keys, 1, 0), jnp.moveaxis(values, 1, 0), firsts)
  (_, total, mixed), _ = jax.lax.scan(meet, start, blocks)
  return jnp.swapaxes(mixed / total[..., None], 1, 2)


def group_norm(groups: int, epsilon: float, name: str) -> nn.GroupNorm:
  """A group norm in float32, whatever comes in."""
  # not the difference of two large means, which loses digits
  return nn.GroupNorm(
    groups,
    epsilon=epsilon,
    dtype=jnp.float32,
    use_fast_variance=False,
    name=name,
  )


class PixelAttention(nn.Module):
  """Adds what each pixel finds among all of its picture [B, H, W, C].

  As in diffusers: a group norm, attention with biases, and a residual.

  Attributes:
    heads: that share the channels.
    groups: of the norm.
    epsilon: of the norm.
    dtype: of the products.
  """

  heads: int = 1
  groups: int = 32
  epsilon: float = 1e-6
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    batch, *_, channels = x.shape
    normed = group_norm(self.groups, self.epsilon, 'group_norm')(x)
    q, k, v = (
      nn.Dense(channels, dtype=self.dtype, name=name)(normed).reshape(
        batch, -1, self.heads, channels // self.heads
      )
      for name in ('to_q', 'to_k', 'to_v')
    )
    mixed = attend(q, k, v).reshape(x.shape)
    out = nn.Dense(
      channels,
      dtype=self.dtype,
      kernel_init=nn.initializers.zeros,
      name='to_out_0',
    )
    return x + out(mixed)


class FusedAttention(nn.Module):
  """`PixelAttention` with one kernel for q, k and v of every head.

  As in Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis",
  parameters named as there; [q, k, v] follow each other head by head.
  """

  heads: int = 1
  groups: int = 32
  epsilon: float = 1e-5
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    batch, height, width, channels = x.shape
    tokens = group_norm(self.groups, self.epsilon, 'norm')(x)
    tokens = tokens.reshape(batch, height * width, channels)
    qkv = nn.Conv(3 * channels, (1,), dtype=self.dtype, name='qkv')(tokens)
    qkv = qkv.reshape(batch, height * width, self.heads, -1)
    mixed = attend(*jnp.split(qkv, 3, axis=-1)).reshape(tokens.shape)
    out = nn.Conv(
      channels,
      (1,),
      dtype=self.dtype,
      kernel_init=nn.initializers.zeros,
      name='proj_out',
    )
    return x + out(mixed).reshape(x.shape)
