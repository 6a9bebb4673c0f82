"""The weight of a 2D Gaussian seen through a pixel."""

import jax
import jax.numpy as jnp

Array = jax.Array


def conics(
  covariances: Array, opacities: Array, footprint: Array
) -> tuple[Array, Array]:
  """Inverse covariances (S + F)^-1 [..., 3] and a sqrt(|S| / |S + F|) [...].

  Args:
    covariances: [..., 3] S.
    opacities: [...] a.
    footprint: [..., 3] F.
  """
  rr, rc, cc = jnp.moveaxis(covariances + footprint, -1, 0)
  determinant = rr * cc - rc * rc
  conic = jnp.stack([cc, -rc, rr], axis=-1) / determinant[..., None]
  rr, rc, cc = jnp.moveaxis(covariances, -1, 0)
  return conic, opacities * jnp.sqrt((rr * cc - rc * rc) / determinant)


def weight(conic: Array, amplitude: Array, row: Array, column: Array) -> Array:
  """The weight at the distance (row, column) from the centre, px."""
  power = conic[..., 0] * row * row + conic[..., 2] * column * column
  power = power / 2 + conic[..., 1] * row * column
  return amplitude * jnp.exp(-power)
