"""Real spherical harmonics up to degree 3: colour that follows the viewpoint.

K = (degree + 1)² coefficients, in the order and with the signs of 3DGS files.
A function on the sphere is the plain sum Σ c_k Y_k(d); the half that 3DGS adds
to a colour belongs to whoever draws.
"""

import math

import jax.numpy as jnp
import numpy as np

from sr3d_jax.types import Array

C0 = 0.5 / math.sqrt(math.pi)
MAX_DEGREE = 3


def degree_of(num_coefficients: int) -> int:
  """Gives the degree that has `num_coefficients` harmonics."""
  degree = math.isqrt(num_coefficients) - 1
  if (degree + 1) ** 2 != num_coefficients or not 0 <= degree <= MAX_DEGREE:
    raise ValueError(
      f'harmonics come in 1, 4, 9 or 16, got {num_coefficients}: is the '
      'coefficient axis the last but one?'
    )
  return degree


def basis(directions: Array, degree: int) -> Array:
  """Evaluates the harmonics at unit directions.

  Args:
    directions: [..., 3] unit vectors.
    degree: 0 to 3.

  Returns:
    [..., K].
  """
  if not 0 <= degree <= MAX_DEGREE:
    raise ValueError(f'degree must be 0 to {MAX_DEGREE}, got {degree}')
  return jnp.stack(_terms(jnp.asarray(directions), degree), axis=-1)


def evaluate(sh: Array, directions: Array) -> Array:
  """Sums harmonics: Σ c_k Y_k(d), without shift or clamp.

  Args:
    sh: [..., K, 3] coefficients.
    directions: [..., 3] unit vectors.

  Returns:
    [..., 3].
  """
  terms = basis(directions, degree_of(sh.shape[-2]))
  return jnp.sum(terms[..., None] * sh, axis=-2)


def degree_mask(num_coefficients: int, degree: int | Array) -> Array:
  """Marks with 1 the harmonics up to `degree`, which may be traced: [K]."""
  degree_of(num_coefficients)
  bands = np.sqrt(np.arange(num_coefficients)).astype(int)
  return (bands <= degree) * jnp.ones(num_coefficients)


def from_rgb(rgb: Array, degree: int = 0) -> Array:
  """Makes the coefficients [..., K, 3] of a colour [..., 3] seen all round."""
  dc = (rgb - 0.5)[..., None, :] / C0
  num_rest = (degree + 1) ** 2 - 1
  return jnp.pad(dc, [(0, 0)] * (dc.ndim - 2) + [(0, num_rest), (0, 0)])


def to_rgb(sh: Array) -> Array:
  """Gives the mean colour [..., 3] over all directions of [..., K, 3]."""
  return sh[..., 0, :] * C0 + 0.5


def rotate(sh: Array, rotation: Array) -> Array:
  """Rotates functions on the sphere: f'(R d) = f(d).

  Rotation keeps each band to itself, so matching f' to f at fixed directions,
  at least as many as harmonics, has one exact solution.

  Args:
    sh: [..., K, 3] coefficients.
    rotation: [3, 3].

  Returns:
    [..., K, 3].
  """
  degree = degree_of(sh.shape[-2])
  samples = _fibonacci_sphere(4 * sh.shape[-2])
  fit = np.linalg.pinv(np.stack(_terms(samples, degree), axis=-1))
  turned_back = jnp.sum(samples[:, :, None] * rotation, axis=1)
  terms = basis(turned_back, degree)
  return jnp.einsum('ks,sj,...jc->...kc', fit, terms, sh, precision='highest')


def rotate_linear(linear: Array, rotations: Array) -> Array:
  """Rotates the band of degree 1 alone, each function by its own rotation.

  That band is a vector along the direction of steepest growth,
  v = (-c_3, -c_1, c_2), which turns as vectors do: what `rotate` finds, without
  a fit.

  Args:
    linear: [..., 3, 3] the coefficients 1 to 3 of three colours.
    rotations: [..., 3, 3].

  Returns:
    [..., 3, 3].
  """
  c = jnp.moveaxis(linear, -2, 0)
  vectors = jnp.stack([-c[2], -c[0], c[1]], axis=-2)
  x, y, z = jnp.moveaxis(
    jnp.einsum('...ij,...jc->...ic', rotations, vectors, precision='highest'),
    -2,
    0,
  )
  return jnp.stack([-y, z, -x], axis=-2)


def _terms(directions, degree: int) -> list:
  """Lists the K harmonics at directions [..., 3], NumPy or JAX alike."""
  x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
  terms = [C0 + 0 * x]
  if degree >= 1:
    terms += [-0.48860251 * y, 0.48860251 * z, -0.48860251 * x]
  if degree >= 2:
    xx, yy, zz = x * x, y * y, z * z
    terms += [
      1.09254843 * x * y,
      -1.09254843 * y * z,
      0.31539157 * (3 * zz - 1),
      -1.09254843 * x * z,
      0.54627422 * (xx - yy),
    ]
  if degree >= 3:
    terms += [
      -0.59004359 * y * (3 * xx - yy),
      2.89061144 * x * y * z,
      -0.45704579 * y * (5 * zz - 1),
      0.37317633 * z * (5 * zz - 3),
      -0.45704579 * x * (5 * zz - 1),
      1.44530572 * z * (xx - yy),
      -0.59004359 * x * (xx - 3 * yy),
    ]
  return terms


def _fibonacci_sphere(num_points: int) -> np.ndarray:
  """Spreads [S, 3] unit vectors evenly along a golden spiral."""
  index = np.arange(num_points) + 0.5
  z = 1 - 2 * index / num_points
  azimuth = np.pi * (1 + math.sqrt(5)) * index
  ring = np.sqrt(1 - z * z)
  points = [ring * np.cos(azimuth), ring * np.sin(azimuth), z]
  return np.stack(points, axis=-1).astype(np.float32)
