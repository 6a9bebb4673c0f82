"""Dangerous functions made safe: a value and a gradient everywhere.

Each replaces the bad argument *before* the arithmetic (the double-`where`
trick), so that neither the value nor the cotangent is ever NaN.
"""

import jax
import jax.numpy as jnp

from sr3d_jax.types import Array


def safe_sqrt(x: Array) -> Array:
  """Square root; 0 with zero gradient where x <= 0."""
  positive = x > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def safe_divide(numerator: Array, denominator: Array) -> Array:
  """Quotient; 0 with zero gradients where the denominator is 0."""
  nonzero = denominator != 0
  return jnp.where(nonzero, numerator / jnp.where(nonzero, denominator, 1), 0)


def safe_norm(x: Array, axis: int = -1, keepdims: bool = False) -> Array:
  """Euclidean norm; 0 with zero gradient at the origin."""
  return safe_sqrt(jnp.sum(x * x, axis=axis, keepdims=keepdims))


def normalize(x: Array, axis: int = -1) -> Array:
  """x / |x|; 0 with zero gradient at the origin."""
  return safe_divide(x, safe_norm(x, axis=axis, keepdims=True))


def inverse_sigmoid(p: Array) -> Array:
  """Logit of a probability; infinite at 0 and 1."""
  return jnp.log(p) - jnp.log1p(-p)


def log_linear(start: float, stop: float, fraction: Array) -> Array:
  """Interpolates geometrically: `start` at fraction 0, `stop` at 1.

  An end of 0 stands for the least normal number, so that 0 to 0 moves nothing.
  """
  fraction = jnp.clip(fraction, 0.0, 1.0)
  least = jnp.finfo(jnp.float32).tiny
  first, last = (jnp.log(jnp.maximum(end, least)) for end in (start, stop))
  return jnp.exp((1 - fraction) * first + fraction * last)


def all_finite(tree) -> dict[str, Array]:
  """Says for each leaf, by its path, whether all of it is finite."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {
    jax.tree_util.keystr(path).lstrip('.'): jnp.all(jnp.isfinite(leaf))
    for path, leaf in leaves
    if jnp.issubdtype(leaf.dtype, jnp.floating)
  }
