"""Children keep what their parent was, in every frame, until told otherwise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import linalg

from sr3d_jax import children, geometry, render, sh
from sr3d_jax.types import Camera, Gaussians


def some(num: int, key: int = 0, opacity: float | None = None) -> Gaussians:
  keys = jax.random.split(jax.random.key(key), 5)
  logits = jax.random.normal(keys[3], (num,))
  if opacity is not None:
    logits = jnp.full(num, np.log(opacity / (1 - opacity)))
  return Gaussians(
    means=0.3 * jax.random.normal(keys[0], (num, 3)),
    log_scales=-1.5 + 0.6 * jax.random.normal(keys[1], (num, 3)),
    quats=jax.random.normal(keys[2], (num, 4)),
    opacity_logits=logits,
    sh=0.5 * jax.random.normal(keys[4], (num, 1, 3)),
  )


def slots(num: int, m: int, key: int = 7, size: float = 0.7) -> list:
  keys = jax.random.split(jax.random.key(key), 5)
  shapes = ((num, m, 3), (num, m, 6), (num, m), (num, m), (num, m, 1, 3))
  return [size * jax.random.normal(k, x) for k, x in zip(keys, shapes)]


def covariances(gaussians: Gaussians) -> np.ndarray:
  rotation = geometry.quat_to_rotation(gaussians.quats)
  factor = np.asarray(rotation * gaussians.scales[..., None, :], np.float64)
  return factor @ np.swapaxes(factor, -1, -2)


def round_parent(opacity: float, scales=(3.0, 1.0, 1.0)) -> Gaussians:
  return Gaussians(
    means=jnp.zeros((1, 3)),
    log_scales=jnp.log(jnp.asarray([scales])),
    quats=jnp.asarray([[1.0, 0, 0, 0]]),
    opacity_logits=jnp.log(jnp.asarray([opacity / (1 - opacity)])),
    sh=jnp.zeros((1, 1, 3)),
  )


@pytest.mark.parametrize('m', [1, 2, 4])
def test_mixture_keeps_mean_and_covariance_whatever_the_offsets(m):
  parents = some(12)
  offsets, log_covs, opacity, weights, _ = slots(12, m, size=3.0)
  made = children.conserve(parents, offsets, 0 * log_covs, opacity, weights)
  shares = np.asarray(jax.nn.softmax(weights), np.float64)
  means = np.asarray(made.means, np.float64)
  mean = np.einsum('bm,bmi->bi', shares, means)
  size = np.asarray(parents.scales).max(axis=-1)
  assert (np.abs(mean - parents.means).max(axis=-1) < 1e-5 * size).all()
  apart = means - np.asarray(parents.means, np.float64)[:, None]
  spread = np.einsum('bm,bmi,bmj->bij', shares, apart, apart)
  spread += np.einsum('bm,bmij->bij', shares, made.covariances)
  before = covariances(parents)
  off = np.abs(spread - before).max(axis=(-2, -1)) / size**2
  assert (off < 1e-5).all(), off


def test_one_child_that_is_told_nothing_is_its_parent():
  parents = some(16)
  made = children.conserving(parents, 1)
  alone = jax.tree.map(lambda x: x[:, 0], made)
  np.testing.assert_array_equal(alone.means, parents.means)
  np.testing.assert_array_equal(alone.sh, parents.sh)
  np.testing.assert_allclose(alone.opacities, parents.opacities, rtol=3e-7)
  np.testing.assert_allclose(
    alone.log_scales, -np.sort(-parents.log_scales), atol=3e-7
  )
  before = covariances(parents)
  np.testing.assert_allclose(
    covariances(alone), before, atol=2e-6 * before.max()
  )


def test_one_child_of_a_sheet_stays_as_thin():
  parents = some(4)
  flat = parents.log_scales.at[:, 1].add(-9.0)
  parents = dataclasses.replace(parents, log_scales=flat)
  alone = children.conserving(parents, 1)
  np.testing.assert_allclose(
    alone.log_scales[:, 0, 2], jnp.min(flat, axis=-1), atol=1e-3
  )


def test_needles_are_cut_and_sheets_are_not():
  needle = round_parent(0.5, (1.0, 0.01, 0.001))
  whole = children.conserve(needle, *(x[:1] * 0 for x in slots(1, 1)[:4]))
  made = children.to_gaussians(whole)
  np.testing.assert_allclose(made.scales[0, 0], [0.2, 0.01, 0.001], rtol=1e-4)
  made = children.to_gaussians(whole, max_anisotropy=np.inf)
  np.testing.assert_allclose(made.scales[0, 0], [1, 0.01, 0.001], rtol=1e-4)
  # What its parent was already is nothing new.
  made = children.conserving(needle, 1)
  np.testing.assert_allclose(made.scales[0, 0], [1, 0.01, 0.001], rtol=1e-4)
  round_one = round_parent(0.5, (1.0, 0.9, 0.001))
  np.testing.assert_allclose(children.longest(round_one), [[20.0]])


@pytest.mark.parametrize('m', [1, 2, 4])
def test_axes_found_again_make_the_same_covariance_by_proper_rotations(m):
  made = children.conserve(some(12), *slots(12, m))
  found = children.to_gaussians(made, max_anisotropy=np.inf)
  rotation = geometry.quat_to_rotation(found.quats)
  np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-5)
  wanted = np.asarray(made.covariances)
  size = np.abs(wanted).max(axis=(-2, -1), keepdims=True)
  assert np.abs((covariances(found) - wanted) / size).max() < 5e-6
  assert (np.diff(found.log_scales, axis=-1) <= 0).all()


def test_the_covariance_is_the_root_and_exponential_of_the_equation():
  parents = some(3)
  raw = slots(3, 2)
  made = children.conserve(parents, *raw)
  rotation, scales = children.frames(parents)
  whiten = np.linalg.inv(np.asarray(rotation * scales[:, None], np.float64))
  shares = np.asarray(jax.nn.softmax(raw[3]))
  for b in range(3):
    u = (np.asarray(made.means[b]) - np.asarray(parents.means[b])) @ whiten[b].T
    root = linalg.sqrtm(np.eye(3) - (shares[b, :, None] * u).T @ u)
    for k in range(2):
      xx, xy, xz, yy, yz, zz = np.asarray(raw[1][b, k], np.float64)
      log = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
      local = whiten[b] @ np.asarray(made.covariances[b, k]) @ whiten[b].T
      np.testing.assert_allclose(
        local, root @ linalg.expm(log) @ root, rtol=2e-4, atol=2e-5
      )


def test_larger_children_are_fainter_and_heavier_ones_stronger():
  parents = some(1, opacity=0.3)
  zeros = [0 * x for x in slots(1, 2)[:4]]
  base = children.conserve(parents, *zeros).opacities
  grown = zeros[1].at[..., jnp.asarray([0, 3, 5])].set(0.4)
  larger = children.conserve(parents, zeros[0], grown, *zeros[2:]).opacities
  np.testing.assert_allclose(larger, base * np.exp(-0.4), rtol=1e-5)
  weights = zeros[3].at[0, 0].set(jnp.log(3.0))
  heavy = children.conserve(parents, *zeros[:3], weights).opacities
  assert heavy[0, 0] > 2 * heavy[0, 1]
  bright = children.conserve(parents, *zeros[:2], zeros[2] + 9, zeros[3])
  np.testing.assert_allclose(bright.opacities, 0.99, rtol=1e-6)


def test_a_free_mean_moves_along_the_longest_axis_alone():
  parent = round_parent(0.5, (1.0, 4.0, 2.0))
  raw = [0 * x for x in slots(1, 1)[:4]]
  raw[0] = raw[0].at[0, 0, 0].set(0.5)
  kept = children.conserve(parent, *raw)
  np.testing.assert_array_equal(kept.means[0], parent.means)
  free = children.conserve(parent, *raw, keep_mean=False)
  step = 4 * 1.5 * np.tanh(0.5)
  np.testing.assert_allclose(np.abs(free.means[0, 0]), [0, step, 0], atol=1e-5)
  np.testing.assert_allclose(
    free.covariances[0, 0], np.diag([1.0, 16, 4]), atol=1e-5
  )


def test_colours_are_added_as_seen_along_the_axes():
  parents = dataclasses.replace(some(2), sh=jnp.ones((2, 9, 3)))
  raw = slots(2, 2)[:4]
  colors = jax.random.normal(jax.random.key(5), (2, 2, 4, 3))
  added = children.conserve(parents, *raw, colors).sh - 1
  np.testing.assert_array_equal(added[:, :, 4:], 0.0)
  rotation, _ = children.frames(parents)
  seen = jnp.asarray([0.6, 0.0, 0.8])
  for b in range(2):
    np.testing.assert_allclose(
      sh.evaluate(added[b], rotation[b] @ seen),
      sh.evaluate(colors[b], seen),
      atol=1e-5,
    )
  few = dataclasses.replace(parents, sh=jnp.ones((2, 1, 3)))
  made = children.conserve(few, *raw, colors)
  np.testing.assert_allclose(made.sh, 1 + colors[:, :, :1], rtol=1e-6)


@pytest.mark.parametrize('m', [1, 2, 4])
def test_gradients_are_right_where_nothing_was_learnt_yet(m):
  with jax.enable_x64(True):
    parents = jax.tree.map(lambda x: x.astype(jnp.float64), some(2))
    raw = [0 * x.astype(jnp.float64) for x in slots(2, m)[:4]]
    weigh = jax.random.normal(jax.random.key(1), (2, m, 3, 3))

    def total(*raw):
      made = children.conserve(parents, *raw, keep_mean=False)
      terms = jnp.sum(weigh * made.covariances) + jnp.sum(made.opacities)
      return terms + jnp.sum(made.means**2)

    check_grads(total, raw, order=1, modes=('rev',), rtol=1e-5, atol=1e-7)


def test_a_parent_alone_has_the_children_that_it_has_in_a_batch():
  parents, raw = some(5), slots(5, 4)
  made = children.conserve(parents, *raw)
  one = jax.tree.map(lambda x: x[3:4], (parents, raw))
  alone = children.conserve(one[0], *one[1])
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a[3:4], b, atol=1e-6), made, alone
  )


def test_frames_are_proper_and_ordered():
  parents = some(16)
  rotation, scales = children.frames(parents)
  assert (np.diff(scales, axis=-1) <= 0).all()
  np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-5)
  factor = np.asarray(rotation * scales[:, None], np.float64)
  np.testing.assert_allclose(
    factor @ np.swapaxes(factor, -1, -2), covariances(parents), atol=1e-5
  )


def test_moving_scene_and_camera_together_changes_no_picture():
  """T7: turned, moved and enlarged, children of what is told something."""
  parents, raw = some(6, opacity=0.6), slots(6, 4)
  camera = Camera(
    world_to_cam=geometry.look_at(
      jnp.asarray([0.4, -0.3, -3.0]), jnp.zeros(3), jnp.asarray([0.0, -1, 0])
    ),
    focal=jnp.full(2, 40.0),
    center=jnp.full(2, 16.0),
    width=32,
    height=32,
  )
  before = draw(parents, raw, camera)
  for key in range(3):
    quat = jax.random.normal(jax.random.key(key), (4,))
    turn, size = geometry.quat_to_rotation(quat), 0.3 + 2 * key
    shift = jnp.asarray([1.0, -2.0, 0.5]) * key
    moved = dataclasses.replace(
      parents,
      means=size * parents.means @ turn.T + shift,
      log_scales=parents.log_scales + jnp.log(size),
      quats=geometry.quat_multiply(quat, parents.quats),
    )
    view = camera.world_to_cam
    turned = view[:3, :3] @ turn.T
    pose = (
      view.at[:3, :3].set(turned).at[:3, 3].set(
        size * view[:3, 3] - turned @ shift
      )
    )  # fmt: skip
    after = draw(moved, raw, dataclasses.replace(camera, world_to_cam=pose))
    assert np.ptp(before) > 0.3
    assert np.abs(after - before).max() < 1e-3


def draw(parents: Gaussians, raw: list, camera: Camera) -> np.ndarray:
  made = children.to_gaussians(children.conserve(parents, *raw))
  flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), made)
  return np.asarray(render.render(flat, camera, near=1e-3).image)


def test_impossible_families_are_told_so():
  with pytest.raises(ValueError, match='split twice'):
    children.conserving(some(2), 3)
  offsets, log_covs, opacity, weights, _ = slots(2, 2)
  with pytest.raises(ValueError, match=r'\[B, m, 6\]'):
    children.conserve(some(2), offsets, log_covs[..., :5], opacity, weights)
