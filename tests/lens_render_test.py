"""Whole renders, gradients and filters through the cameras of `optics`."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optics_test import (
  LENSES,
  at,
  distortion,
  fisheye,
  front,
  imaged,
  plane,
  project,
  seen_points,
)
from render_test import batch, camera, slopes, small_scene, some, weighted_sum
from sr3d_kernels.rasterize import cpu

from sr3d_jax import filters, geometry, lenses, render
from sr3d_jax.types import Orthographic

BENT = [name for name in LENSES if name != 'pinhole']
draw = jax.jit(functools.partial(render.render, backend='reference'))


@pytest.mark.parametrize('name', LENSES)
def test_a_splat_has_the_covariance_that_the_slopes_give_it(name):
  gaussians = dataclasses.replace(some(20, scale=0.2), means=seen_points(20))
  pose = geometry.look_at(jnp.ones(3), jnp.zeros(3), jnp.asarray([0.0, 0, 1]))
  cam = dataclasses.replace(front(LENSES[name]), world_to_cam=pose)
  shift, turn = np.asarray(pose)[:3, 3], np.asarray(pose)[:3, :3]
  world = dataclasses.replace(gaussians, means=(gaussians.means - shift) @ turn)
  splats = project(world, cam, blur=1e-6)
  a, b, c = np.asarray(splats.conics, np.float64).T
  found = np.linalg.inv(np.array([[a, b], [b, c]]).transpose(2, 0, 1))
  exact = jax.vmap(jax.jacfwd(functools.partial(plane, cam.lens)))
  slopes = np.asarray(cam.focal)[:, None] * exact(gaussians.means)
  axes = turn @ np.asarray(geometry.quat_to_rotation(gaussians.quats))
  factor = slopes @ (axes * np.asarray(gaussians.scales)[:, None])
  expected = factor @ np.swapaxes(factor, 1, 2)
  np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize('name', BENT)
def test_gradients_through_a_lens_agree_with_finite_differences(name):
  with jax.enable_x64(True):
    inputs = small_scene()
    lens = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), LENSES[name])
    cam = dataclasses.replace(inputs['camera'], lens=lens)
    if name == 'orthographic':
      cam = dataclasses.replace(cam, focal=cam.focal / 2)
    found = slopes(weighted_sum, {**inputs, 'camera': cam}, step=1e-6)
  assert len(found) == 9 + len(jax.tree.leaves(lens))
  for key, (derivative, measured) in found.items():
    assert abs(derivative) > 1e-3, key
    assert measured == pytest.approx(derivative, rel=1e-6), key


@pytest.mark.skipif(
  cpu.unsupported(dtype=np.float32) is not None,
  reason=str(cpu.unsupported(dtype=np.float32)),
)
@pytest.mark.parametrize(
  'name, compensation, degree',
  [
    ('pinhole', 'clamped', 3),
    ('orthographic', 'none', 0),
    ('distortion', 'none', 1),
    ('fisheye', 'clamped', 2),
  ],
)
def test_the_native_backend_draws_every_lens_as_defined(
  name, compensation, degree
):
  weights = np.random.default_rng(3).normal(size=(20, 24, 3))
  shape = 8, (degree + 1) ** 2, 3
  gaussians = dataclasses.replace(
    some(8, scale=0.15), sh=0.3 * jax.random.normal(jax.random.key(2), shape)
  )
  cam = dataclasses.replace(
    camera(24, 20),
    focal=jnp.asarray([8.0, 8.0])
    if name == 'orthographic'
    else 26 * jnp.ones(2),
    center=jnp.asarray([12.0, 10.0]),
    lens=LENSES[name],
  )
  inputs = gaussians, cam, jnp.ones(3) / 3

  def loss(inputs, backend):
    gaussians, cam, background = inputs
    image = render.render(
      gaussians,
      cam,
      background=background,
      compensation=compensation,
      backend=backend,
    ).image
    return jnp.vdot(image, weights), image

  run = jax.jit(jax.grad(loss, has_aux=True), static_argnames='backend')
  wanted, wanted_image = run(inputs, backend='reference')
  got, image = run(inputs, backend='cpu')
  assert np.asarray(image).std() > 0.01
  np.testing.assert_allclose(image, wanted_image, rtol=0, atol=2e-6)
  found = zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(wanted))
  for (path, gradient), exact in found:
    error = np.linalg.norm(gradient - exact)
    assert np.linalg.norm(exact) > 0, jax.tree_util.keystr(path)
    assert error <= 5e-6 * np.linalg.norm(exact), jax.tree_util.keystr(path)


def test_an_orthographic_picture_does_not_change_with_depth():
  cam = dataclasses.replace(camera(), lens=Orthographic())
  cam = dataclasses.replace(cam, focal=cam.focal / 3)
  farther = dataclasses.replace(
    cam, world_to_cam=cam.world_to_cam.at[2, 3].add(40.0)
  )
  near = draw(some(), cam).image
  assert np.asarray(near).std() > 0.05
  np.testing.assert_allclose(near, draw(some(), farther).image, atol=1e-4)


@pytest.mark.parametrize('z_order', [True, False])
def test_a_fisheye_of_170_degrees_and_more_draws_all_around(z_order):
  lens = fisheye((0.0,) * 4, z_order=z_order)
  cam = front(lens, 32, 32, focal=16 / np.radians(85))
  around = some(60, scale=0.3)
  around = dataclasses.replace(around, means=3 * around.means)

  @jax.jit
  def total(gaussians):
    return jnp.sum(draw(gaussians, cam).image ** 2)

  value, gradient = jax.value_and_grad(total)(around)
  assert np.isfinite(value) and value > 1
  for leaf in jax.tree.leaves(gradient):
    assert np.isfinite(np.asarray(leaf)).all() and np.asarray(leaf).any()


def test_on_its_axis_a_fisheye_is_a_pinhole():
  ball = at([[0.002, -0.001, 2.0]], scale=0.05)
  bent, straight = (project(ball, front(lens)) for lens in (fisheye(), None))
  np.testing.assert_allclose(bent.means2d, straight.means2d, atol=1e-4)
  np.testing.assert_allclose(bent.conics, straight.conics, atol=1e-5)
  np.testing.assert_allclose(bent.radii, straight.radii, rtol=1e-4)


def test_a_bent_render_undistorted_is_the_straight_render():
  terms = (-0.12, 0.02, 0.004, -0.003)
  k1, k2, p1, p2 = terms
  lens = distortion((k1, k2), (p1, p2), (0.0,) * 4)
  gaussians = some(60, scale=0.06)
  straight_cam = camera(128, 96).at_size(128, 96)
  straight_cam = dataclasses.replace(
    straight_cam, focal=2 * straight_cam.focal, center=jnp.asarray([61.0, 50.0])
  )
  bent_cam = dataclasses.replace(straight_cam, lens=lens)
  straight, bent = (
    np.asarray(draw(gaussians, cam).image) for cam in (straight_cam, bent_cam)
  )
  fixed, is_inside = lenses.undistort(
    bent,
    np.asarray(straight_cam.focal),
    np.asarray(straight_cam.center),
    lenses.opencv(*terms),
  )
  assert is_inside.mean() > 0.8

  def error(image):
    return np.abs(image - straight)[is_inside].mean()

  assert error(fixed) < 0.1 * error(bent)


@pytest.mark.parametrize('name', BENT)
def test_one_camera_of_a_batch_is_that_camera(name):
  lens = LENSES[name]
  others = jax.tree.map(lambda x: 0.5 * x, lens)
  many = jax.tree.map(
    lambda *x: jnp.stack(x), front(others, focal=20.0), front(lens)
  )
  gaussians = at(seen_points(20), scale=0.1)
  expected = project(gaussians, front(lens))
  one = project(gaussians, render.view_of(many, 1))
  all_of_them = jax.vmap(lambda cam: project(gaussians, cam))(many)
  for a, b, c in zip(*map(jax.tree.leaves, (expected, one, all_of_them))):
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(a, c[1], rtol=1e-5, atol=1e-5)
  finer = project(gaussians, front(lens).at_scale(2), blur=0.4)
  once = project(gaussians, front(lens), blur=0.1)
  np.testing.assert_allclose(finer.means2d, 2 * once.means2d, atol=1e-3)
  np.testing.assert_allclose(
    4 * finer.conics, once.conics, rtol=1e-3, atol=1e-5
  )


def test_render_views_looks_through_each_lens():
  many = jax.tree.map(
    lambda *x: jnp.stack(x), front(fisheye((0.1,) * 4)), front(fisheye())
  )
  gaussians = at(seen_points(20), scale=0.1)
  images = render.render_views(gaussians, many)
  for i in range(2):
    expected = draw(gaussians, render.view_of(many, i)).image
    np.testing.assert_allclose(images[i], expected, atol=1e-5)
  assert np.abs(images[0] - images[1]).max() > 0.1


def test_a_lens_that_bends_nothing_is_a_pinhole():
  zeros = distortion((0.0,) * 6, (0.0,) * 2, (0.0,) * 4)
  gaussians = at(seen_points(), scale=0.1)
  bent, straight = (project(gaussians, front(lens)) for lens in (zeros, None))
  for a, b in zip(*map(jax.tree.leaves, (bent, straight))):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', LENSES)
def test_the_filter_knows_what_a_lens_resolves(name):
  focal = 4.0 if name == 'orthographic' else 40.0
  cam = front(LENSES[name], focal=focal)
  points = jnp.asarray([[1e-4, 0.0, 3.0], [1.0, 0.3, 3.0]])
  got = filters.smoothing_scales(points, batch(cam)) / np.sqrt(0.2)
  _, jacobian = imaged(cam, points)
  across = np.asarray(cam.focal)[:, None] * jacobian[..., :2]
  finest = np.linalg.svd(across, compute_uv=False).max(-1)
  np.testing.assert_allclose(got, 1 / finest, rtol=1e-4)
  expected = 1 / focal if name == 'orthographic' else 3 / focal
  assert got[0] == pytest.approx(expected, rel=2e-3)
