"""Ways to put several Gaussians in the place of one, ours and published.

A rule takes parents [B] to children [B, m]; `split` applies it to some of a
scene. The published rules say nothing of the whole that children make, so that
most change the picture before anything is learnt.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax import children, density
from sr3d_jax.types import Array, Gaussians

LONG_AXIS_SHIFT = 0.45  # of L0; as released, with 0.6 of the opacity
LONG_AXIS_OPACITY = 0.6
SHUFFLE_SHIFT = 0.5  # deviations: SR3R
SHUFFLE_SHRINK = 0.25
SHUFFLE_OPACITY = 0.5  # fainter parents are not worth six children


def split(
  gaussians: Gaussians,
  chosen: Array,
  rule: Callable[[Gaussians], Gaussians],
) -> Gaussians:
  """Puts children in the place of chosen parents.

  The first child takes its parent's slot, the others follow after the last one,
  family by family. Dead slots stay where they are and stay dead.

  Args:
    gaussians: [N], dead slots among them.
    chosen: [B] indices of live ones, each once; not traced.
    rule: parents [B] to children [B, m], such as one of `RULES`.

  Returns:
    [N + (m - 1) B]; (m - 1) B more are live, where the rule leaves none dead.
  """
  chosen = np.asarray(chosen)
  _check_chosen(gaussians, chosen)
  if not chosen.size:
    return gaussians
  children = rule(jax.tree.map(lambda x: x[chosen], gaussians))

  def place(old: Array, new: Array) -> Array:
    rest = new[:, 1:].reshape(-1, *new.shape[2:])
    placed = old.at[chosen].set(new[:, 0].astype(old.dtype))
    return jnp.concatenate([placed, rest.astype(old.dtype)])

  return jax.tree.map(place, gaussians, children)


def random_halves(parents: Gaussians, *, key: Array) -> Gaussians:
  """Draws two centres from the parent, scales / 1.6 (Kerbl et al. 2023)."""
  shape = (parents.means.shape[0], 2, 3)
  u = jax.random.normal(key, shape, parents.means.dtype)
  shrink = jnp.full(3, 1 / density.SPLIT_SHRINK)
  return _family(parents, u, shrink, parents.opacities)


def clones(parents: Gaussians) -> Gaussians:
  """Leaves two in one place, o' = 1 - sqrt(1 - o) (Rota Bulo et al. 2024)."""
  u = jnp.zeros((parents.means.shape[0], 2, 3), parents.means.dtype)
  opacities = -jnp.expm1(0.5 * jnp.log1p(-_below_one(parents.opacities)))
  return _family(parents, u, jnp.ones(3), opacities)


def relocated(parents: Gaussians, *, num_children: int = 2) -> Gaussians:
  """Leaves n in one place, smaller (Kheradmand et al. 2024, equation 9)."""
  num = parents.means.shape[0]
  u = jnp.zeros((num, num_children, 3), parents.means.dtype)
  opacities, shrink = density.shared_opacity(
    parents.opacities, jnp.full(num, num_children)
  )
  return _family(parents, u, shrink[:, None, None], opacities)


def halves_apart(
  parents: Gaussians, *, directions: Array | None = None, shift: float = 0.5
) -> Gaussians:
  """Puts two at o / 2 on either side, not smaller (as Wang et al. 2025).

  Args:
    parents: [B].
    directions: [B, 3] unit vectors in the whitened frame of `children.frames`:
      the eigenvector of the splitting matrix; None is the longest axis.
    shift: in the parent's deviations.
  """
  if directions is None:
    directions = jnp.zeros_like(parents.means).at[:, 0].set(1.0)
  u = shift * jnp.stack([directions, -directions], axis=1)
  return _family(parents, u, jnp.ones(3), parents.opacities / 2)


def long_axis(parents: Gaussians, *, reach: float = 1.0) -> Gaussians:
  """Halves the longest axis, as ImprovedGS does.

  Centres at +-0.45 L0, that deviation times 1 - 0.45, the others times
  sqrt(1 - 0.45²), opacity times 0.6.

  Args:
    parents: [B].
    reach: L0 in deviations; released code takes 3.
  """
  shift = LONG_AXIS_SHIFT
  u = np.zeros((2, 3))
  u[:, 0] = np.array([1.0, -1.0]) * shift * reach
  u = jnp.asarray(u, parents.means.dtype)
  u = jnp.broadcast_to(u, (parents.means.shape[0], 2, 3))
  shrink = jnp.asarray([1 - shift, *[np.sqrt(1 - shift**2)] * 2])
  opacities = LONG_AXIS_OPACITY * parents.opacities
  return _family(parents, u, shrink, opacities)


def shuffled(parents: Gaussians) -> Gaussians:
  """Puts six at +-0.5 deviations of each axis, thin along it (SR3R).

  SR3R splits only parents with an opacity above 0.5: see `SHUFFLE_OPACITY`.
  """
  axes = np.repeat(np.eye(3), 2, axis=0)
  signs = np.tile([1.0, -1.0], 3)[:, None]
  u = jnp.asarray(SHUFFLE_SHIFT * signs * axes, parents.means.dtype)
  u = jnp.broadcast_to(u, (parents.means.shape[0], 6, 3))
  shrink = jnp.asarray(1 - (1 - SHUFFLE_SHRINK) * axes)
  return _family(parents, u, shrink, parents.opacities)


RULES = {
  'kept': functools.partial(children.conserving, num_children=1),
  'conserving2': functools.partial(children.conserving, num_children=2),
  'conserving4': functools.partial(children.conserving, num_children=4),
  'random_halves': random_halves,
  'clones': clones,
  'relocated': relocated,
  'halves_apart': halves_apart,
  'long_axis': long_axis,
  'shuffled': shuffled,
}


def named(
  name: str, key: Array | None = None
) -> Callable[[Gaussians], Gaussians]:
  """The rule of that name; one that draws lots takes them from `key`."""
  if name not in RULES:
    raise ValueError(f'rule must be one of {sorted(RULES)}, got {name!r}')
  if name != 'random_halves':
    return RULES[name]
  if key is None:
    raise ValueError(f'{name} draws lots: pass a key')
  return functools.partial(random_halves, key=key)


def _family(
  parents: Gaussians, u: Array, shrink: Array, opacities: Array
) -> Gaussians:
  """Children [B, m] at u [B, m, 3], their axes `shrink` times the parent's.

  Both in the parent's frame, the longest axis first; `shrink` broadcasts
  against u.
  """
  rotation, scales = children.frames(parents)
  made = children.Children(
    means=parents.means[:, None]
    + jnp.einsum(
      'bij,bmj->bmi', rotation, scales[:, None] * u, precision='highest'
    ),
    factors=rotation[:, None]
    * jnp.broadcast_to(scales[:, None] * shrink, u.shape)[..., None, :],
    opacities=jnp.broadcast_to(opacities[:, None], u.shape[:2]),
    sh=jnp.broadcast_to(
      parents.sh[:, None], (*u.shape[:2], *parents.sh.shape[1:])
    ),
  )
  return children.to_gaussians(made, max_anisotropy=np.inf)


def _below_one(opacities: Array) -> Array:
  return jnp.minimum(opacities, 1 - 1e-6)


def _check_chosen(gaussians: Gaussians, chosen: np.ndarray) -> None:
  num = gaussians.means.shape[0]
  if chosen.ndim != 1 or (
    chosen.size and not np.issubdtype(chosen.dtype, np.integer)
  ):
    raise ValueError(
      f'chosen are indices [B], got {chosen.dtype} {chosen.shape}: of a mask, '
      'take jnp.flatnonzero'
    )
  if not chosen.size:
    return
  if chosen.min() < 0 or chosen.max() >= num:
    raise ValueError(
      f'chosen must be in [0, {num}), got {chosen.min()} to {chosen.max()}'
    )
  if len(np.unique(chosen)) < len(chosen):
    raise ValueError(
      f'{len(chosen) - len(np.unique(chosen))} of {len(chosen)} chosen are '
      'chosen twice: a parent is replaced once'
    )
  faint = np.asarray(gaussians.opacities)[chosen] <= density.DEAD_OPACITY
  if faint.any():
    raise ValueError(
      f'{faint.sum()} of {len(chosen)} chosen are dead slots: exclude them, '
      'see `selection.excluded`'
    )
