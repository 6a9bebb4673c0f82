"""What field networks put on their encoder: colours at any position."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from sr3d_jax.models.encoders import torch_bias, torch_kernel
from sr3d_jax.types import Array, FieldNetwork, Queries


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


def over_pictures(function: Callable, maps: Array, queries: Queries) -> Array:
  """Maps function(picture [H, W, C], rows, columns) over a batch [B, ...]."""
  batch = maps.shape[0]
  rows, columns = (
    jnp.broadcast_to(x, (batch, *x.shape[1:]))
    for x in (queries.rows, queries.columns)
  )
  return jax.vmap(function)(maps, rows, columns)
