"""What field networks put on their encoder: colours at any position."""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr3d_jax.models.encoders import torch_bias, torch_kernel
from sr3d_jax.types import Array, FieldNetwork, Queries

# Taylor's, of cos(pi x) in x^2 and sin(pi x) in x x^2: the next term is below
# 6e-9 at |x| = 1/2.
_COS, _SIN = (
  [(-1) ** i * math.pi ** (2 * i + odd) / math.factorial(2 * i + odd)
   for i in range(7)]
  for odd in (0, 1)
)  # fmt: skip


def field_network(module: nn.Module, halo: int | None) -> FieldNetwork:
  """Lifts a linen module with `encode` and `decode` into a `FieldNetwork`.

  Args:
    module: `encode(images in [-1, 1], key, train)` -> features, and
      `decode(features, queries)` -> colours in [-1, 1]; its `__call__` does
      both.
    halo: see `FieldNetwork`.

  Returns:
    A network whose images and colours lie in [0, 1] and whose loss is the mean
    absolute error over a batch {'lr': [B, H, W, 3], 'rgb': [B, Q, 3],
    'queries'}.
  """

  def init(key):
    images = jnp.zeros((1, 16, 16, 3))
    one = jnp.full((1, 1), 8.0)
    queries = Queries(
      rows=one, columns=one, footprint=jnp.ones((1, 1, 3)), height=16, width=16
    )
    return module.init(key, images, queries)['params']

  def encode(params, images, key=None, train=False):
    variables = {'params': params}
    return module.apply(variables, 2 * images - 1, key, train, method='encode')

  def decode(params, features, queries):
    variables = {'params': params}
    colors = module.apply(variables, features, queries, method='decode')
    return (colors + 1) / 2

  def loss(params, key, batch):
    features = encode(params, batch['lr'], key, True)
    colors = decode(params, features, batch['queries'])
    error = jnp.mean(jnp.abs(colors - batch['rgb']))
    return error, {'l1': error}

  return FieldNetwork(
    init=init, encode=encode, decode=decode, loss=loss, halo=halo
  )


class MLP(nn.Module):
  """Dense layers with an activation between them, as PyTorch starts them.

  Attributes:
    widths: of each layer's output.
    activation: after each but the last.
    dtype: of the arithmetic.
  """

  widths: tuple[int, ...]
  activation: Callable[[Array], Array]
  dtype: str | None = None

  @nn.compact
  def __call__(self, x: Array) -> Array:
    for i, width in enumerate(self.widths):
      x = dense(width, x.shape[-1], dtype=self.dtype, name=f'layers_{2 * i}')(x)
      x = x if i + 1 == len(self.widths) else self.activation(x)
    return x


def dense(features: int, inputs: int, **kwargs) -> nn.Dense:
  """A dense layer that starts as PyTorch's."""
  return nn.Dense(
    features, kernel_init=torch_kernel, bias_init=torch_bias(inputs), **kwargs
  )


def gelu(x: Array) -> Array:
  """x Phi(x) (Hendrycks & Gimpel 2016), exactly.

  By erf, to 1e-6: `jax.nn.gelu` takes erfc, three times as long on a CPU, to
  keep the digits of what is next to nothing.
  """
  return x / 2 * (1 + jax.lax.erf(x * math.sqrt(0.5)))


def waves(turns: Array) -> Array:
  """[cos(pi turns), sin(pi turns)], side by side: [..., 2 C] of [..., C]."""
  return jnp.concatenate(cos_sin(turns), axis=-1)


@jax.custom_jvp
def cos_sin(turns: Array) -> tuple[Array, Array]:
  """cos(pi turns) and sin(pi turns)."""
  # 14 times as fast as `jnp.cos` and `jnp.sin` on a CPU, and closer: they are
  # given pi x, which was rounded.
  nearest = jnp.round(turns)
  x = turns - nearest
  square = x * x
  sign = 1 - 2 * jnp.abs(nearest - 2 * jnp.round(nearest / 2))
  cos, sin = (
    functools.reduce(lambda rest, term: rest * square + term, terms[::-1])
    for terms in (_COS, _SIN)
  )
  return sign * cos, sign * x * sin


@cos_sin.defjvp
def _(turns, tangents):
  cos, sin = cos_sin(*turns)
  (tangent,) = tangents
  tangent = math.pi * tangent
  return (cos, sin), (-sin * tangent, cos * tangent)


def over_pictures(function: Callable, maps: Array, queries: Queries) -> Array:
  """Maps function(picture [H, W, C], rows, columns) over a batch [B, ...]."""
  batch = maps.shape[0]
  rows, columns = (
    jnp.broadcast_to(x, (batch, *x.shape[1:]))
    for x in (queries.rows, queries.columns)
  )
  return jax.vmap(function)(maps, rows, columns)
