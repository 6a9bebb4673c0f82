"""Tokens ignore how a scene stands, and each channel says its own thing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg
from scipy.spatial.transform import Rotation

from sr3d_jax import children, filters, geometry, lineage_tokens, sh
from sr3d_jax.types import Camera, Gaussians


def some(*shape: int, seed: int = 0, degree: int = 3) -> Gaussians:
  rng = np.random.default_rng(seed)
  fields = dict(
    means=0.3 * rng.normal(size=(*shape, 3)),
    log_scales=-2 + 0.7 * rng.normal(size=(*shape, 3)),
    quats=rng.normal(size=(*shape, 4)),
    opacity_logits=rng.normal(size=shape),
    sh=rng.normal(size=(*shape, (degree + 1) ** 2, 3)),
  )
  return Gaussians(**{k: jnp.asarray(v, 'float32') for k, v in fields.items()})


def parts(values, layout) -> dict:
  ends = np.cumsum(list(layout.values()))
  return dict(zip(layout, np.split(np.asarray(values), ends[:-1], axis=-1)))


TURN = jnp.asarray([0.3, -0.5, 0.8, 0.2])
SHIFT, GROWTH = jnp.asarray([1.0, -2.0, 0.5]), 2.5


@functools.partial(jax.jit, static_argnames=('turn_colors',))
def moved(gaussians: Gaussians, turn_colors: bool = True) -> Gaussians:
  """The scene turned, made larger and shifted."""
  rotation = geometry.quat_to_rotation(TURN)
  turn = jnp.broadcast_to(TURN, gaussians.quats.shape)
  return dataclasses.replace(
    gaussians,
    means=GROWTH * gaussians.means @ rotation.T + SHIFT,
    log_scales=gaussians.log_scales + np.log(GROWTH),
    quats=-geometry.quat_multiply(turn, gaussians.quats),  # -q is q
    sh=sh.rotate(gaussians.sh, rotation) if turn_colors else gaussians.sh,
  )


def cameras(is_moved: bool) -> Camera:
  eyes = jnp.asarray([[0, -3.0, 0.4], [2.0, -2, 1]])
  poses = geometry.look_at(eyes, jnp.zeros(3), jnp.asarray([0, 0, 1.0]))
  if is_moved:
    rotation = geometry.quat_to_rotation(TURN)
    turned = poses[:, :3, :3] @ rotation.T
    shift = GROWTH * poses[:, :3, 3] - turned @ SHIFT
    poses = poses.at[:, :3, :3].set(turned).at[:, :3, 3].set(shift)
  return Camera(
    world_to_cam=poses,
    focal=jnp.full((2, 2), 40.0),
    center=jnp.full((2, 2), 16.0),
    width=32,
    height=32,
  )


@jax.jit
def told(states, around, where):
  newest = jax.tree.map(lambda x: x[:, 0], states)
  pixel = filters.smoothing_scales(newest.means, where)
  pixel = pixel / np.sqrt(filters.FILTER_VARIANCE)
  mask = jnp.ones(states.means.shape[:2], bool)
  scales = jnp.asarray([0.5, 0.5, 0.25, 0.25])[: mask.shape[1]]
  phases = jnp.asarray([1, 0, 1, 0])[: mask.shape[1]]
  codes = lineage_tokens.level_codes(scales, phases, 1.0)
  return (
    lineage_tokens.tokens(
      states,
      mask,
      pixel_size=pixel,
      codes=jnp.broadcast_to(codes, (*mask.shape, 2)),
    ),
    lineage_tokens.neighbor_features(
      newest, around, jnp.ones(around.means.shape[:2], bool), pixel_size=pixel
    ),
  )


def test_a_scene_moved_with_its_cameras_gives_the_same_numbers():
  states, around = some(6, 4), some(6, 3, seed=1)
  expected = told(states, around, cameras(False))
  found = told(moved(states), moved(around), cameras(True))
  assert expected[0].shape == (6, 4, 47) and expected[1].shape == (6, 3, 20)
  for a, b in zip(expected, found, strict=True):
    assert np.isfinite(a).all()
    np.testing.assert_allclose(a, b, atol=1e-4)
  # And not for want of reading: colours left behind, or cameras, are noticed.
  colors = told(
    moved(states, turn_colors=False),
    moved(around, turn_colors=False),
    cameras(True),
  )
  stayed = told(moved(states), moved(around), cameras(False))
  for a, b, c in zip(expected, colors, stayed, strict=True):
    assert np.abs(a - b).max() > 0.1 and np.abs(a - c).max() > 0.1


def test_the_newest_state_stands_at_the_origin_of_its_own_frame():
  states = some(5, 2)
  found, _ = told(states, some(5, 1), cameras(False))
  newest = parts(found[:, 0], lineage_tokens.TOKEN_PARTS)
  np.testing.assert_allclose(newest['offset'], 0, atol=1e-6)
  np.testing.assert_allclose(newest['log_cov'], 0, atol=1e-5)
  assert (newest['anisotropy'] >= 0).all()
  np.testing.assert_array_equal(newest['code'], [[1, 1]] * 5)
  np.testing.assert_array_equal(newest['hessian'], np.zeros((5, 14)))


def test_each_channel_says_what_its_formula_does():
  states = some(4, 2, degree=2)
  mask = jnp.asarray([[1, 1], [1, 1], [1, 1], [1, 0]], bool)
  hessian = jnp.ones((4, 2, 14))
  found = lineage_tokens.tokens(
    states,
    mask,
    pixel_size=jnp.full(4, 0.01),
    codes=jnp.full((4, 2, 2), 3.0),
    hessian=hessian,
  )
  assert not found[3, 1].any()
  found = parts(found, lineage_tokens.TOKEN_PARTS)
  for n in range(3):
    quats = np.asarray(states.quats[n], float)
    axes = Rotation.from_quat(quats, scalar_first=True).as_matrix()
    logs = np.asarray(states.log_scales[n], float)
    roots = axes * np.exp(logs)[:, None]
    order = np.argsort(-logs[0])
    frame = axes[0][:, order]
    frame[:, 2] *= np.linalg.det(frame)
    whiten = (frame / np.exp(logs[0][order])).T
    away = np.asarray(states.means[n, 1] - states.means[n, 0], float)
    np.testing.assert_allclose(
      found['offset'][n, 1], np.arcsinh(whiten @ away), atol=1e-4
    )
    relative = whiten @ roots[1] @ roots[1].T @ whiten.T
    np.testing.assert_allclose(
      found['log_cov'][n, 1],
      linalg.logm(relative)[np.triu_indices(3)],
      atol=1e-3,
    )
    np.testing.assert_allclose(
      found['size'][n, 1], logs[1].mean() - np.log(0.01), atol=1e-5
    )
    down = np.sort(logs[1])[::-1]
    np.testing.assert_allclose(
      found['anisotropy'][n, 1], [down[0] - down[1], down[1] - down[2]],
      atol=1e-5,
    )  # fmt: skip
    # Harmonics of degree 1, read by a direction in the frame and in the world.
    there = np.array([0.48, -0.6, 0.64])
    linear = np.concatenate(
      [np.zeros((1, 3)), found['degree1'][n, 1].reshape(3, 3)]
    )
    world = states.sh[n, 1, :4].at[0].set(0.0)
    np.testing.assert_allclose(
      sh.evaluate(jnp.asarray(linear), jnp.asarray(there)),
      sh.evaluate(world, jnp.asarray(frame @ there)),
      atol=1e-5,
    )
    band = np.linalg.norm(states.sh[n, 1, 4:9], axis=0)
    np.testing.assert_allclose(found['bands'][n, 1], [*band, 0, 0, 0], 1e-5)
  np.testing.assert_allclose(
    found['opacity'][:3, 1, 0], states.opacity_logits[:3, 1], atol=1e-5
  )
  np.testing.assert_array_equal(found['hessian'][:3, 1], np.ones((3, 14)))
  np.testing.assert_array_equal(found['code'][:3], np.full((3, 2, 2), 3.0))


def test_states_that_are_masked_may_be_anything():
  states = some(3, 2)
  broken = dataclasses.replace(states, means=states.means.at[:, 1].set(jnp.nan))
  mask = jnp.asarray([[True, False]] * 3)
  options = dict(pixel_size=jnp.ones(3), codes=jnp.zeros((3, 2, 2)))
  np.testing.assert_array_equal(
    lineage_tokens.tokens(states, mask, **options),
    lineage_tokens.tokens(broken, mask, **options),
  )


def test_neighbours_are_told_by_their_differences():
  newest = some(4)
  own = jax.tree.map(lambda x: x[:, None], newest)
  brighter = dataclasses.replace(
    own,
    opacity_logits=own.opacity_logits + 0.5,
    sh=own.sh.at[:, :, 0].add(jnp.asarray([0.1, 0.2, 0.3])),
  )
  found = lineage_tokens.neighbor_features(
    newest,
    brighter,
    jnp.ones((4, 1), bool),
    pixel_size=jnp.ones(4),
    ratio=jnp.full((4, 1), 0.7),
  )
  found = parts(found[:, 0], lineage_tokens.NEIGHBOR_PARTS)
  for name in ('offset', 'log_cov', 'degree1'):
    np.testing.assert_allclose(found[name], 0, atol=1e-5)
  np.testing.assert_allclose(found['dc'], [[0.1, 0.2, 0.3]] * 4, atol=1e-5)
  np.testing.assert_allclose(found['opacity'], 0.5, atol=1e-5)
  np.testing.assert_allclose(found['ratio'], 0.7, atol=1e-6)


def test_canonical_axes_are_those_that_children_are_made_in():
  gaussians = some(9)
  kept = lineage_tokens.canonical(gaussians)
  rotation, scales = children.frames(gaussians)
  np.testing.assert_allclose(
    geometry.quat_to_rotation(kept.quats), rotation, atol=1e-5
  )
  np.testing.assert_allclose(kept.scales, scales, rtol=1e-6)
  flips = jnp.asarray([[1, -1, -1], [-1, 1, -1], [-1, -1, 1]] * 3)
  turned = lineage_tokens.canonical(gaussians, flips)
  again, _ = children.frames(turned)
  np.testing.assert_allclose(again, rotation * flips[:, None], atol=1e-5)


@pytest.mark.parametrize('thinness', [1.0, 4e-3])
def test_logarithms_of_gram_matrices_keep_thin_axes(thinness):
  rng = np.random.default_rng(0)
  factors = rng.normal(size=(20, 3, 3))
  factors = np.linalg.qr(factors)[0] * [2.0, 0.5, thinness]
  turn = Rotation.random(20, rng=rng).as_matrix()
  found = lineage_tokens.log_gram(jnp.asarray(factors @ turn, jnp.float32))
  exact = [linalg.logm(a @ a.T) for a in factors]
  np.testing.assert_allclose(found, exact, atol=2e-3)
  np.testing.assert_allclose(
    lineage_tokens.log_gram(jnp.diag(jnp.asarray([1.0, 2, 3]))),
    2 * np.diag(np.log([1.0, 2, 3])),
    atol=1e-6,
  )
  assert jnp.isfinite(lineage_tokens.log_gram(jnp.zeros((3, 3)))).all()


def test_targets_equal_to_their_parent_are_zero_but_for_opacity():
  mask = jnp.asarray([[True, True, False]])
  found = lineage_tokens.target_features(
    jnp.asarray([[[0.0, 0, 0], [0.5, 0, 0], [9, 9, 9]]]),
    jnp.asarray([[np.eye(3), np.diag([4.0, 1, 1]), np.eye(3)]]),
    jnp.asarray([[0.5, 0.0, 0.5]]),
    jnp.zeros((1, 3, 4, 3)),
    mask,
  )
  assert found.shape == (1, 3, 22) and not found[0, 2].any()
  first, second, _ = parts(found[0], lineage_tokens.TARGET_PARTS)['log_cov']
  np.testing.assert_allclose(first, 0, atol=1e-6)
  np.testing.assert_allclose(second, [np.log(4), 0, 0, 0, 0, 0], atol=1e-6)
  np.testing.assert_allclose(found[0, 0, 9], 0, atol=1e-6)
  assert found[0, 1, 9] < -9 and np.isclose(found[0, 1, 0], np.arcsinh(0.5))


def test_exact_neighbours_leave_the_centre_itself_out():
  means = np.random.default_rng(0).normal(size=(30, 3)).astype('float32')
  means[4] = means[11]
  rows, mask = lineage_tokens.nearest(means, 5)
  away = np.linalg.norm(means[:, None] - means, axis=-1)
  np.fill_diagonal(away, np.inf)
  assert mask.all() and (rows != np.arange(30)[:, None]).all()
  np.testing.assert_allclose(
    np.take_along_axis(away, rows, axis=1), np.sort(away, axis=1)[:, :5]
  )
  for num in (0, 1, 3):
    rows, mask = lineage_tokens.nearest(means[:num], 5)
    assert rows.shape == (num, 5)
    assert (mask.sum(axis=1) == max(num - 1, 0)).all()


def test_morton_windows_find_most_of_the_exact_neighbours():
  rng = np.random.default_rng(1)
  means = rng.normal(size=(600, 3)).astype('float32')
  means[:, 2] = 0.2 * np.sin(2 * means[:, 0])  # a surface, as scenes are
  live = np.arange(600) % 6 > 0
  rows, mask = lineage_tokens.nearby(means, live, 8)
  assert mask[live].all() and live[rows][mask].all()
  assert not (np.asarray(rows) == np.arange(600)[:, None])[mask].any()
  exact, _ = lineage_tokens.nearest(means[live], 8)
  exact = np.flatnonzero(live)[exact]
  hits = [np.isin(a, b).mean() for a, b in zip(exact, rows[live])]
  assert np.mean(hits) > 0.6  # 0.1 by chance in such a window
  # One window over all of them misses none.
  rows, mask = lineage_tokens.nearby(means[:30], live[:30], 8, window=30)
  exact, _ = lineage_tokens.nearest(means[:30][live[:30]], 8)
  np.testing.assert_array_equal(
    np.asarray(rows)[live[:30]], np.flatnonzero(live[:30])[exact]
  )
  with pytest.raises(ValueError, match=r'num must be 1 to 4.*: 5'):
    lineage_tokens.nearby(means, live, 5, window=2)


def test_morton_codes_interleave_their_axes_and_put_the_dead_last():
  corners = np.array(
    [[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], 'float32'
  )
  codes = lineage_tokens.morton_codes(corners, jnp.ones(8, bool))
  np.testing.assert_array_equal(np.argsort(codes), np.arange(8))
  live = jnp.arange(8) > 0
  assert int(jnp.argmax(lineage_tokens.morton_codes(corners, live))) == 0


def test_bands_of_degree_1_turn_as_whole_harmonics_do():
  coefficients = some(3, degree=1).sh.at[:, 0].set(0.0)
  rotation = geometry.quat_to_rotation(TURN)
  np.testing.assert_allclose(
    sh.rotate_linear(coefficients[:, 1:], rotation),
    sh.rotate(coefficients, rotation)[:, 1:],
    atol=1e-5,
  )
