"""The fourteen channels against what they are of, and what must not matter."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import geometry, hessian, hessian_features, lineage_tokens
from sr3d_jax.hessian_features import UNIT, absolute_pulls, features, of_views
from sr3d_jax.types import Camera, Gaussians, Views

N, SIDE = 6, 16
EYES = ((0.3, -3, 0.5), (2.2, -2, 0.2), (-1.5, -2.4, -0.8))
LABELLED = lineage_tokens.LABELLED


def some_views(size=1.0, scale=1) -> Views:
  up = jnp.asarray([0.0, 0.0, 1.0])
  poses = [
    geometry.look_at(size * jnp.asarray(x, float), jnp.zeros(3), up)
    for x in EYES
  ]
  side = SIDE * scale
  rng = np.random.default_rng(1)
  return Views(
    images=jnp.asarray(rng.uniform(size=(3, side, side, 3)), jnp.float32),
    cameras=Camera(
      world_to_cam=jnp.stack(poses),
      focal=1.3 * side * jnp.ones((3, 2)),
      center=side / 2 * jnp.ones((3, 2)),
      width=side,
      height=side,
    ),
  )


def some() -> Gaussians:
  rng = np.random.default_rng(0)
  draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
  return Gaussians(
    means=0.3 * draw(N, 3),
    log_scales=np.log(0.25) + 0.5 * draw(N, 3),
    quats=draw(N, 4),
    opacity_logits=draw(N),
    sh=0.5 * draw(N, 1, 3),
  )


def some_curvature(seed=0) -> hessian.Curvature:
  rng = np.random.default_rng(seed)
  factor = 0.1 * rng.normal(size=(N, 11, 30))
  bend = rng.normal(size=(N, 11, 11))
  single = jnp.asarray(rng.uniform(0.5, 2, (N, 6)), jnp.float32)
  return hessian.Curvature(
    gauss_newton=jnp.asarray(factor @ factor.swapaxes(1, 2), jnp.float32),
    residual=jnp.asarray(bend + bend.swapaxes(1, 2), jnp.float32),
    gradient=jnp.asarray(rng.normal(size=(N, 11)), jnp.float32),
    removal=single[:, 0],
    color=single[:, 1],
    blend=single[:, 2],
    expected=single[:, 3],
    num_views=jnp.full(N, 5),
    radii=jnp.sort(10 * single[:, 4:], axis=-1),
  )


def sorted_axes(gaussians):
  """[N, 3, 3] W with the longest axis first, and the order."""
  rotation = np.asarray(geometry.quat_to_rotation(gaussians.quats), float)
  order = np.argsort(-np.asarray(gaussians.log_scales), axis=-1)
  axes = rotation * np.asarray(gaussians.scales)[:, None]
  return np.take_along_axis(axes, order[:, None], axis=-1), order


def test_channels_are_what_they_are_called():
  gaussians, free, told = some(), some_curvature(0), some_curvature(1)
  found = np.asarray(features(gaussians, free, told, jnp.arange(N) * 1.0))
  axes, order = sorted_axes(gaussians)
  assert found.shape == (N, sum(hessian_features.PARTS.values()))
  for i in range(N):
    block = np.asarray(free.gauss_newton[i, :6, :6], float) / 5
    frame = np.zeros((6, 6))
    frame[:3, :3], frame[3:, 3:] = axes[i], np.eye(3)[:, order[i]]
    block = frame.T @ block @ frame
    bend = axes[i].T @ np.asarray(told.residual[i, :3, :3], float) @ axes[i]
    pull = axes[i].T @ np.asarray(told.gradient[i, :3], float) / 5
    radii = np.asarray(free.radii[i])
    np.testing.assert_allclose(
      np.sinh(found[i, :12]) * UNIT,
      [
        *np.diag(block),
        np.linalg.det(block) ** (1 / 6),
        *np.linalg.eigvalsh(bend / 5),
        np.linalg.norm(pull),
        i / 5,
      ],
      rtol=2e-3,
      atol=1e-6,
    )
    rest = [np.arcsinh(5), np.log(radii[1] / radii[0])]
    np.testing.assert_allclose(found[i, 12:], rest, rtol=1e-5)


def test_photos_speak_in_their_own_channels_alone():
  gaussians, views = some(), some_views()
  with_photos = np.asarray(of_views(gaussians, views))
  without = np.asarray(of_views(gaussians, views, with_labels=False))
  noise = dataclasses.replace(views, images=1 - views.images)
  other = np.asarray(of_views(gaussians, noise))
  rest = np.ones(14, bool)
  rest[LABELLED] = False
  assert (without[:, LABELLED] == 0).all()
  np.testing.assert_array_equal(with_photos[:, rest], without[:, rest])
  np.testing.assert_array_equal(with_photos[:, rest], other[:, rest])
  assert (abs(with_photos - other)[:, LABELLED] > 1e-3).any(axis=0).all()
  assert (with_photos[:, LABELLED] != 0).any(axis=0).all()


def test_the_unit_of_the_scene_does_not_matter():
  small, large = some(), some()
  large = dataclasses.replace(
    large, means=7 * large.means, log_scales=large.log_scales + np.log(7)
  )
  a, b = of_views(small, some_views()), of_views(large, some_views(size=7.0))
  np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3)


def test_the_order_of_axes_and_the_sign_of_a_quaternion_do_not_matter():
  gaussians, views = some(), some_views()
  turned = dataclasses.replace(
    lineage_tokens.canonical(gaussians),
    quats=-lineage_tokens.canonical(gaussians).quats,
  )
  a, b = of_views(gaussians, views), of_views(turned, views)
  np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3)


def test_each_row_follows_its_gaussian():
  gaussians, views = some(), some_views()
  order = np.array([3, 0, 5, 1, 4, 2])
  moved = jax.tree.map(lambda x: x[order], gaussians)
  a, b = of_views(gaussians, views), of_views(moved, views)
  np.testing.assert_allclose(np.asarray(a)[order], b, rtol=1e-3, atol=1e-3)


def test_twice_the_views_are_not_twice_the_curvature():
  gaussians, views = some(), some_views()
  twice = jax.tree.map(lambda x: jnp.concatenate([x, x]), views)
  a = np.asarray(of_views(gaussians, views))
  b = np.asarray(of_views(gaussians, twice))
  np.testing.assert_allclose(a[:, :12], b[:, :12], rtol=1e-3, atol=1e-4)
  assert (b[:, 12] > a[:, 12]).all()


def test_what_no_camera_sees_is_not_known():
  hidden = some()
  hidden = dataclasses.replace(
    hidden, opacity_logits=hidden.opacity_logits.at[2].set(-20.0)
  )
  found = np.asarray(of_views(hidden, some_views()))
  assert (found[2] == 0).all() and np.isfinite(found).all()
  assert (found[0, :7] > 0).all()


def test_pulls_of_pixels_do_not_cancel():
  """A splat amid a picture of its own colour, but for two opposite pixels."""
  one = jax.tree.map(lambda x: x[:1], some())
  one = dataclasses.replace(
    one,
    means=jnp.zeros((1, 3)),
    log_scales=jnp.full((1, 3), -1.5),
    opacity_logits=jnp.ones(1),
  )
  views = some_views()
  first = jax.tree.map(lambda x: x[:1], views)
  drawn = hessian_features.render.render_views(one, first.cameras)
  image = drawn.copy()
  image[:, 8, 5] += 0.2  # columns 5 and 10 lie alike about the centre
  image[:, 8, 10] += 0.2
  dented = dataclasses.replace(first, images=jnp.asarray(image))
  told = hessian.curvature(one, dented)
  absolute = float(absolute_pulls(one, dented)[0])
  sideways = np.linalg.norm(np.asarray(told.gradient[0, :3]))
  assert absolute > 0.05
  assert sideways * float(one.scales[0, 0]) < 0.5 * absolute
  calm = dataclasses.replace(first, images=jnp.asarray(drawn))
  assert float(absolute_pulls(one, calm)[0]) < 1e-5


def test_coarser_is_no_next_level():
  with pytest.raises(ValueError, match=r'scale is at least 1, got 0\.5'):
    of_views(some(), some_views(), scale=0.5)
