"""Which shapes of a bank pictures take, and how kinds of pictures differ.

A usage is a share for each of K shapes, summing to 1: the mean over pixels of
the chances that `kernel_bank.choose` weighs shapes by.
"""

import jax.numpy as jnp

from sr3d_jax.kernel_bank import Shapes
from sr3d_jax.types import Array

FAINT = 1e-6  # of a share in a quotient of two: a bank has at most 1e3 shapes


def entropy(chances: Array) -> Array:
  """Of the last axis, nats: [..., K] -> [...]."""
  logs = jnp.log(jnp.maximum(chances, jnp.finfo(jnp.float32).tiny))
  return -jnp.sum(chances * logs, axis=-1)


def perplexity(usage: Array) -> Array:
  """How many shapes, equally taken, would be as many: 1 to K."""
  return jnp.exp(entropy(usage))


def divergence(usage: Array, other: Array) -> Array:
  """KL(usage | other) = sum u log(u / o), nats; 0 for equal usages."""
  usage, other = (jnp.maximum(x, FAINT) for x in (usage, other))
  return jnp.sum(usage * jnp.log(usage / other), axis=-1)


def num_taken(chances: Array) -> Array:
  """How many shapes are the likeliest of some pixel: [..., K] -> []."""
  best = jnp.argmax(chances, axis=-1).reshape(-1)
  counts = jnp.bincount(best, length=chances.shape[-1])
  return jnp.sum(counts > 0)


def flips(chances: Array, other: Array) -> Array:
  """Share of pixels whose likeliest shape differs: two [..., K] -> []."""
  return jnp.mean(jnp.argmax(chances, axis=-1) != jnp.argmax(other, axis=-1))


def anisotropy(shapes: Shapes) -> Array:
  """Longest by shortest standard deviation of each shape, at least 1: [...]."""
  rr, rc, cc = jnp.moveaxis(shapes.covariances(), -1, 0)
  middle, reach = (rr + cc) / 2, jnp.hypot((rr - cc) / 2, rc)
  return jnp.sqrt((middle + reach) / (middle - reach))


def spread(shapes: Shapes) -> Array:
  """Root mean square of each shape's standard deviations, px: [...]."""
  return jnp.sqrt((shapes.sigma_rows**2 + shapes.sigma_columns**2) / 2)
