"""What second derivatives tell a network of each Gaussian, in 14 numbers.

What only geometry and colours tell is taken at the cameras of the next level,
finer by `scale`; what photos tell, at those that the level was fitted to. All
but the count are means over the views that see a Gaussian, so that captures of
few and of many views look alike, and positions are measured in its own
deviations, so that no unit of the scene enters. x becomes asinh(x / `UNIT`):
nearly linear near 0, then its logarithm, and 0 where nothing is known.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from sr3d_jax import children, hessian, render
from sr3d_jax.lineage import Snapshot
from sr3d_jax.lineage_tokens import LABELLED, NUM_HESSIAN
from sr3d_jax.numerics import safe_divide, safe_norm
from sr3d_jax.types import Array, Gaussians, Views

PARTS = {
  'positions': 3, 'log_scales': 3, 'geometric_mean': 1, 'bends': 3, 'pull': 1,
  'absolute_pull': 1, 'num_views': 1, 'radii': 1,
}  # fmt: skip
UNIT = 1e-2  # squared colours over the pixels of a view: 0.1 in one channel
SCALE = 2.0  # of the next level's photos beside this one's
_FEWEST = 256  # Gaussians that a program is compiled for
_HIDDEN = -30.0  # logit that no screen shows
_RIDGE = 1e-6  # of the mean eigenvalue, where one is 0
_SHAPE = slice(0, 6)  # of a block: means, log_scales

_einsum = functools.partial(jnp.einsum, precision='highest')


@jax.jit
def features(
  gaussians: Gaussians,
  free: hessian.Curvature,
  told: hessian.Curvature | None = None,
  absolute: Array | None = None,
) -> Array:
  """Makes the channels, `PARTS` in their order.

  With W = R diag(s), the longest axis first: the diagonals of W^T G W and of
  G's log_scales; det^(1/6) of both together, with a ridge of 1e-6 of the mean
  eigenvalue; the eigenvalues of W^T S W, rising; |W^T dL/dmean|; the absolute
  pull; the number of views, and the log of the greatest radius over the least,
  both as they are at the finer cameras.

  Args:
    gaussians: [N].
    free: their curvature at the next level's cameras; only G is looked at.
    told: at this level's cameras, with its images; None: not known.
    absolute: [N] of `absolute_pulls` at the same; None: not known.

  Returns:
    [N, 14], of which `lineage_tokens.LABELLED` is zeros without `told`.
  """
  seen = free.num_views
  fisher = _in_frame(gaussians, _mean(free.gauss_newton, seen))
  least, greatest = free.radii.T
  ratio = jnp.where(least > 0, safe_divide(greatest, least), 1.0)
  plain = [jnp.diagonal(fisher, axis1=-2, axis2=-1), _geometric_mean(fisher)]
  labelled = jnp.zeros((len(seen), LABELLED.stop - LABELLED.start))
  if told is not None:
    labelled = _told(gaussians, told, absolute)
  parts = [
    jnp.arcsinh(jnp.concatenate(plain, axis=-1) / UNIT),
    jnp.arcsinh(labelled / UNIT),
    jnp.arcsinh(seen * 1.0)[:, None],
    jnp.log(ratio)[:, None],
  ]
  found = jnp.concatenate(parts, axis=-1)
  return jnp.where((seen > 0)[:, None], found, 0.0)


def of_views(
  gaussians: Gaussians,
  views: Views,
  *,
  scale: float = SCALE,
  background: Array | tuple[float, ...] = (0.0, 0.0, 0.0),
  with_labels: bool = True,
  backend: str | None = None,
  **projection: Any,
) -> Array:
  """Draws Gaussians at a level's views, and finer, for `features`.

  S is taken without the projection's own bending: what a split alone gains.

  Args:
    gaussians: [N], as they are drawn.
    views: [V] of the level.
    scale: of the next one's photos beside these; no such photo is asked for.
    background: [3].
    with_labels: whether the images may be looked at.
    backend: of `moments` and `rasterize`; None chooses.
    **projection: of `render.project`.

  Returns:
    [N, 14].
  """
  if scale < 1:
    raise ValueError(
      f'the next level is finer: scale is at least 1, got {scale}'
    )
  num = len(gaussians.means)
  gaussians = _padded(gaussians)
  drawing = {'background': background, 'backend': backend, **projection}
  curvature = functools.partial(
    hessian.curvature, gaussians, with_bend=False, **drawing
  )
  free = curvature(views.cameras.at_scale(scale))
  if not with_labels:
    return features(gaussians, free)[:num]
  absolute = absolute_pulls(gaussians, views, **drawing)
  return features(gaussians, free, curvature(views), absolute)[:num]


def look(snapshot: Snapshot, views: Views, **drawing: Any) -> Array:
  """`of_views` of a state of a fit, for `pyramid.record`: [N, 14].

  Zeros at the finest level, which is no one's past.
  """
  if snapshot.scale == 1:
    return jnp.zeros((len(snapshot.mass), NUM_HESSIAN))
  return of_views(snapshot.gaussians, views, **drawing)


def absolute_pulls(
  gaussians: Gaussians,
  views: Views,
  *,
  background: Array | tuple[float, ...] = (0.0, 0.0, 0.0),
  backend: str | None = None,
  **projection: Any,
) -> Array:
  """Sum over pixels and views of |dL/dx| + |dL/dy|, L = 1/2 sum r²: [N].

  Times a third of the radius on that screen, about its longest deviation, so
  that it has the unit of the other pulls. One pixel's pull cannot hide
  another's (Ye et al. 2024, "AbsGS").

  Args:
    gaussians: [N], as they are drawn.
    views: [V].
    background: [3].
    backend: of `rasterize`; None chooses.
    **projection: of `render.project`.
  """
  capacity = render.plan_capacity(
    gaussians, views.cameras, backend=backend, **projection
  )
  options = tuple(sorted({'backend': backend, **projection}.items()))
  background = jnp.asarray(background, gaussians.means.dtype)
  total = jnp.zeros_like(gaussians.opacity_logits)
  for i, image in enumerate(views.images):
    camera = render.view_of(views.cameras, i)
    weight = None if views.weights is None else views.weights[i]
    total += _absolute(
      gaussians, camera, image, weight, background, capacity, options
    )
  return total


@functools.partial(jax.jit, static_argnames=('capacity', 'options'))
def _absolute(gaussians, camera, image, weight, background, capacity, options):
  def loss(probe):
    output = render.render(
      gaussians, camera, background=background, abs_probe=probe,
      capacity=capacity, **dict(options),
    )  # fmt: skip
    square = jnp.sum((output.image - image) ** 2, axis=-1)
    return jnp.sum(square if weight is None else weight * square) / 2, output

  zeros = jnp.zeros((*gaussians.opacity_logits.shape, 2), image.dtype)
  pulls, output = jax.grad(loss, has_aux=True)(zeros)
  return jnp.sum(pulls, axis=-1) * output.radii / 3


def _padded(gaussians):
  """Adds what is not drawn, so that few numbers of Gaussians are compiled."""
  num = len(gaussians.means)
  missing = max(2 ** math.ceil(math.log2(max(num, 1))), _FEWEST) - num

  def pad(x):
    x = jnp.asarray(x)
    return jnp.concatenate([x, jnp.zeros((missing, *x.shape[1:]), x.dtype)])

  padded = jax.tree.map(pad, gaussians)
  hidden = padded.opacity_logits.at[num:].set(_HIDDEN)
  quats = padded.quats.at[num:, 0].set(1.0)
  return dataclasses.replace(padded, opacity_logits=hidden, quats=quats)


def _told(gaussians, told, absolute):
  """[N, 5] what only photos tell, a view."""
  bend = _in_frame(gaussians, _mean(told.residual, told.num_views))
  values = jnp.linalg.eigvalsh(bend[:, :3, :3])
  rotation, scales = children.frames(gaussians)
  pull = _mean(told.gradient, told.num_views)[:, hessian.MEANS]
  pull = scales * _einsum('nia,ni->na', rotation, pull)
  absolute = jnp.zeros(len(pull)) if absolute is None else absolute
  absolute = _mean(absolute, told.num_views)
  return jnp.concatenate(
    [values, safe_norm(pull, keepdims=True), absolute[:, None]], axis=-1
  )


def _mean(sums, num_views):
  """Sums [N, ...] over the views that see a Gaussian, by how many do."""
  num_views = num_views.reshape(-1, *[1] * (sums.ndim - 1))
  return safe_divide(sums, num_views.astype(sums.dtype))


def _in_frame(gaussians, block):
  """[N, 6, 6] of [N, 11, 11]: positions in deviations, the longest first."""
  rotation, scales = children.frames(gaussians)
  order = jnp.argsort(-gaussians.log_scales, axis=-1)
  frame = jnp.zeros((*block.shape[:1], 6, 6), block.dtype)
  frame = frame.at[:, :3, :3].set(rotation * scales[:, None])
  swap = jnp.swapaxes(jax.nn.one_hot(order, 3, dtype=block.dtype), -1, -2)
  frame = frame.at[:, 3:, 3:].set(swap)
  return _einsum('nia,nij,njb->nab', frame, block[:, _SHAPE, _SHAPE], frame)


def _geometric_mean(block):
  """[N, 1] det^(1/6) of blocks [N, 6, 6], 0 where they are."""
  mean = jnp.trace(block, axis1=-2, axis2=-1) / 6
  values = jnp.linalg.eigvalsh(safe_divide(block, mean[:, None, None]))
  logs = jnp.log(jnp.maximum(values, 0.0) + _RIDGE)
  return (mean * jnp.exp(jnp.mean(logs, axis=-1)))[:, None]
