"""Does a split do what its Hessian says? Predicted beside actual losses.

For L = 1/2 sum r² two halves of a Gaussian at +-delta change the loss by
1/2 deltaᵀ S delta (Wang et al. 2025, "SteepGS", theorem 1), and most along the
eigenvector v of S's least eigenvalue. That is of halves whose alphas add up and
which keep the whole's place in the order of depths. A rasteriser lays one half
over the other and sorts them anew, so three kinds of split are measured:

  mean   the mean of the pictures with the Gaussian at +delta and at -delta,
         which is what the theorem is of, for a picture is affine in an alpha
  held   two halves of half the opacity, drawn in the whole's place
  free   likewise, drawn where their depths put them

Of halves it is the loss less that of the halves at one place: those already
differ from the whole by the second order of "over".
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels.rasterize import rasterize

from sr3d_jax import children, hessian, split_scores
from sr3d_jax.numerics import inverse_sigmoid
from sr3d_jax.render import plan_capacity, project
from sr3d_jax.types import Array, Gaussians, Views

KINDS = 'mean', 'held', 'free'


def losses(
  gaussians: Gaussians,
  views: Views,
  chosen: np.ndarray,
  shifts: Array,
  drawing: Mapping[str, Any],
  *,
  kind: str = 'mean',
) -> np.ndarray:
  """What splitting one Gaussian at a time changes, all others as they are.

  Args:
    gaussians: [N].
    views: what the loss is of; their weights are not asked.
    chosen: [M] which are split.
    shifts: [M, 3] scene units, of one half; the other goes the other way.
    drawing: options of `render`.
    kind: of split, one of `KINDS`.

  Returns:
    [M] changes of the loss.
  """
  if kind not in KINDS:
    raise ValueError(f'a split is one of {", ".join(KINDS)}, got {kind!r}')
  spare = jax.tree.map(lambda x: jnp.concatenate([x, x[:1]]), gaussians)
  if kind == 'mean':
    spare = gaussians
  options = dict(drawing)
  background = jnp.asarray(options.pop('background', (0.0, 0.0, 0.0)))
  backend = options.pop('backend', None)
  capacity = plan_capacity(
    spare, views.cameras, slack=1.5, backend=backend, **options
  )
  images = jnp.asarray(views.images)

  @jax.jit
  def change(index, shift):
    def draw(scene, camera, whole):
      splats = project(scene, camera, backend=backend, **options)
      if kind != 'free':
        depths = project(whole, camera, backend=backend, **options).depths
        splats = dataclasses.replace(splats, depths=depths)
      return rasterize(
        splats.means2d, splats.conics, splats.opacities, splats.features,
        splats.depths, width=camera.width, height=camera.height,
        background=background, capacity=capacity, backend=backend,
      ).image  # fmt: skip

    def pictures(camera):
      if kind == 'mean':
        moved = (_moved(spare, index, x) for x in (shift, -shift, 0 * shift))
        up, down, still = (draw(x, camera, spare) for x in moved)
        return (up + down) / 2, still
      whole = _copied(spare, index)
      halves = (_halved(spare, index, x) for x in (shift, 0 * shift))
      return tuple(draw(x, camera, whole) for x in halves)

    def one(view):
      camera, image = view
      a, b = pictures(camera)
      # r_a² - r_b² without their rounding: most pixels are equal.
      return jnp.sum((a - b) * ((a - image) + (b - image))) / 2

    return jnp.sum(jax.lax.map(one, (views.cameras, images)))

  changes = [
    float(change(i, shift)) for i, shift in zip(chosen, jnp.asarray(shifts))
  ]
  if not np.isfinite(changes).all():
    raise ValueError(
      'a view asked for more slots than were planned: draw fewer splats'
    )
  return np.asarray(changes)


def _moved(gaussians: Gaussians, index: Array, shift: Array) -> Gaussians:
  means = gaussians.means.at[index].add(shift)
  return dataclasses.replace(gaussians, means=means)


def _copied(spare: Gaussians, index: Array) -> Gaussians:
  """The last slot becomes a copy."""
  return jax.tree.map(lambda x: x.at[-1].set(x[index]), spare)


def _halved(spare: Gaussians, index: Array, shift: Array) -> Gaussians:
  """The last slot becomes one half of a Gaussian, whose own keeps the other."""
  copy = _copied(spare, index)
  half = inverse_sigmoid(copy.opacities[index] / 2)
  return dataclasses.replace(
    copy,
    means=copy.means.at[index].add(shift).at[-1].add(-shift),
    opacity_logits=copy.opacity_logits.at[index].set(half).at[-1].set(half),
  )


def compare(
  key: Array,
  gaussians: Gaussians,
  views: Views,
  drawing: Mapping[str, Any],
  *,
  num: int = 200,
  shift: float = 0.1,
  min_views: int = 3,
  kinds: Sequence[str] = KINDS,
) -> dict[str, np.ndarray]:
  """Splits some Gaussians along v, one at a time, and says what came of it.

  Args:
    key: of the choice among those whose splits promise something and which
      `min_views` see.
    gaussians: [N].
    views: labels.
    drawing: options of `render`.
    num: M, or all where there are fewer.
    shift: of a half, in standard deviations along v.
    min_views: fewest views.
    kinds: of split.

  Returns:
    'chosen' [M], 'predicted' [M] and, of each kind, [M] changes of the loss.
  """
  curvature = hessian.curvature(gaussians, views, **drawing)
  gains = split_scores.split_gain(curvature, gaussians, shift=shift)
  may = np.asarray((gains > 0) & (curvature.num_views >= min_views))
  order = np.asarray(jax.random.permutation(key, len(may)))
  chosen = order[may[order]][:num]
  rotation, scales = children.frames(gaussians)
  directions = split_scores.split_directions(curvature, gaussians)
  shifts = jnp.einsum('nij,nj->ni', rotation, shift * scales * directions)
  found = {
    kind: losses(gaussians, views, chosen, shifts[chosen], drawing, kind=kind)
    for kind in kinds
  }
  return {'chosen': chosen, 'predicted': -np.asarray(gains)[chosen], **found}
