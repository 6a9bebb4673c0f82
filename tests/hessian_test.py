"""Blocks out of moments against autodiff, and against what they are not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from sr3d_jax import filters, geometry, hessian, render, sh
from sr3d_jax.types import Camera, Gaussians, Views

SIDE = 16
BACKGROUND = (0.3, 0.1, 0.6)
POSITIONS = (slice(None), hessian.MEANS, hessian.MEANS)


def look_from(*eyes, side=SIDE) -> Camera:
  up = jnp.asarray([0.0, 0.0, 1.0])
  poses = [
    geometry.look_at(jnp.asarray(x, float), jnp.zeros(3), up) for x in eyes
  ]
  num, ones = len(eyes), jnp.ones((len(eyes), 2))
  return Camera(
    world_to_cam=jnp.stack(poses),
    focal=ones * jnp.asarray([1.4, 1.3]) * side,
    center=jnp.asarray([[0.52, 0.49]] * num) * side,
    width=side,
    height=side,
  )


def three_cameras() -> Camera:
  return look_from((0.3, -3, 0.5), (2.2, -2, 0.2), (-1.5, -2.4, -0.8))


def some(num=5, seed=0, scale=0.25, logit=1.0) -> Gaussians:
  rng = np.random.default_rng(seed)
  return Gaussians(
    means=jnp.asarray(rng.uniform(-0.5, 0.5, (num, 3))),
    log_scales=jnp.asarray(np.log(scale) + 0.4 * rng.normal(size=(num, 3))),
    quats=jnp.asarray(rng.normal(size=(num, 4))),
    opacity_logits=jnp.asarray(logit + rng.normal(size=num)),
    sh=jnp.asarray(0.5 * rng.normal(size=(num, 4, 3))),
  )


def plain(gaussians, camera, **projection):
  """The picture by the textbook, for autodiff: every pixel, every splat."""
  splats = render.project(gaussians, camera, backend='xla', **projection)
  order = jnp.argsort(splats.depths)
  means, conics, opacities, colors = (
    x[order]
    for x in (
      splats.means2d,
      splats.conics,
      splats.opacities,
      jax.lax.stop_gradient(splats.features),
    )
  )
  rows, columns = jnp.mgrid[: camera.height, : camera.width] + 0.5
  far = jnp.zeros((*rows.shape, 3)) + jnp.asarray(BACKGROUND)

  def cover(image, splat):
    mean, (xx, xy, yy), opacity, color = splat
    dx, dy = columns - mean[0], rows - mean[1]
    raw = opacity * jnp.exp(-(xx * dx**2 + 2 * xy * dx * dy + yy * dy**2) / 2)
    alpha = jnp.where(raw < 1 / 255, 0, jnp.minimum(raw, 0.99))[..., None]
    return alpha * color + (1 - alpha) * image, None

  splats = (means, conics, opacities, colors)
  return jax.lax.scan(cover, far, splats, reverse=True)[0]


def targets_of(cameras, seed=1):
  rng = np.random.default_rng(seed)
  views = cameras.world_to_cam.shape[0]
  return jnp.asarray(rng.uniform(size=(views, SIDE, SIDE, 3)))


def blocks_by_autodiff(gaussians, views, **projection):
  """Loss derivatives [N, P] and diagonal blocks [N, P, P]."""

  def loss(theta):
    drawn = hessian.unpack(theta.reshape(-1, 11), gaussians.sh)
    draw = jax.vmap(lambda camera: plain(drawn, camera, **projection))
    square = (draw(views.cameras) - views.images) ** 2
    return jnp.sum(views.weights[..., None] * square) / 2

  theta = hessian.pack(gaussians).reshape(-1)
  num = len(gaussians.means)
  both = jax.jit(lambda x: (jax.grad(loss)(x), jax.hessian(loss)(x)))
  gradient, whole = both(theta)
  whole = np.asarray(whole).reshape(num, 11, num, 11)
  return gradient.reshape(num, 11), np.einsum('ipiq->ipq', whole)


def relative(got, wanted):
  return np.linalg.norm(got - wanted) / np.linalg.norm(wanted)


def test_the_blocks_are_those_of_autodiff():
  with jax.enable_x64(True):
    gaussians, cameras = some(), three_cameras()
    images = targets_of(cameras)
    rng = np.random.default_rng(2)
    weights = jnp.asarray(rng.uniform(0.2, 2, images.shape[:3]))
    views = Views(images=images, cameras=cameras, weights=weights)
    gradient, wanted = blocks_by_autodiff(gaussians, views, blur=0.2)
    found = hessian.curvature(
      gaussians, views, background=BACKGROUND, backend='reference', blur=0.2
    )
    both = found.gauss_newton + found.residual
    for i in range(len(wanted)):
      assert relative(both[i], wanted[i]) < 1e-8
      assert relative(found.gauss_newton[i], wanted[i]) > 0.02
    assert relative(found.gradient, gradient) < 1e-10
    straight = hessian.curvature(
      gaussians,
      views,
      background=BACKGROUND,
      backend='reference',
      with_bend=False,
      blur=0.2,
    )
    share = relative(straight.residual, found.residual)
    print(f'the share of d2s in S: {share:.3f}')
    assert share > 1e-3
    assert relative(straight.gauss_newton + straight.residual, wanted) > 1e-5


def test_what_is_drawn_of_what_is_learnt_is_differentiated_too():
  gaussians, cameras = some(), three_cameras()
  images = targets_of(cameras)
  deviation = jnp.full(5, 0.1)

  @jax.grad
  def slopes(theta):
    drawn = filters.smooth(hessian.unpack(theta, gaussians.sh), deviation)
    pictures = jax.vmap(lambda camera: plain(drawn, camera))(cameras)
    return jnp.sum((pictures - images) ** 2) / 2

  found = hessian.curvature(
    gaussians,
    cameras,
    images=images,
    background=BACKGROUND,
    prepare=Partial(filters.smooth, deviation=deviation),
  )
  wanted = jax.jit(slopes)(hessian.pack(gaussians))
  assert relative(found.gradient, wanted) < 1e-3
  assert found.num_views.dtype == jnp.int32
  assert (found.radii[:, 0] <= found.radii[:, 1]).all()


def alone(color, logit=1.0) -> Gaussians:
  """One Gaussian at the origin, half a unit wide."""
  return Gaussians(
    means=jnp.zeros((1, 3)),
    log_scales=jnp.full((1, 3), np.log(0.2)),
    quats=jnp.asarray([[1.0, 0.1, 0.2, 0.3]]),
    opacity_logits=jnp.asarray([logit]),
    sh=sh.from_rgb(jnp.asarray([color]), 0),
  )


def test_gradients_are_not_curvature():
  # At its optimum a Gaussian has no gradient; and where the residual is flat
  # the slopes of the pixels cancel. Squares of either would call it idle.
  gaussians, cameras = alone((0.9, 0.5, 0.2)), look_from((0, -3, 0))
  drawn = render.render_views(gaussians, cameras, backend='xla')
  found = hessian.curvature(
    gaussians, cameras, images=jnp.asarray(drawn), backend='xla'
  )
  large = np.trace(found.gauss_newton[POSITIONS][0])
  assert large > 1
  assert np.abs(found.gradient).max() < 1e-4
  assert np.abs(found.residual).max() < 1e-3
  flat = hessian.curvature(
    gaussians, cameras, images=jnp.asarray(drawn - 0.3), backend='xla'
  )
  across = np.asarray(flat.gradient[0, hessian.MEANS])[[0, 2]]  # y is depth
  pooled = np.sum(across**2)
  assert pooled < 1e-3 * large
  np.testing.assert_allclose(flat.gauss_newton, found.gauss_newton)


def test_what_no_camera_shows_has_no_curvature_and_no_nan():
  gaussians, cameras = some(), look_from((0.3, -3, 0.5))
  images = targets_of(cameras)
  eye = cameras.position[0]
  # Behind the camera, in its very plane, and so near that slopes overflow.
  lost = dataclasses.replace(
    some(3, seed=4),
    means=eye + jnp.asarray([[0.0, -1.0, 0.0], [0.5, 0, 0], [0, 1e-6, 0]]),
  )
  both = jax.tree.map(lambda *x: jnp.concatenate(x), gaussians, lost)
  options = {'images': images, 'backend': 'reference'}
  wanted = hessian.curvature(gaussians, cameras, **options)
  found = hessian.curvature(both, cameras, **options)
  for name in ('gauss_newton', 'residual', 'gradient'):
    blocks = np.asarray(getattr(found, name))
    assert not blocks[5:].any()
    np.testing.assert_allclose(
      blocks[:5], getattr(wanted, name), rtol=1e-4, atol=1e-4
    )


def test_channels_are_squared_before_they_are_summed():
  # Against the background the colour is (+a, -a, 0): its sum sees nothing.
  gaussians, cameras = alone((0.7, 0.3, 0.5)), look_from((0, -3, 0))
  options = {'background': (0.5, 0.5, 0.5), 'backend': 'xla'}
  found = hessian.curvature(gaussians, cameras, **options)
  summed = hessian.curvature(gaussians, cameras, sum_channels=True, **options)
  assert np.trace(found.gauss_newton[0]) > 1
  assert np.abs(summed.gauss_newton).max() < 1e-5
  with pytest.raises(ValueError, match='sum_channels'):
    images = jnp.zeros((1, SIDE, SIDE, 3))
    hessian.curvature(gaussians, cameras, images=images, sum_channels=True)


def test_whitened_blocks_do_not_know_the_scale_but_the_number_of_pixels():
  gaussians, cameras = some(scale=0.3), three_cameras()
  options = {'blur': 0.0, 'compensation': 'none', 'background': BACKGROUND}
  found = hessian.curvature(gaussians, cameras, **options)
  blocks = hessian.whitened(found.gauss_newton, gaussians)
  large = dataclasses.replace(
    gaussians,
    means=10 * gaussians.means,
    log_scales=gaussians.log_scales + np.log(10),
  )
  poses = cameras.world_to_cam.at[:, :3, 3].multiply(10)
  far = dataclasses.replace(cameras, world_to_cam=poses)
  other = hessian.curvature(large, far, **options)
  got = hessian.whitened(other.gauss_newton, large)
  np.testing.assert_allclose(got, blocks, rtol=2e-3, atol=1e-3)
  np.testing.assert_allclose(other.expected, found.expected, rtol=2e-3)
  fine = hessian.curvature(gaussians, cameras.at_scale(2), **options)
  ratio = np.trace(hessian.whitened(fine.gauss_newton, gaussians), 0, 1, 2)
  ratio = ratio / np.trace(blocks, 0, 1, 2)
  np.testing.assert_allclose(ratio, 4, rtol=0.1)


def test_probes_are_unbiased():
  gaussians, cameras, num = some(), three_cameras(), 4096
  wanted = hessian.curvature(gaussians, cameras, background=BACKGROUND)
  wanted = np.asarray(wanted.gauss_newton)
  mean = hessian.probes(
    jax.random.key(0), gaussians, cameras, num, background=BACKGROUND
  )
  diagonal = np.einsum('npp->np', wanted)
  spread = diagonal[:, :, None] * diagonal[:, None] + wanted**2
  error = np.abs(mean - wanted) / np.sqrt(spread / num + 1e-12)
  assert error.max() < 4.5  # of 330 numbers, in standard errors
  assert relative(mean, wanted) < 0.06


def test_the_bias_of_a_log_determinant_is_wisharts():
  assert hessian.wishart_bias(16, 6) == pytest.approx(-1.53, abs=0.01)
  assert hessian.wishart_bias(64, 6) == pytest.approx(-0.34, abs=0.01)
  drawn = np.random.default_rng(0).normal(size=(500, 64, 6))
  found = np.linalg.slogdet(np.einsum('rni,rnj->rij', drawn, drawn) / 64)[1]
  assert abs(found.mean() - hessian.wishart_bias(64, 6)) < 0.1
  with pytest.raises(ValueError, match='span no 6 dimensions'):
    hessian.wishart_bias(5, 6)
