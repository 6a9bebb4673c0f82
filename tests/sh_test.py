"""Harmonics are orthonormal, turn with the world, and keep 3DGS's signs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import sh
from sr3d_jax.geometry import quat_to_rotation


def _directions(num):
  vectors = np.random.default_rng(0).normal(size=(num, 3))
  return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype('f')


def _coefficients(degree, num=5):
  shape = (num, (degree + 1) ** 2, 3)
  return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def test_basis_is_orthonormal():
  # Gauss-Legendre in z times a uniform grid in azimuth is exact here.
  z, z_weights = np.polynomial.legendre.leggauss(8)
  azimuth = 2 * np.pi * np.arange(16) / 16
  z, azimuth = np.meshgrid(z, azimuth, indexing='ij')
  ring = np.sqrt(1 - z * z)
  grid = np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), z], axis=-1)
  weights = np.repeat(z_weights[:, None], 16, axis=1) * 2 * np.pi / 16
  values = sh.basis(grid, 3)
  gram = np.einsum('ij,ijk,ijl->kl', weights, values, values)
  np.testing.assert_allclose(gram, np.eye(16), atol=2e-6)


def test_signs_and_order_are_those_of_3dgs_files():
  x, y, z = 0.48, -0.6, 0.64
  values = sh.basis(jnp.asarray([x, y, z]), 3)
  linear = 0.48860251 * np.array([-y, z, -x])
  np.testing.assert_allclose(values[1:4], linear, rtol=1e-6)
  np.testing.assert_allclose(values[5], -1.09254843 * y * z, rtol=1e-6)
  last = -0.59004359 * x * (x * x - 3 * y * y)
  np.testing.assert_allclose(values[15], last, rtol=1e-6)


def test_evaluate_sums_without_a_shift():
  coefficients = _coefficients(2)
  directions = _directions(5)
  expected = np.einsum(
    'nk,nkc->nc', sh.basis(directions, 2), coefficients, dtype=np.float64
  )
  np.testing.assert_allclose(
    sh.evaluate(coefficients, directions), expected, atol=2e-6
  )


@pytest.mark.parametrize('degree', [0, 1, 2, 3])
def test_a_rotated_function_takes_its_old_values_at_rotated_directions(degree):
  rotation = quat_to_rotation(jnp.asarray([0.3, -0.5, 0.8, 0.2]))
  coefficients, directions = _coefficients(degree), _directions(5)
  rotated = jax.jit(sh.rotate)(coefficients, rotation)
  np.testing.assert_allclose(
    sh.evaluate(rotated, directions @ rotation.T),
    sh.evaluate(coefficients, directions),
    atol=5e-6,
  )


def test_rotation_keeps_each_band_to_itself():
  rotation = quat_to_rotation(jnp.asarray([0.3, -0.5, 0.8, 0.2]))
  only_second = _coefficients(3)
  only_second[:, :4] = only_second[:, 9:] = 0
  rotated = sh.rotate(only_second, rotation)
  np.testing.assert_allclose(rotated[:, :4], 0, atol=2e-6)
  np.testing.assert_allclose(rotated[:, 9:], 0, atol=2e-6)


def test_degree_mask_follows_a_traced_degree():
  mask = jax.jit(sh.degree_mask, static_argnums=0)
  for degree, kept in [(0, 1), (1, 4), (2, 9), (3, 16)]:
    np.testing.assert_array_equal(mask(16, degree), np.arange(16) < kept)


def test_colour_round_trips_and_looks_the_same_from_everywhere():
  rgb = np.array([[0.1, 0.5, 0.9], [0.0, 1.0, 0.3]], np.float32)
  coefficients = sh.from_rgb(rgb, 3)
  assert coefficients.shape == (2, 16, 3)
  np.testing.assert_allclose(sh.to_rgb(coefficients), rgb, atol=1e-6)
  seen = sh.evaluate(coefficients, _directions(2)) + 0.5
  np.testing.assert_allclose(seen, rgb, atol=1e-6)


def test_wrong_counts_are_refused():
  assert [sh.degree_of(k) for k in (1, 4, 9, 16)] == [0, 1, 2, 3]
  with pytest.raises(ValueError, match='got 3'):
    sh.degree_of(3)
  with pytest.raises(ValueError, match='degree must be'):
    sh.basis(_directions(2), 4)
