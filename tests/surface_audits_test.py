"""Discs on a known surface, and the same ones off it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import coverage, surface_audits
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural

KEYS = {**procedural.TINY, 'width': 48, 'height': 36, 'num_points': 6000}


@pytest.fixture(scope='module')
def desk():
  scene = procedural.make(**KEYS)
  cameras = scene.test.cameras
  return cameras, procedural.surface(**KEYS)(cameras)


@pytest.fixture(scope='module')
def discs(desk):
  """A small Gaussian at each point that the cameras see."""
  cameras, depths = desk
  points = coverage.surface_points(
    np.where(np.isfinite(depths), depths, 0), cameras
  )
  rep = representation.make(capacity=len(points), sh_degree=0)
  scene = dataclasses.replace(
    procedural.make(**procedural.TINY), points=points,
    colors=np.full(points.shape, 0.5, np.float32),
  )  # fmt: skip
  made = rep.gaussians(rep.init(jax.random.key(0), scene))
  return dataclasses.replace(
    made,
    log_scales=jnp.full((len(points), 3), np.log(0.02)),
    opacity_logits=jnp.full(len(points), 4.0),
  )


def test_what_lies_on_the_surface_scores_better_than_what_is_off_it(
  desk, discs
):
  cameras, depths = desk
  found = surface_audits.measure(discs, cameras, depths, {})
  assert found['coverage'] > 0.9 and found['delta'] > 0.97
  assert found['abs_rel'] < 0.03 and found['center_mean'] < 3e-3
  assert found['flat'] == 0 and found['cosine'] > 0.9
  # All come nearer along the view of the first camera.
  pose = np.asarray(cameras.world_to_cam)[0]
  eye = -pose[:3, :3].T @ pose[:3, 3]
  near = dataclasses.replace(discs, means=0.9 * discs.means + 0.1 * eye)
  off = surface_audits.measure(near, cameras, depths, {})
  assert off['abs_rel'] > 4 * found['abs_rel']
  assert off['chamfer'] > 2 * found['chamfer']
  assert off['center_mean'] > 0.02 and off['f@0.5'] < found['f@0.5']


def test_holes_are_told_and_do_not_flatter(desk, discs):
  cameras, depths = desk
  logits = jnp.where(discs.means[:, 2] > 0.3, -20.0, discs.opacity_logits)
  few = dataclasses.replace(discs, opacity_logits=logits)
  whole = surface_audits.measure(discs, cameras, depths, {})
  found = surface_audits.measure(few, cameras, depths, {})
  assert found['coverage'] < whole['coverage'] - 0.05
  assert found['completeness'] > 2 * whole['completeness']


def test_a_desk_whose_things_turn_has_no_one_surface():
  with pytest.raises(ValueError, match='leave turn at 0'):
    procedural.surface(turn=10.0)
