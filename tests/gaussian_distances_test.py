"""Distances between Gaussians against SciPy, thin and repeated axes too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import integrate, linalg

from sr3d_jax.gaussian_distances import bures, factor, hellinger, polar

bures, hellinger, polar = map(jax.jit, (bures, hellinger, polar))


def _factors(seed, shape=(), thinnest=0.1):
  """Random rotations times deviations in [thinnest, 1]."""
  rng = np.random.default_rng(seed)
  turn = np.linalg.qr(rng.normal(size=(*shape, 3, 3)))[0]
  deviations = rng.uniform(thinnest, 1.0, (*shape, 1, 3))
  return turn * deviations


def _published(mean, a, other, b):
  """|μ - ν|² + tr(A + B - 2 (A^½ B A^½)^½) by SciPy's square roots."""
  root = linalg.sqrtm(a)
  cross = linalg.sqrtm(root @ b @ root).real
  return np.sum((mean - other) ** 2) + np.trace(a + b - 2 * cross)


@pytest.mark.parametrize('x64, rtol', [(True, 1e-10), (False, 2e-4)])
def test_bures_is_the_formula_with_square_roots(x64, rtol):
  rng = np.random.default_rng(0)
  means, others = rng.normal(size=(2, 8, 3))
  f, g = _factors(1, (8,)), _factors(2, (8,))
  wanted = [
    _published(means[i], f[i] @ f[i].T, others[i], g[i] @ g[i].T)
    for i in range(8)
  ]
  with jax.enable_x64(x64):
    arrays = [jnp.asarray(x, float) for x in (means, f, others, g)]
    np.testing.assert_allclose(bures(*arrays), wanted, rtol=rtol)
    # only the covariance counts, not which factor it is given by
    turned = arrays[1] @ jnp.asarray(np.linalg.qr(rng.normal(size=(3, 3)))[0])
    arrays[1] = turned.astype(arrays[0].dtype)
    np.testing.assert_allclose(bures(*arrays), wanted, rtol=rtol)


def test_the_gradient_of_bures_is_one_less_the_optimal_transport():
  f, g = _factors(3), _factors(4)
  a, b = f @ f.T, g @ g.T
  root = linalg.sqrtm(a)
  back = np.linalg.inv(root)
  transport = back @ linalg.sqrtm(root @ b @ root).real @ back
  with jax.enable_x64(True):
    zero = jnp.zeros(3)
    f, g = jnp.asarray(f), jnp.asarray(g)
    slope = jax.grad(lambda f: bures(zero, f, zero, g))(f)
    # d/dF of a function of F Fᵀ with the gradient I - T is 2 (I - T) F
    wanted = 2 * (np.eye(3) - transport) @ np.asarray(f)
    np.testing.assert_allclose(slope, wanted, rtol=1e-9, atol=1e-10)
    # and it is that of the formula, by differences, in both arguments
    check_grads(bures, (zero + 0.3, f, zero, g), 1, ['rev'])


def test_bures_has_a_gradient_at_equal_axes_and_at_itself():
  zero, unit = jnp.zeros(3), jnp.eye(3)
  slope = jax.grad(lambda f: bures(zero, f, zero, 2 * unit))
  # |F - 2 I|²
  np.testing.assert_allclose(slope(unit), -2 * unit, atol=1e-5)
  np.testing.assert_allclose(slope(2 * unit), 0 * unit, atol=1e-5)
  for f in (jnp.zeros((3, 3)), jnp.diag(jnp.array([1.0, 0, 0]))):
    value = bures(zero, f, zero, jnp.diag(jnp.array([1.0, 1.0, 0])))
    assert value == pytest.approx(2 - float(jnp.sum(f)), abs=1e-5)
    assert np.isfinite(slope(f)).all()


def test_thin_gaussians_keep_their_digits_in_float32():
  thin = jnp.asarray(_factors(5) * [1, 1, 1e-4], jnp.float32)
  zero = jnp.zeros(3)
  # the thin axis alone differs: (1e-4 d - 2e-4 d)², and no rounding of 1
  wider = thin * jnp.array([1, 1, 2.0])
  wanted = np.sum(np.asarray(thin)[:, 2] ** 2)
  assert bures(zero, thin, zero, wider) == pytest.approx(wanted, rel=0.05)
  slope = jax.grad(lambda f: bures(zero, f, zero, wider))(thin)
  np.testing.assert_allclose(
    slope, 2 * np.asarray(thin - wider), atol=1e-6 * float(jnp.max(thin))
  )


def test_polar_factors_are_scipys():
  matrices = np.random.default_rng(6).normal(size=(16, 3, 3))
  assert np.linalg.det(matrices).min() < 0 < np.linalg.det(matrices).max()
  wanted = [linalg.polar(x)[0] for x in matrices]
  np.testing.assert_allclose(polar(jnp.asarray(matrices)), wanted, atol=1e-4)


def test_polar_factors_are_orthogonal_where_matrices_are_singular():
  matrices = jnp.stack(
    [jnp.zeros((3, 3)), jnp.ones((3, 3)), jnp.diag(jnp.array([1.0, 1e-6, 0]))]
  )
  found = polar(matrices)
  np.testing.assert_allclose(
    found @ jnp.swapaxes(found, -1, -2), jnp.stack([jnp.eye(3)] * 3), atol=1e-4
  )


def test_factors_square_to_their_covariances():
  f = _factors(7, (5,))
  covariances = jnp.asarray(f @ np.swapaxes(f, -1, -2))
  found = factor(covariances)
  np.testing.assert_allclose(
    found @ jnp.swapaxes(found, -1, -2), covariances, atol=1e-6
  )
  # what is negative by rounding is nothing
  assert np.isfinite(factor(jnp.diag(jnp.array([1.0, 1.0, -1e-8])))).all()


def test_hellinger_is_the_integral_of_its_definition():
  # along one axis: 1 - ∫ √(p q), the other two alike
  def density(x, mean, deviation):
    z = (x - mean) / deviation
    return np.exp(-z * z / 2) / (deviation * np.sqrt(2 * np.pi))

  overlap, _ = integrate.quad(
    lambda x: np.sqrt(density(x, 0.2, 0.5) * density(x, 1.0, 1.5)), -20, 20
  )
  turn = np.linalg.qr(np.random.default_rng(8).normal(size=(3, 3)))[0]
  wide = turn * [1.5, 0.7, 0.3]
  thin = turn * [0.5, 0.7, 0.3]
  found = hellinger(
    jnp.asarray(0.2 * turn[:, 0]), jnp.asarray(thin),
    jnp.asarray(1.0 * turn[:, 0]), jnp.asarray(wide),
  )  # fmt: skip
  assert found == pytest.approx(1 - overlap, rel=1e-4)


def test_hellinger_lies_between_the_same_and_the_far():
  zero, unit = jnp.zeros(3), jnp.eye(3)
  assert hellinger(zero, unit, zero, unit) == pytest.approx(0, abs=1e-6)
  assert hellinger(zero + 20, unit, zero, unit) == pytest.approx(1)
  slopes = jax.grad(hellinger, (0, 1))(zero, unit, zero, unit)
  assert all(np.isfinite(slope).all() for slope in slopes)
