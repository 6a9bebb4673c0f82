"""Second derivatives on one screen, out of moments.

s = (mean x, mean y, conic xx, xy, yy, opacity); Q is the conic as a matrix and
d = pixel - mean. Each g = d log alpha / ds is a polynomial in d of degree 2 at
most, so a product of two of them is a sum over moments:

  g = (Q d, -dx^2 / 2, -dx dy, -dy^2 / 2, 1 / opacity)
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels.moments.powers import INDEX, POWERS

Array = jax.Array

_einsum = functools.partial(jnp.einsum, precision='highest')

# Where the product of two monomials of degree at most 2 lies among the moments.
_PAIRS = np.array(
  [[INDEX[k + m, l + n] for m, n in POWERS[:6]] for k, l in POWERS[:6]],
  np.int32,
)


def on_screen(
  squared: Array, signed: Array, conics: Array, opacities: Array
) -> tuple[Array, Array, Array]:
  """Forms the blocks and the gradient with respect to s.

  F = sum w alpha^2 g g^T, E = sum gam alpha (g g^T + d2 log alpha / ds^2),
  h = sum gam alpha g; see `Moments` for what is summed.

  Args:
    squared: [N, 15].
    signed: [N, 15].
    conics: [N, 3] px^-2.
    opacities: [N]; nothing is drawn where they are 0.

  Returns:
    F [N, 6, 6], E [N, 6, 6], h [N, 6].
  """
  xx, xy, yy = conics.T
  is_drawn = opacities > 0
  inverse = jnp.where(is_drawn, 1 / jnp.where(is_drawn, opacities, 1), 0)
  zero, half = jnp.zeros_like(xx), jnp.full_like(xx, -0.5)
  rows = [
    [zero, xx, xy, zero, zero, zero],
    [zero, xy, yy, zero, zero, zero],
    [zero, zero, zero, half, zero, zero],
    [zero, zero, zero, zero, 2 * half, zero],
    [zero, zero, zero, zero, zero, half],
    [inverse, zero, zero, zero, zero, zero],
  ]
  coefficients = jnp.moveaxis(jnp.asarray(rows), -1, 0)
  fisher, second = (
    _einsum('nsp,npq,ntq->nst', coefficients, x[:, _PAIRS], coefficients)
    for x in (squared, signed)
  )
  n0, nx, ny = signed[:, :3].T
  # d2 log alpha / ds^2, above the diagonal and on it.
  cross = [(0, 1, -xy * n0), (0, 2, nx), (0, 3, ny), (1, 3, nx), (1, 4, ny)]
  for i, j, value in cross:
    second = second.at[:, i, j].add(value).at[:, j, i].add(value)
  for i, value in ((0, xx), (1, yy), (5, inverse**2)):
    second = second.at[:, i, i].add(-value * n0)
  gradient = _einsum('nsp,np->ns', coefficients, signed[:, :6])
  return fisher, second, gradient


def bending(squared: Array, conics: Array, move: Array) -> Array:
  """Sums w |P^T hess_m alpha P|_F^2 over the pixels, P how the mean moves.

  hess_m alpha = alpha (Q d d^T Q - Q). With C = P P^T this is the sum of
  w alpha^2 ((d^T E d)^2 - 2 d^T Z d + tr(CQCQ)), E = Q C Q, Z = Q C Q C Q.

  Args:
    squared: [N, 15].
    conics: [N, 3] px^-2.
    move: [N, 2, U] P = d mean2d / du, px.

  Returns:
    [N].
  """
  xx, xy, yy = conics.T
  conic = jnp.stack([xx, xy, xy, yy], axis=1).reshape(-1, 2, 2)
  spread = _einsum('nsa,nta->nst', move, move)
  mixed = _einsum('nij,njk->nik', spread, conic)
  twice = _einsum('nij,njk->nik', conic, mixed)  # E
  thrice = _einsum('nij,njk->nik', twice, mixed)  # Z
  trace = _einsum('nij,nji->n', mixed, mixed)
  zero = jnp.zeros_like(xx)
  square, form = (
    jnp.stack([zero, zero, zero, x[:, 0, 0], 2 * x[:, 0, 1], x[:, 1, 1]], 1)
    for x in (twice, thrice)
  )
  fourth = _einsum('np,npq,nq->n', square, squared[:, _PAIRS], square)
  second = _einsum('np,np->n', form, squared[:, :6])
  return fourth - 2 * second + trace * squared[:, 0]
