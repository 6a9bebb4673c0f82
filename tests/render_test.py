"""Projection against exact cameras, filters against convolution."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sr3d_kernels.rasterize import constants

from sr3d_jax import filters, geometry, lineage, projection, render
from sr3d_jax.types import Camera, Gaussians


def camera(width=64, height=48) -> Camera:
  pose = geometry.look_at(
    jnp.asarray([0.4, -3.0, 0.7]), jnp.zeros(3), jnp.asarray([0.0, 0.0, 1.0])
  )
  return Camera(
    world_to_cam=pose,
    focal=jnp.asarray([70.0, 66.0]),
    center=jnp.asarray([30.0, 25.0]),
    width=width,
    height=height,
  )


def some(num=20, seed=0, scale=0.05) -> Gaussians:
  keys = jax.random.split(jax.random.key(seed), 5)
  return Gaussians(
    means=0.5 * jax.random.normal(keys[0], (num, 3)),
    log_scales=jnp.log(scale) + 0.3 * jax.random.normal(keys[1], (num, 3)),
    quats=jax.random.normal(keys[2], (num, 4)),
    opacity_logits=jax.random.normal(keys[3], (num,)),
    sh=0.5 * jax.random.normal(keys[4], (num, 4, 3)),
  )


def batch(cam: Camera) -> Camera:
  return jax.tree.map(lambda x: x[None], cam)


def test_means_project_as_a_pinhole_does():
  gaussians, cam = some(), camera()
  splats = render.project(gaussians, cam)
  points = np.asarray(gaussians.means) @ np.asarray(cam.world_to_cam)[:3, :3].T
  points = points + np.asarray(cam.world_to_cam)[:3, 3]
  expected = points[:, :2] / points[:, 2:] * np.asarray(cam.focal)
  expected = expected + np.asarray(cam.center)
  np.testing.assert_allclose(splats.means2d, expected, rtol=1e-4, atol=1e-3)
  np.testing.assert_allclose(splats.depths, points[:, 2], rtol=1e-5)


def test_covariance_is_that_of_projected_samples():
  gaussians, cam = some(1, scale=0.01), camera()
  gaussians = dataclasses.replace(gaussians, means=jnp.zeros((1, 3)))
  splats = render.project(gaussians, cam, blur=0.0, compensation='none')
  rotation = geometry.quat_to_rotation(gaussians.quats)[0]
  noise = jax.random.normal(jax.random.key(5), (200_000, 3))
  samples = (noise * gaussians.scales[0]) @ rotation.T
  points = samples @ cam.world_to_cam[:3, :3].T + cam.world_to_cam[:3, 3]
  pixels = points[:, :2] / points[:, 2:] * cam.focal
  a, b, c = np.asarray(splats.conics[0], np.float64)
  covariance = np.linalg.inv([[a, b], [b, c]])
  np.testing.assert_allclose(
    covariance, np.cov(np.asarray(pixels, np.float64).T), rtol=0.03, atol=1e-3
  )


def test_factors_stand_for_axes_and_deviations():
  gaussians, view = some(scale=0.1), camera()
  turns = geometry.quat_to_rotation(
    jax.random.normal(jax.random.key(7), (20, 4))
  )
  # F and F Q have one covariance; the axes count for nothing any more.
  factors = lineage.factors(gaussians) @ turns
  blank = dataclasses.replace(
    gaussians, log_scales=jnp.full((20, 3), 9.0), quats=jnp.ones((20, 4))
  )
  found = render.project(blank, view, factors=factors)
  wanted = render.project(gaussians, view, backend='xla')
  for name in ('means2d', 'conics', 'opacities', 'features', 'depths', 'radii'):
    np.testing.assert_allclose(
      getattr(found, name), getattr(wanted, name), rtol=2e-4, atol=2e-4
    )
  round_ones = 0.1 * jnp.broadcast_to(jnp.eye(3), (20, 3, 3))

  def light(factors):
    drawn = render.render(blank, view, factors=factors, backend='xla')
    return jnp.sum(drawn.image**2)

  slopes = jax.grad(light)(round_ones)
  assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0
  lost = round_ones.at[3, 0, 0].set(jnp.nan)
  found = render.project(blank, view, factors=lost)
  assert found.opacities[3] == 0 and np.isfinite(found.conics).all()


def test_moving_world_and_camera_together_changes_nothing():
  gaussians, cam = some(), camera()
  gaussians = dataclasses.replace(gaussians, sh=gaussians.sh[:, :1])
  turn = geometry.quat_to_rotation(jnp.asarray([0.9, 0.1, -0.3, 0.2]))
  shift = jnp.asarray([0.3, -1.0, 2.0])
  motion = jnp.eye(4).at[:3, :3].set(turn).at[:3, 3].set(shift)
  quat = geometry.rotation_to_quat(turn)
  moved = dataclasses.replace(
    gaussians,
    means=gaussians.means @ turn.T + shift,
    quats=geometry.quat_multiply(quat[None], gaussians.quats),
  )
  moved_cam = dataclasses.replace(
    cam, world_to_cam=cam.world_to_cam @ geometry.invert_pose(motion)
  )
  draw = jax.jit(functools.partial(render.render, capacity=16384))
  before, after = draw(gaussians, cam), draw(moved, moved_cam)
  np.testing.assert_allclose(before.image, after.image, rtol=0, atol=1e-5)


@pytest.mark.parametrize('field', ['means', 'log_scales', 'quats', 'sh'])
def test_a_nan_gaussian_changes_nothing_and_gets_zero_gradients(field):
  gaussians, cam = some(), camera()
  hidden = dataclasses.replace(
    gaussians,
    opacity_logits=gaussians.opacity_logits.at[3].set(-30.0),
  )
  value = getattr(gaussians, field)
  poisoned = dataclasses.replace(gaussians, **{field: value.at[3].set(jnp.nan)})
  capacity = render.plan_capacity(gaussians, batch(cam), slack=2.0)

  def total(g):
    return jnp.sum(render.render(g, cam, capacity=capacity).image ** 2)

  expected = render.render(hidden, cam).image
  np.testing.assert_array_equal(render.render(poisoned, cam).image, expected)
  gradient = jax.grad(total)(poisoned)
  for leaf in jax.tree.leaves(gradient):
    assert np.isfinite(np.asarray(leaf)).all()
    assert not np.asarray(leaf[3]).any()


DEGENERATE = {
  'no rotation': {'quats': 0.0},
  'a point': {'log_scales': -np.inf},
  'tiny': {'log_scales': np.log(1e-12)},
  'huge': {'log_scales': np.log(1e4)},
  'without end': {'log_scales': np.inf},
  'surely there': {'opacity_logits': np.inf},
  'surely not there': {'opacity_logits': -np.inf},
  'in the camera': {'means': [0.4, -3.0, 0.7]},
}


@functools.cache
def _drawn_with_gradient(compensation):
  def total(gaussians):
    image = render.render(
      gaussians, camera(), capacity=16384, compensation=compensation
    ).image
    return jnp.sum(image**2), image

  return jax.jit(jax.grad(total, has_aux=True))


@pytest.mark.parametrize('compensation', ['none', 'clamped'])
@pytest.mark.parametrize('name', DEGENERATE)
def test_degenerate_gaussians_leave_everything_finite(name, compensation):
  gaussians = some()
  changed = {
    field: getattr(gaussians, field).at[3].set(jnp.asarray(value))
    for field, value in DEGENERATE[name].items()
  }
  gaussians = dataclasses.replace(gaussians, **changed)
  gradient, image = _drawn_with_gradient(compensation)(gaussians)
  assert np.isfinite(image).all()
  for leaf in jax.tree.leaves(gradient):
    assert np.isfinite(np.asarray(leaf)).all()


def test_flat_gaussians_have_finite_gradients_edge_on():
  # det is 0 to begin with, and the compensation is its square root.
  flat = some().log_scales.at[:, 2].set(-np.inf)
  gaussians = dataclasses.replace(some(), log_scales=flat)
  gradient, image = _drawn_with_gradient('clamped')(gaussians)
  assert np.isfinite(image).all() and np.asarray(image).std() > 0.01
  for leaf in jax.tree.leaves(gradient):
    assert np.isfinite(np.asarray(leaf)).all()


def test_near_culls_up_to_and_at_its_distance():
  near = np.float32(0.5)
  ulps = np.nextafter(near, [np.float32(0), near, np.float32(1)])
  depths = np.where([False, True, False], near, ulps).astype(np.float32)
  gaussians = dataclasses.replace(
    some(3), means=jnp.asarray([[0, 0, z] for z in depths], jnp.float32)
  )
  cam = dataclasses.replace(camera(), world_to_cam=jnp.eye(4))
  splats = jax.jit(functools.partial(render.project, near=near))(gaussians, cam)
  assert (np.asarray(splats.opacities) > 0).tolist() == [False, False, True]


def test_the_principal_point_may_lie_outside_the_image():
  gaussians, cam = some(200), camera(200, 120)
  draw = jax.jit(functools.partial(render.render, capacity=16384))
  whole = draw(gaussians, cam).image
  moved = dataclasses.replace(cam, center=cam.center - 40, width=64, height=48)
  part = draw(gaussians, moved).image
  assert (np.asarray(moved.center) < 0).all()
  assert np.asarray(part).std() > 0.01
  np.testing.assert_allclose(part, whole[40:88, 40:104], atol=1e-5)


def test_mapped_cameras_draw_what_each_draws():
  gaussians = some(scale=0.2)
  turned = dataclasses.replace(
    camera(), world_to_cam=camera().world_to_cam.at[2, 3].add(0.5)
  )
  both = jax.tree.map(lambda *x: jnp.stack(x), camera(), turned)

  @jax.jit
  @functools.partial(jax.value_and_grad, argnums=(0, 1))
  def total(gaussians, cam):
    return jnp.sum(render.render(gaussians, cam, capacity=16384).image ** 2)

  mapped = jax.vmap(total, in_axes=(None, 0))(gaussians, both)
  for i, cam in enumerate((camera(), turned)):
    found = jax.tree.map(lambda x, i=i: x[i], mapped)
    alone = total(gaussians, cam)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(alone)):
      size = np.abs(b).max()
      np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * size)


def test_gaussians_behind_the_camera_are_background():
  gaussians = dataclasses.replace(
    some(), means=some().means - jnp.asarray([0.0, 9.0, 0.0])
  )
  output = render.render(gaussians, camera(), background=(0.2, 0.4, 0.6))
  expected = np.broadcast_to([0.2, 0.4, 0.6], (48, 64, 3))
  np.testing.assert_allclose(output.image, expected, atol=1e-6)
  assert not np.asarray(output.radii).any()


def test_scaling_the_camera_keeps_the_picture():
  gaussians, cam = some(scale=0.2), camera()
  small = render.render(gaussians, cam, blur=0.0, compensation='none').image
  large = render.render(
    gaussians, cam.at_scale(4), blur=0.0, compensation='none'
  ).image
  shrunk = np.asarray(large).reshape(48, 4, 64, 4, 3).mean(axis=(1, 3))
  assert np.abs(shrunk - np.asarray(small)).mean() < 3e-3


def test_compensation_keeps_the_light_of_a_tiny_splat():
  cam = camera()
  tiny = dataclasses.replace(
    some(1), means=jnp.zeros((1, 3)), log_scales=jnp.full((1, 3), -4.5),
    opacity_logits=jnp.asarray([3.0]), sh=jnp.ones((1, 1, 3)),
  )  # fmt: skip
  dark = {'blur': 0.3, 'background': (0.0, 0.0, 0.0)}
  plain = render.render(tiny, cam, compensation='none', **dark)
  kept = render.render(tiny, cam, compensation='clamped', **dark)
  finely = render.render(
    tiny, cam.at_scale(16), blur=0.0, compensation='none'
  ).alpha
  truth = float(jnp.sum(finely)) / 256
  assert abs(float(jnp.sum(kept.alpha)) / truth - 1) < 0.1
  assert float(jnp.sum(plain.alpha)) > 1.5 * truth


def test_render_views_grows_until_every_view_fits(monkeypatch):
  gaussians, cam = some(scale=0.3), camera()
  expected = render.render_views(gaussians, batch(cam), backend='xla')
  monkeypatch.setattr(render, 'plan_capacity', lambda *a, **k: 64)
  images = render.render_views(gaussians, batch(cam), backend='xla')
  np.testing.assert_array_equal(images, expected)


def test_an_unknown_compensation_is_told_the_right_ones():
  with pytest.raises(ValueError, match='clamped'):
    render.project(some(), camera(), compensation='gamma')


def small_scene():
  """Splats of half a pixel, their camera and a background, in float64."""
  cam = dataclasses.replace(
    camera(24, 20),
    focal=jnp.asarray([26.0, 26.0]),
    center=jnp.asarray([12.0, 10.0]),
  )
  inputs = {'gaussians': some(6), 'camera': cam, 'background': jnp.ones(3) / 3}
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), inputs)


def weighted_sum(inputs, **projection):
  """A linear functional of a render through the 3D filter and the definition.

  Linear, with weights of mean 0: little is rounded away in its differences.
  """
  weights = np.random.default_rng(9).normal(size=(20, 24, 3))
  output = render.render(
    filters.smooth(inputs['gaussians'], jnp.full(6, 0.02)),
    inputs['camera'],
    background=inputs['background'],
    backend='reference',
    **projection,
  )
  return jnp.sum(output.image * weights)


def slopes(loss, inputs, step):
  """By leaf: the derivative along a random direction, and its central twin."""
  loss = jax.jit(jax.value_and_grad(loss))
  leaves, structure = jax.tree.flatten(inputs)
  gradients = jax.tree_util.tree_leaves_with_path(loss(inputs)[1])
  found = {}
  for i, (path, gradient) in enumerate(gradients):
    direction = np.random.default_rng(i).normal(size=gradient.shape)
    ahead, behind = (
      loss(
        structure.unflatten(
          [*leaves[:i], leaves[i] + t * direction, *leaves[i + 1 :]]
        )
      )[0]
      for t in (step, -step)
    )
    name = jax.tree_util.keystr(path)
    found[name] = jnp.vdot(gradient, direction), (ahead - behind) / (2 * step)
  return {name: tuple(map(float, pair)) for name, pair in found.items()}


@pytest.mark.parametrize(
  'options',
  [{'compensation': 'none', 'blur': 0.3}, {}, projection.MIP_SPLATTING],
  ids=['dilation', 'clamped', 'mip_splatting'],
)
def test_gradients_agree_with_finite_differences(options):
  # Where a splat falls below 1/255 the image jumps, and a difference across
  # the jump is no derivative. Steps in float64 are short enough to meet none.
  with jax.enable_x64(True):
    loss = functools.partial(weighted_sum, **options)
    found = slopes(loss, small_scene(), step=1e-6)
  assert len(found) == 9
  for name, (derivative, measured) in found.items():
    assert derivative, name
    assert measured == pytest.approx(derivative, rel=1e-6), name


def test_what_a_longer_step_gets_wrong_is_the_contour(monkeypatch):
  def largest_error():
    found = slopes(weighted_sum, small_scene(), step=5e-4).values()
    return max(abs(measured / derivative - 1) for derivative, measured in found)

  with jax.enable_x64(True):
    assert largest_error() > 0.1
    monkeypatch.setattr(constants, 'ALPHA_MIN', 1e-12)
    assert largest_error() < 1e-3
