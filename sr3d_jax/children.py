"""Children of a Gaussian that keep what their parent was until told otherwise.

Slots are given in the parent's whitened frame, u = diag(s)^-1 R^T (x - mean)
with the axes from the longest to the shortest. Where they say nothing, the
mixture Σ w (u uᵀ + C) is the unit Gaussian again: mean and covariance of the
parent are kept, and opacities make up for what compositing loses. A symmetric
matrix is six numbers, its upper triangle row by row.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import geometry
from sr3d_jax import sh as harmonics
from sr3d_jax.numerics import inverse_sigmoid, normalize, safe_divide, safe_norm
from sr3d_jax.types import Array, Gaussians

TEMPLATES = {
  1: np.zeros((1, 3)),
  2: np.array([[0.5, 0, 0], [-0.5, 0, 0]]),
  4: np.array([[x, y, 0] for x in (0.5, -0.5) for y in (0.5, -0.5)]),
}
# Factors of o / m that keep the integral of alpha, in the mean over the views
# along the three axes: A (1 + a o + b o²), fitted for o in [0.02, 0.99].
OPACITY_FITS = {
  1: (1.0, 0.0, 0.0),
  2: (1.098, 0.107, 0.041),
  4: (1.209, 0.165, 0.065),
}
REACH = np.array([1.5, 1.5, 0.45])  # of an offset, in the parent's deviations
MAX_SPREAD = 0.8  # of a parent's variance that lies between its children
_LEAST_SPREAD = 1e-10
MAX_OPACITY = 0.99  # where the rasteriser, too, cuts
MAX_ANISOTROPY = 20.0  # longest over middle deviation, or as its parent's
_UPPER = ((0, 1, 2), (1, 3, 4), (2, 4, 5))
_ROOT_STEPS = 8  # from 1 - 0.2 to float64's rounding, quadratically
_SWEEPS = 5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Children:
  """What parents [B] become, m each; differentiable everywhere.

  Attributes:
    means: [B, m, 3], scene units.
    factors: [B, m, 3, 3] F with the covariance F Fᵀ. Squaring would cost the
      thin axis half of its digits.
    opacities: [B, m].
    sh: [B, m, K, 3].
  """

  means: Array
  factors: Array
  opacities: Array
  sh: Array

  @property
  def covariances(self) -> Array:
    """[B, m, 3, 3], squared scene units."""
    return _matmul(self.factors, jnp.swapaxes(self.factors, -1, -2))


@jax.jit
def frames(gaussians: Gaussians) -> tuple[Array, Array]:
  """Axes and deviations of Gaussians [N], the longest first.

  Returns:
    [N, 3, 3] proper rotations, whose columns are the axes, and [N, 3].
  """
  order = jnp.argsort(-gaussians.log_scales, axis=-1)
  rotation = geometry.quat_to_rotation(gaussians.quats)
  rotation = jnp.take_along_axis(rotation, order[:, None], axis=-1)
  # An odd order of the axes mirrors them; the sign of the last one does not
  # change the Gaussian.
  first, second, last = jnp.moveaxis(rotation, -1, 0)
  sign = jnp.sign(jnp.sum(jnp.cross(first, second) * last, axis=-1))
  rotation = rotation.at[..., 2].multiply(sign[:, None])
  return rotation, jnp.take_along_axis(gaussians.scales, order, axis=-1)


def shared(opacities: Array, num_children: int) -> Array:
  """Opacity of each of m children of the template that cover what one did.

  phi_m(o) = (o / m) A (1 + a o + b o²), see `OPACITY_FITS`. Sharing optical
  depth in its place would add a fifth and more where o is 0.9.
  """
  _check_count(num_children)
  scale, first, second = OPACITY_FITS[num_children]
  growth = 1 + first * opacities + second * opacities**2
  return opacities / num_children * scale * growth


@functools.partial(jax.jit, static_argnames='keep_mean')
def conserve(
  parents: Gaussians,
  offsets: Array,
  log_covs: Array,
  opacity: Array,
  weights: Array,
  colors: Array | None = None,
  *,
  keep_mean: bool = True,
) -> Children:
  """Makes children of raw slots, such as a network puts out.

  u = reach tanh(t + offset), less its mean; U = Σ w u uᵀ, made smaller where
  more than `MAX_SPREAD` of a variance would lie between the children;
  C = B^½ expm(M) B^½ with B = I - U; and
  o = min(m w phi_m(o_parent) (det C_t / det C)^⅓ exp(eta), 0.99), C_t and t
  being the template's. Zeros are the split that nothing was learnt for; for
  m = 1, the parent (an opacity above 0.99 is cut).

  Args:
    parents: [B].
    offsets: [B, m, 3], m = 1, 2 or 4.
    log_covs: [B, m, 6] M.
    opacity: [B, m] eta.
    weights: [B, m] logits of w.
    colors: [B, m, J, 3] added to the first J = 1 or 4 harmonics, as they are
      seen along the axes of `frames`; of a parent with fewer, to those.
    keep_mean: whether the children's mean is the parent's. If not, it may move
      as far as an offset: what m = 1 needs to move at all.
  """
  num_children = offsets.shape[1]
  _check_count(num_children)
  _check_shapes(parents, offsets, log_covs, opacity, weights)
  template = np.arctanh(TEMPLATES[num_children] / REACH).astype(offsets.dtype)
  shares = jax.nn.softmax(weights, axis=-1)
  reach = REACH.astype(offsets.dtype)
  u, mean = _centred(reach * jnp.tanh(template + offsets), shares)
  within = jnp.eye(3, dtype=u.dtype) - _outer(u, shares)
  matrices = log_covs[..., jnp.asarray(_UPPER)]
  rotation, scales = frames(parents)
  local = _matmul(_root(within)[:, None], _expm(matrices / 2))
  moved = u if keep_mean else u + mean
  trace = log_covs[..., 0] + log_covs[..., 3] + log_covs[..., 5]
  still = float(np.linalg.det(_template_within(num_children)))
  grown = jnp.log(_determinant(within) / still)[:, None] + trace
  opacities = shared(parents.opacities, num_children)[:, None] * jnp.exp(
    opacity - grown / 3
  )
  sh = jnp.broadcast_to(
    parents.sh[:, None], (*offsets.shape[:2], *parents.sh.shape[1:])
  )
  if colors is not None:
    turned = _in_world(colors, rotation[:, None])[:, :, : sh.shape[2]]
    sh = sh.at[:, :, : turned.shape[2]].add(turned)
  return Children(
    means=parents.means[:, None]
    + _matmul(rotation[:, None], (scales[:, None] * moved)[..., None])[..., 0],
    factors=_matmul(rotation[:, None], scales[:, None, :, None] * local),
    opacities=jnp.minimum(num_children * shares * opacities, MAX_OPACITY),
    sh=sh,
  )


@functools.partial(jax.jit, static_argnames='num_children')
def conserving(parents: Gaussians, num_children: int = 4) -> Gaussians:
  """The split that nothing was learnt for: parents [B] to [B, m]."""
  _check_count(num_children)
  shape = (parents.means.shape[0], num_children)
  zeros = (jnp.zeros((*shape, n), parents.means.dtype) for n in (3, 6))
  flat = jnp.zeros(shape, parents.means.dtype)
  made = conserve(parents, *zeros, flat, flat)
  return to_gaussians(made, max_anisotropy=longest(parents))


def longest(parents: Gaussians) -> Array:
  """How anisotropic children of parents [B] may be: [B, 1], for `to_gaussians`.

  No more than a needle, or than their parent, which was seen and drawn.
  """
  scales = jnp.sort(parents.scales, axis=-1)
  own = safe_divide(scales[:, 2], scales[:, 1])
  return jnp.maximum(MAX_ANISOTROPY, own)[:, None]


@jax.jit
def to_gaussians(
  children: Children, *, max_anisotropy: Array | float = MAX_ANISOTROPY
) -> Gaussians:
  """Finds the axes of children: [B, m] Gaussians, the longest axis first.

  F V = R diag(s) by one-sided Jacobi rotations, which keep a thin axis as
  accurate as F has it. For export: the gradient is undefined where deviations
  are equal; train on the factors.

  Args:
    children: [B, m].
    max_anisotropy: the longest deviation is cut to so many times the middle
      one, since needles glitter between views; flat Gaussians are left flat.
      A number or [B, 1], see `longest`.
  """
  size = jnp.max(jnp.abs(children.factors), axis=(-2, -1), keepdims=True)
  columns = jnp.moveaxis(safe_divide(children.factors, size), -1, 0)
  columns = jax.lax.fori_loop(0, _SWEEPS, _sweep, columns)
  lengths = safe_norm(columns)
  order = jnp.argsort(-lengths, axis=0)
  columns = jnp.take_along_axis(columns, order[..., None], axis=0)
  lengths = jnp.take_along_axis(lengths, order, axis=0)
  first = normalize(columns[0])
  second = columns[1] - jnp.sum(columns[1] * first, -1, keepdims=True) * first
  is_line = lengths[1][..., None] == 0
  second = normalize(jnp.where(is_line, geometry.perpendicular(first), second))
  rotation = jnp.stack([first, second, jnp.cross(first, second)], axis=-1)
  longest = jnp.minimum(lengths[0], max_anisotropy * lengths[1])
  scales = jnp.stack([longest, lengths[1], lengths[2]], axis=-1) * size[..., 0]
  return Gaussians(
    means=children.means,
    log_scales=jnp.log(jnp.maximum(scales, jnp.finfo(scales.dtype).tiny)),
    quats=geometry.rotation_to_quat(rotation),
    opacity_logits=inverse_sigmoid(children.opacities),
    sh=children.sh,
  )


def _centred(u: Array, shares: Array) -> tuple[Array, Array]:
  """Offsets [B, m, 3] less their mean, not too far apart, and [B, 1, 3]."""
  mean = jnp.sum(shares[..., None] * u, axis=1, keepdims=True)
  u = u - mean
  spread = _outer(u, shares)
  # (tr U¹⁶)^(1/16) is smooth, and at most 7 % above the largest eigenvalue.
  trace = jnp.trace(spread, axis1=-2, axis2=-1)
  # What is less is rounding, whose powers have no gradient that is a number.
  is_apart = trace > _LEAST_SPREAD
  power = spread / jnp.where(is_apart, trace, 1.0)[:, None, None]
  for _ in range(3):
    power = _matmul(power, power)
  total = jnp.sum(power * power, axis=(-2, -1))
  largest = trace * jnp.where(total > 0, total, 1.0) ** (1 / 16)
  excess = jnp.maximum(largest / MAX_SPREAD, 1.0)
  return u * jax.lax.rsqrt(excess)[:, None, None], mean


def _in_world(colors: Array, rotation: Array) -> Array:
  """Harmonics [..., J, 3] given along the columns of `rotation`, J <= 4."""
  if colors.shape[-2] == 1:
    return colors
  linear = harmonics.rotate_linear(colors[..., 1:4, :], rotation)
  return jnp.concatenate([colors[..., :1, :], linear], axis=-2)


def _outer(u: Array, shares: Array) -> Array:
  """Σ w u uᵀ: [B, 3, 3]."""
  outer = u[..., :, None] * u[..., None, :]
  return jnp.sum(shares[..., None, None] * outer, axis=1)


def _template_within(num_children: int) -> np.ndarray:
  """B of the template, [3, 3]."""
  template = TEMPLATES[num_children]
  return np.eye(3) - template.T @ template / num_children


def _matmul(a: Array, b: Array) -> Array:
  """Multiplies small matrices in full precision, fused with what is around."""
  return jnp.sum(a[..., :, :, None] * b[..., None, :, :], axis=-2)


def _root(matrices: Array) -> Array:
  """Square roots of matrices with eigenvalues in [0.2, 1] (Newton-Schulz).

  Its gradient is defined where eigenvalues are equal, as at the start.
  """
  eye = jnp.eye(3, dtype=matrices.dtype)
  start = (matrices, jnp.broadcast_to(eye, matrices.shape))

  def improve(_, pair):
    root, inverse = pair
    step = 1.5 * eye - 0.5 * _matmul(inverse, root)
    return _matmul(root, step), _matmul(step, inverse)

  return jax.lax.fori_loop(0, _ROOT_STEPS, improve, start)[0]


def _expm(matrices: Array) -> Array:
  """Exponentials of symmetric matrices, by Taylor's series and four squarings.

  To 1e-6 where norms are at most 4, and positive definite whatever they are;
  an exponential by Padé would factorise each matrix.
  """
  small = matrices / 16
  eye = jnp.eye(3, dtype=matrices.dtype)
  total = eye + small / 6
  for order in range(5, 0, -1):
    total = eye + _matmul(small, total) / order
  for _ in range(4):
    total = _matmul(total, total)
  return total


def _determinant(m: Array) -> Array:
  a, b, c = m[..., 0, :], m[..., 1, :], m[..., 2, :]
  return (a * jnp.cross(b, c)).sum(axis=-1)


def _sweep(_, columns: Array) -> Array:
  """Turns each pair of columns [3, ..., 3] once."""
  for i, j in ((0, 1), (0, 2), (1, 2)):
    p, q = _made_orthogonal(columns[i], columns[j])
    columns = columns.at[i].set(p).at[j].set(q)
  return columns


def _made_orthogonal(p: Array, q: Array) -> tuple[Array, Array]:
  """Turns two columns in their plane so that they are orthogonal."""
  inner = jnp.sum(p * q, axis=-1)
  gap = jnp.sum(q * q, axis=-1) - jnp.sum(p * p, axis=-1)
  ratio = safe_divide(gap, 2 * inner)
  sign = jnp.where(ratio < 0, -1.0, 1.0)
  tangent = sign / (jnp.abs(ratio) + jnp.hypot(1.0, ratio))
  tangent = jnp.where(inner != 0, tangent, 0.0).astype(p.dtype)[..., None]
  cosine = jax.lax.rsqrt(1 + tangent * tangent)
  sine = cosine * tangent
  return cosine * p - sine * q, sine * p + cosine * q


def _check_count(num_children: int) -> None:
  if num_children not in TEMPLATES:
    raise ValueError(
      f'a parent has {", ".join(map(str, TEMPLATES))} children, got '
      f'{num_children}: other numbers have no template that keeps the look; '
      'split twice'
    )


def _check_shapes(parents, offsets, log_covs, opacity, weights) -> None:
  slots = offsets.shape[:2]
  wanted = ((*slots, 3), (*slots, 6), slots, slots)
  given = tuple(x.shape for x in (offsets, log_covs, opacity, weights))
  if given != wanted or slots[0] != parents.means.shape[0]:
    raise ValueError(
      f'slots of {parents.means.shape[0]} parents have the shapes [B, m, 3], '
      f'[B, m, 6], [B, m], [B, m], got {given}'
    )
