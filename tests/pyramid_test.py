"""Pyramids average photos and hand every Gaussian on to the next level."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import density, lineage, pyramid
from sr3d_jax.fit import fit_state
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural

STEPS = dict(num_steps=6, num_first=6, num_before=2)
OPTIONS = dict(chunk=1, refine_start=3, refine_stop=5)


@pytest.fixture(scope='module')
def scene():
  return procedural.make(**procedural.TINY, num_points=16)


def make_rep(capacity, control='mcmc'):
  # Positions and colours stay, so that colours tell who descends from whom.
  rates = dict(position=(0.0, 0.0), color=0.0)
  return representation.make(
    capacity=capacity, sh_degree=0, density_control=control, growth=1.5,
    noise=0.0, rates=rates,
  )  # fmt: skip


@pytest.fixture(scope='module')
def history(scene):
  return pyramid.fit_levels(
    jax.random.key(0), make_rep, scene, fit_state, num_levels=2, capacity=64,
    **STEPS, **OPTIONS,
  )  # fmt: skip


def test_levels_average_whole_pixels_and_keep_the_view(scene):
  small = pyramid.shrink(scene.train, 4)
  blocks = np.asarray(scene.train.images).reshape(5, 6, 4, 8, 4, 3)
  np.testing.assert_allclose(small.images, blocks.mean((2, 4)), atol=1e-5)
  assert (small.cameras.width, small.cameras.height) == (8, 6)
  np.testing.assert_allclose(small.cameras.focal, scene.train.cameras.focal / 4)
  np.testing.assert_allclose(
    small.cameras.center, scene.train.cameras.center / 4
  )
  assert pyramid.shrink(scene.train, 1) is scene.train
  with pytest.raises(ValueError, match='32 x 24 px cannot be averaged by 32'):
    pyramid.shrink(scene.train, 32)


def test_what_is_left_over_of_a_photo_is_cut(scene):
  images = np.asarray(scene.train.images)
  weights = np.arange(5 * 24 * 32, dtype=np.float32).reshape(5, 24, 32)
  views = dataclasses.replace(scene.train, weights=weights)
  small = pyramid.shrink(views, 5)
  assert (small.cameras.width, small.cameras.height) == (6, 4)
  blocks = images[:, :20, :30].reshape(5, 4, 5, 6, 5, 3)
  np.testing.assert_allclose(small.images, blocks.mean((2, 4)), atol=1e-5)
  parts = weights[:, :20, :30].reshape(5, 4, 5, 6, 5)
  np.testing.assert_allclose(small.weights, parts.mean((2, 4)), rtol=1e-5)
  np.testing.assert_allclose(small.cameras.focal, scene.train.cameras.focal / 5)
  np.testing.assert_allclose(
    small.cameras.center, scene.train.cameras.center / 5
  )


def test_a_scene_keeps_its_own_history_in_a_file(scene, tmp_path):
  sections = []

  def build(section):
    sections.append(section)
    return make_rep(section['capacity'])

  remember = functools.partial(
    pyramid.remembered, tmp_path / 'history.array_record', jax.random.key(0),
    build, {'capacity': 64}, scene,
    levels={'num_levels': 2, **STEPS}, fitting={'num_steps': 99, **OPTIONS},
  )  # fmt: skip
  made = remember(fit_state)
  assert sections == [{'capacity': 16}, {'capacity': 64}]
  again = remember(None)  # is read, not made
  assert len(again) == len(made) == 4
  jax.tree.map(np.testing.assert_array_equal, made, again)


def test_levels_grow_by_four_at_most():
  assert pyramid.capacities(64, 3) == [4, 16, 64]
  assert pyramid.capacities(2, 2) == [1, 2]


def test_a_history_has_two_snapshots_a_level_that_only_grow_between(history):
  found = [(float(s.scale), int(s.phase)) for s in history]
  assert found == [(0.5, 0), (0.5, 1), (1.0, 0), (1.0, 1)]
  nums = [len(s.ancestors) for s in history]
  assert nums[0] == 16 and nums[1] == nums[2] and nums[2] < nums[3] <= 64
  assert (history[0].ancestors == lineage.NONE).all()
  np.testing.assert_array_equal(history[2].ancestors, np.arange(nums[2]))


def test_each_gaussian_has_the_place_and_colour_of_its_ancestor(history):
  trail = lineage.paths(history, 4)
  assert (trail != lineage.NONE).all()
  newest = history[-1].gaussians
  for t, snapshot in enumerate(reversed(history)):
    for name in ('means', 'sh'):
      np.testing.assert_allclose(
        getattr(snapshot.gaussians, name)[trail[:, t]],
        getattr(newest, name),
        atol=1e-6,
      )
  assert len(np.unique(history[3].ancestors)) < len(history[3].ancestors)
  assert len(np.unique(newest.sh[:, 0], axis=0)) == 16


def test_telling_origins_changes_no_bit_of_a_fit(scene):
  rep = make_rep(24)
  params = rep.init(jax.random.key(0), scene)
  plain, told = (
    fit_state(
      jax.random.key(1), each, params, scene.train, num_steps=6, **OPTIONS
    )
    for each in (rep, pyramid.traced(rep))
  )
  for a, b in zip(
    jax.tree.leaves(plain.params), jax.tree.leaves(told.params), strict=True
  ):
    np.testing.assert_array_equal(a, b)
  slots = np.asarray(density.origins(told.opt_state))
  assert (slots[:16] == np.arange(16)).all() and (slots[16:20] < 16).any()


def test_steps_before_growth_must_fit_into_a_level(scene):
  with pytest.raises(ValueError, match=r'between 0 and the steps.* 6, got 6'):
    pyramid.fit_levels(
      jax.random.key(0), make_rep, scene, fit_state, num_levels=1, capacity=9,
      num_steps=9, num_first=6, num_before=6,
    )  # fmt: skip


def test_a_record_holds_pixels_photos_and_features(scene, history):
  seen = []

  def features(snapshot, views):
    seen.append(views.cameras.width)
    return jnp.ones((len(snapshot.ancestors), 14))

  arrays = pyramid.record(history, scene.train, features)
  assert seen == [16, 16, 32, 32]
  assert arrays['images'].shape == (5, 24, 32, 3)
  assert arrays['3/hessian'].shape == (len(history[3].ancestors), 14)
  # A pixel covers depth over focal length at the nearest camera.
  cameras = scene.train.cameras
  means = np.asarray(history[0].gaussians.means)
  depths = np.einsum('vij,nj->vni', cameras.world_to_cam[:, :3, :3], means)
  depths = (depths + cameras.world_to_cam[:, None, :3, 3])[..., 2]
  nearest = depths.min(axis=0) / cameras.focal[0, 0]
  ratio = arrays['0/pixel_size'] / nearest
  assert np.median(ratio) == pytest.approx(1, rel=0.02)
  assert (ratio > 0.999).all()  # the nearest may not see it
  again = lineage.from_arrays(arrays)
  assert dataclasses.asdict(again[3]).keys() == {
    'gaussians', 'ancestors', 'scale', 'phase', 'mass',
  }  # fmt: skip
