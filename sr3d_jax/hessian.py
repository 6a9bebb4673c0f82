"""Exact second derivatives of a squared loss, one Gaussian at a time.

For L = 1/2 sum_x r^2, r = image - target, with the order of depths held, the
diagonal block of a Gaussian is H = G + S. G = J^T J is Gauss and Newton's, and
knows no target; S = sum_x (r . dI/dalpha) d2alpha/dtheta^2 is the splitting
matrix of Wang et al. 2025, "SteepGS". On one screen alpha is an exponential of
s = (mean x, mean y, conic xx, xy, yy, opacity), so both are linear in the
fifteen moments of `sr3d_kernels.moments`: with g = d log alpha / ds and
A = ds / dtheta, of the very projection that draws,

  F = sum w alpha^2 g g^T                     G = sum_views A^T F A
  E = sum gam alpha (g g^T + d2 log alpha)    S = sum_views A^T E A + h . d2s
  h = sum gam alpha g                         dL/dtheta = sum_views A^T h

w = T^2 |c - b|^2, gam = T (c - b) . r. Parameters are in the order means,
log_scales, quats, opacity_logit. Harmonics are left out, and a colour's
dependence on the position through them is taken as constant.

Published scores read the same blocks. PUP-3DGS takes the log determinant of
G's positions and log_scales. FisherRF takes a diagonal of squares of
derivatives summed over the channels, w = T^2 (sum_c c - b)^2:
`sum_channels`. GaussianPOP's removal error is `removal`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from sr3d_kernels.moments import blocks, choose, moments
from sr3d_kernels.rasterize import rasterize

from sr3d_jax import geometry, render
from sr3d_jax.types import Array, Camera, Gaussians, Splats, Views

NUM_PARAMS = 11
MEANS, LOG_SCALES, QUATS = slice(0, 3), slice(3, 6), slice(6, 10)
OPACITY = 10

_einsum = functools.partial(jnp.einsum, precision='highest')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Curvature:
  """What each Gaussian does to the views, summed over them; P = 11.

  Attributes:
    gauss_newton: [N, P, P] G.
    residual: [N, P, P] S; zeros without images.
    gradient: [N, P] of L; zeros without images.
    removal: [N] sum of w alpha^2, what removing it would cost where its alpha
      is not clamped.
    color: [N] sum of alpha^2 T^2, G of each channel of its colour.
    blend: [N] sum of alpha T.
    expected: [N] sum of w |d2alpha / du^2|_F^2 in positions u in units of its
      own standard deviations: the variance that S would have there if the
      residual were white noise of variance 1.
    num_views: [N] int32, that see it.
    radii: [N, 2] least and greatest among those, px; zeros where there is none.
  """

  gauss_newton: Array
  residual: Array
  gradient: Array
  removal: Array
  color: Array
  blend: Array
  expected: Array
  num_views: Array
  radii: Array


def pack(gaussians: Gaussians) -> Array:
  """[N, P] parameters in the order of the blocks."""
  logits = gaussians.opacity_logits[:, None]
  parts = [gaussians.means, gaussians.log_scales, gaussians.quats, logits]
  return jnp.concatenate(parts, axis=1)


def unpack(params: Array, sh: Array) -> Gaussians:
  """The Gaussians of [N, P] parameters and [N, K, 3] harmonics."""
  return Gaussians(
    means=params[:, MEANS],
    log_scales=params[:, LOG_SCALES],
    quats=params[:, QUATS],
    opacity_logits=params[:, OPACITY],
    sh=sh,
  )


def whitened(block: Array, gaussians: Gaussians) -> Array:
  """Measures positions in standard deviations: W^T B W, W = R diag(scales).

  Args:
    block: [N, P, P] or [N, 3, 3] second derivatives.
    gaussians: [N].

  Returns:
    [N, 3, 3], which no change of the scene's scale changes.
  """
  axes = _axes(gaussians)
  return _einsum('nia,nij,njb->nab', axes, block[:, MEANS, MEANS], axes)


def curvature(
  gaussians: Gaussians,
  cameras: Camera | Views,
  *,
  images: Array | None = None,
  weights: Array | None = None,
  background: Array | tuple[float, ...] = (0.0, 0.0, 0.0),
  prepare: Callable[[Gaussians], Gaussians] | None = None,
  with_bend: bool = True,
  sum_channels: bool = False,
  capacity: int | None = None,
  backend: str | None = None,
  **projection: Any,
) -> Curvature:
  """Computes the blocks of every Gaussian over a set of views.

  Args:
    gaussians: [N], in world space.
    cameras: [V]; or views, whose images and weights then count.
    images: [V, H, W, 3] targets, or None: G alone.
    weights: [V, H, W] of the pixels' squared errors.
    background: [3].
    prepare: what is drawn of what is learnt, one by one, such as
      `jax.tree_util.Partial(filters.smooth, deviation=...)`; a `Partial` of
      arrays compiles once.
    with_bend: whether S has the share of the projection's own bending,
      h . d2s / dtheta^2.
    sum_channels: squares the sum over the channels in place of each, as
      FisherRF does; without images alone.
    capacity: slots of a view; None counts them, outside `jit` only.
    backend: of `moments` and `rasterize`; None chooses.
    **projection: of `render.project`.

  Returns:
    The sums over the views.
  """
  if isinstance(cameras, Views):
    images = cameras.images if images is None else images
    weights = cameras.weights if weights is None else weights
    cameras = cameras.cameras
  if sum_channels and images is not None:
    raise ValueError('sum_channels has no meaning with images: leave them out')
  num_views = cameras.world_to_cam.shape[0]
  for name, given in (('images', images), ('weights', weights)):
    wanted = (num_views, cameras.height, cameras.width)
    if given is not None and given.shape[:3] != wanted:
      raise ValueError(f'{name} must be {wanted}, got {given.shape}')
  dtype = gaussians.means.dtype
  prepare = _partial(prepare)
  name = choose(backend, dtype=dtype)
  if capacity is None:
    capacity = render.plan_capacity(
      prepare(gaussians), cameras, backend=name, **projection
    )
  options = {'with_bend': with_bend, 'sum_channels': sum_channels}
  options |= {'capacity': capacity, 'backend': name}
  options['projection'] = tuple(sorted(projection.items()))
  background = jnp.asarray(background, dtype)
  total = _nothing(len(gaussians.means), dtype)
  for i in range(num_views):
    labels = (
      None if x is None else jnp.asarray(x[i], dtype) for x in (images, weights)
    )
    camera = render.view_of(cameras, i)
    total = _add_view(
      total, gaussians, camera, *labels, background, prepare, **options
    )
  # Nothing has no least.
  radii = jnp.where(total.num_views[:, None] > 0, total.radii, 0)
  return dataclasses.replace(total, radii=radii)


def probes(
  key: Array,
  gaussians: Gaussians,
  cameras: Camera,
  num: int,
  *,
  background: Array | tuple[float, ...] = (0.0, 0.0, 0.0),
  prepare: Callable[[Gaussians], Gaussians] | None = None,
  capacity: int | None = None,
  backend: str | None = None,
  **projection: Any,
) -> Array:
  """Estimates G with a differentiable renderer alone, by noise on the screen.

  The mean over `num` draws of g_i g_i^T, g_i = sum_views (J^T v)_i, v ~ N(0, I)
  in image space: unbiased, each term of rank 1 and without what overlaps. An
  entry of the diagonal has the relative deviation sqrt(2 / num). The log
  determinant is biased by `wishart_bias`.

  Args:
    key: of the noise.
    gaussians: [N], in world space.
    cameras: [V].
    num: draws, at least P for a determinant.
    background: [3].
    prepare: as in `curvature`.
    capacity: likewise.
    backend: of `rasterize`; None chooses.
    **projection: of `render.project`.

  Returns:
    [N, P, P].
  """
  prepare = _partial(prepare)
  if capacity is None:
    capacity = render.plan_capacity(
      prepare(gaussians), cameras, backend=backend, **projection
    )
  background = jnp.asarray(background, gaussians.means.dtype)
  options = {'capacity': capacity, 'backend': backend}
  options['projection'] = tuple(sorted(projection.items()))
  return _probe(key, gaussians, cameras, background, prepare, num, **options)


def wishart_bias(num: int, size: int) -> float:
  """Expected error of log det of the mean of `num` outer products [size, size].

  sum_{k < size} psi((num - k) / 2) + size log(2 / num), num >= size.
  """
  if num < size:
    raise ValueError(
      f'{num} probes span no {size} dimensions: the determinant is 0; take at '
      f'least {size}'
    )
  digammas = jax.scipy.special.digamma((num - np.arange(size)) / 2)
  return float(jnp.sum(digammas) + size * np.log(2 / num))


def _partial(prepare) -> Partial:
  """As an argument whose arrays a compiled function does not hold."""
  if prepare is None:
    return Partial(_as_it_is)
  return prepare if isinstance(prepare, Partial) else Partial(prepare)


def _as_it_is(gaussians):
  return gaussians


def _axes(gaussians):
  """[N, 3, 3] W: columns are principal axes of one standard deviation."""
  rotations = geometry.quat_to_rotation(gaussians.quats)
  return rotations * gaussians.scales[:, None, :]


def _nothing(n, dtype):
  blocks = jnp.zeros((n, NUM_PARAMS, NUM_PARAMS), dtype)
  none = jnp.zeros(n, dtype)
  return Curvature(
    gauss_newton=blocks,
    residual=blocks,
    gradient=blocks[..., 0],
    removal=none,
    color=none,
    blend=none,
    expected=none,
    num_views=jnp.zeros(n, jnp.int32),
    radii=jnp.stack([none + jnp.inf, none], axis=1),
  )


@functools.partial(
  jax.jit,
  static_argnames=(
    'with_bend', 'sum_channels', 'capacity', 'backend', 'projection',
  ),
)  # fmt: skip
def _add_view(
  total, gaussians, camera, image, weights, background, prepare,
  *, with_bend, sum_channels, capacity, backend, projection,
):  # fmt: skip
  """`total` and what one view adds."""
  projection = dict(projection)
  splats = render.project(
    prepare(gaussians), camera, backend=backend, **projection
  )
  residual = _residual(splats, camera, image, background, capacity, backend)
  if residual is not None and weights is not None:
    residual = residual * weights[..., None]
  colors = splats.features
  if sum_channels:
    colors, background = (
      jnp.sum(x, axis=-1, keepdims=True) for x in (colors, background)
    )
  found = moments(
    splats.means2d, splats.conics, splats.opacities, colors, splats.depths,
    width=camera.width, height=camera.height, background=background,
    residual=residual, weights=weights, capacity=capacity, backend=backend,
  )  # fmt: skip
  theta = pack(gaussians)

  def screen(theta):
    """[N, 6] s, differentiable forwards too."""
    ready = prepare(unpack(theta, gaussians.sh))
    return _screen(render.project(ready, camera, backend='xla', **projection))

  shape = splats.conics, splats.opacities
  fisher, bent, pull = blocks.on_screen(found.squared, found.signed, *shape)
  is_seen = found.blend > 0
  # Of what is not drawn, such as behind the camera, they may be anything.
  slopes = jnp.where(is_seen[:, None, None], _columns(screen, theta), 0)  # A
  added = {'gauss_newton': _pull(fisher, slopes)}
  if image is not None:
    second = _pull(bent, slopes)
    if with_bend:
      push = jax.grad(lambda theta: jnp.sum(pull * screen(theta)))
      second += jnp.where(is_seen[:, None, None], _columns(push, theta), 0)
    added['residual'] = second
    added['gradient'] = _einsum('nsp,ns->np', slopes, pull)
  move = _einsum('nsi,nia->nsa', slopes[:, :2, MEANS], _axes(gaussians))
  added['expected'] = blocks.bending(found.squared, splats.conics, move)
  added |= {'removal': found.squared[:, 0]}
  added |= {'color': found.color, 'blend': found.blend}
  added['num_views'] = is_seen
  added = {name: getattr(total, name) + x for name, x in added.items()}
  least, greatest = total.radii.T
  least = jnp.where(is_seen, jnp.minimum(least, splats.radii), least)
  greatest = jnp.where(is_seen, jnp.maximum(greatest, splats.radii), greatest)
  radii = jnp.stack([least, greatest], axis=1)
  return dataclasses.replace(total, **added, radii=radii)


def _residual(splats, camera, image, background, capacity, backend):
  """[H, W, 3] of the drawn picture, or None without an image to hold it to."""
  if image is None:
    return None
  drawn = rasterize(
    splats.means2d, splats.conics, splats.opacities, splats.features,
    splats.depths, width=camera.width, height=camera.height,
    background=background, capacity=capacity, backend=backend,
  )  # fmt: skip
  return drawn.image - image


def _screen(splats: Splats) -> Array:
  """[N, 6] s: mean x, mean y, conic xx, xy, yy, opacity."""
  parts = [splats.means2d, splats.conics, splats.opacities[:, None]]
  return jnp.concatenate(parts, axis=1)


def _columns(function, theta):
  """Derivatives [N, ..., P] of what maps each row of [N, P] on its own."""

  def column(direction):
    tangent = jnp.broadcast_to(direction, theta.shape)
    return jax.jvp(function, (theta,), (tangent,))[1]

  basis = jnp.eye(theta.shape[1], dtype=theta.dtype)
  return jax.vmap(column, out_axes=-1)(basis)


def _pull(block, slopes):
  """A^T B A: [N, 6, 6] -> [N, P, P]."""
  return _einsum('nsp,nst,ntq->npq', slopes, block, slopes)


@functools.partial(
  jax.jit, static_argnames=('num', 'capacity', 'backend', 'projection')
)
def _probe(
  key, gaussians, cameras, background, prepare, num,
  *, capacity, backend, projection,
):  # fmt: skip
  """[N, P, P]; see `probes`."""

  def draw(theta, camera):
    ready = prepare(unpack(theta, gaussians.sh))
    splats = render.project(ready, camera, backend=backend, **dict(projection))
    # Its dependence on the position is no part of G.
    colors = jax.lax.stop_gradient(splats.features)
    splats = dataclasses.replace(splats, features=colors)
    zeros = jnp.zeros((), theta.dtype)
    return _residual(splats, camera, zeros, background, capacity, backend)

  def add_view(sums, view):
    camera, key = view
    image, pull = jax.vjp(lambda x: draw(x, camera), pack(gaussians))

    def one(key):
      return pull(jax.random.normal(key, image.shape, image.dtype))[0]

    return sums + jax.lax.map(one, jax.random.split(key, num)), None

  theta = pack(gaussians)
  keys = jax.random.split(key, cameras.world_to_cam.shape[0])
  start = jnp.zeros((num, *theta.shape), theta.dtype)
  drawn, _ = jax.lax.scan(add_view, start, (cameras, keys))
  return _einsum('knp,knq->npq', drawn, drawn) / num
