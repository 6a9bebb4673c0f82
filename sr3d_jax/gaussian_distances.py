"""How far Gaussians are apart, in three dimensions.

A covariance is given by a factor F, C = F Fᵀ, as `children` makes it: distances
then need no root of a matrix, lose no digits of a thin axis, and have gradients
where eigenvalues are equal.
"""

import jax
import jax.numpy as jnp

from sr3d_jax.numerics import safe_divide
from sr3d_jax.types import Array

_POLAR_STEPS = 12  # for ratios of singular values up to 1e6


def bures(
  means: Array, factors: Array, other_means: Array, other_factors: Array
) -> Array:
  """Squared Bures-Wasserstein distance of Gaussians, [...].

  |μ - ν|² + tr(A + B - 2 (A^½ B A^½)^½), A = F Fᵀ and B = G Gᵀ. Its second
  part is the least |F - G Q|² over orthogonal Q (Bhatia et al. 2019, "On the
  Bures-Wasserstein distance between positive definite matrices", theorem 1),
  which the polar factor Q of Gᵀ F attains. It is never negative, and since Q is
  the best, nothing of the gradient passes through it: I - T, T the optimal
  transport, by the envelope theorem.

  Args:
    means: [..., 3] μ.
    factors: [..., 3, 3] F.
    other_means: [..., 3] ν.
    other_factors: [..., 3, 3] G.
  """
  product = _matmul(jnp.swapaxes(other_factors, -1, -2), factors)
  turned = _matmul(other_factors, polar(jax.lax.stop_gradient(product)))
  apart = jnp.sum((means - other_means) ** 2, axis=-1)
  return apart + jnp.sum((factors - turned) ** 2, axis=(-2, -1))


def polar(matrices: Array) -> Array:
  """Orthogonal Q of K = Q P, P positive semidefinite: [..., 3, 3].

  Newton's iteration Q <- (c Q + Q^-T / c) / 2 with c² = |Q^-1| / |Q| (Higham
  1986, "Computing the polar decomposition"). Where K is singular, some
  orthogonal Q that is right wherever it matters.
  """
  eps = 8 * jnp.finfo(matrices.dtype).eps
  x = safe_divide(matrices, _norm(matrices)) + eps * jnp.eye(
    3, dtype=matrices.dtype
  )

  def step(x, _):
    inverse = _inverse_transposed(x)
    ratio = jnp.sqrt(_norm(inverse) / _norm(x))
    return (ratio * x + inverse / ratio) / 2, None

  return jax.lax.scan(step, x, None, length=_POLAR_STEPS)[0]


def factor(covariances: Array) -> Array:
  """F with F Fᵀ = C of targets [..., 3, 3]; no gradient passes.

  What rounding makes negative of an eigenvalue counts as 0.
  """
  values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(covariances))
  return vectors * jnp.sqrt(jnp.maximum(values, 0.0))[..., None, :]


def hellinger(
  means: Array, factors: Array, other_means: Array, other_factors: Array
) -> Array:
  """Squared Hellinger distance of Gaussians, [...] in [0, 1].

  1 - (det A det B)^¼ det(S)^-½ exp(-(μ - ν)ᵀ S^-1 (μ - ν) / 8), S the mean of
  the covariances A and B; 3DGS2-TR (arXiv 2602.00395) trusts steps as far.

  Args:
    means: [..., 3] μ.
    factors: [..., 3, 3] F, not singular.
    other_means: [..., 3] ν.
    other_factors: [..., 3, 3] G, not singular.
  """
  within = (_squared(factors) + _squared(other_factors)) / 2
  shift = means - other_means
  inverse = _inverse_transposed(within)  # symmetric
  pulled = _matmul(inverse, shift[..., None])[..., 0]
  mahalanobis = jnp.sum(shift * pulled, axis=-1)
  logs = (_log_det(factors) + _log_det(other_factors) - _log_det(within)) / 2
  return -jnp.expm1(jnp.minimum(logs - mahalanobis / 8, 0.0))


def _matmul(a: Array, b: Array) -> Array:
  return jnp.matmul(a, b, precision='highest')


def _norm(x: Array) -> Array:
  """Frobenius norms [..., 1, 1]."""
  return jnp.sqrt(jnp.sum(x * x, axis=(-2, -1), keepdims=True))


def _squared(factors: Array) -> Array:
  return _matmul(factors, jnp.swapaxes(factors, -1, -2))


def _cofactors(x: Array) -> tuple[Array, Array]:
  """Cofactors of [..., 3, 3], rows crossed, and determinants [...]."""
  a, b, c = jnp.moveaxis(x, -2, 0)
  rows = jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)
  return jnp.stack(rows, axis=-2), jnp.sum(a * rows[0], axis=-1)


def _inverse_transposed(x: Array) -> Array:
  """X^-T; huge and finite where X is singular to rounding."""
  cofactors, det = _cofactors(x)
  least = jnp.finfo(x.dtype).eps ** 2
  det = jnp.where(jnp.abs(det) < least, jnp.where(det < 0, -least, least), det)
  return cofactors / det[..., None, None]


def _log_det(x: Array) -> Array:
  return jnp.log(jnp.abs(_cofactors(x)[1]))
