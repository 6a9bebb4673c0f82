"""Ancestors follow density control; families keep their largest and moments."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sr3d_jax import density, lineage
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.types import Gaussians


def some(num: int, opacity: float = 0.6, seed: int = 0) -> Gaussians:
  keys = jax.random.split(jax.random.key(seed), 5)
  return Gaussians(
    means=jax.random.normal(keys[0], (num, 3)),
    log_scales=-2 + 0.5 * jax.random.normal(keys[1], (num, 3)),
    quats=jax.random.normal(keys[2], (num, 4)),
    opacity_logits=jnp.log(opacity / (1 - opacity))
    + jax.random.normal(keys[4], (num,)),
    sh=jax.random.normal(keys[3], (num, 4, 3)),
  )


def covariances(gaussians: Gaussians) -> np.ndarray:
  roots = np.asarray(lineage.factors(gaussians), float)
  return roots @ roots.mT


def free(gaussians: Gaussians, slots) -> Gaussians:
  logits = gaussians.opacity_logits.at[jnp.asarray(slots)].set(
    density.DEAD_LOGIT
  )
  return dataclasses.replace(gaussians, opacity_logits=logits)


def stats(gradient) -> density.ScreenStats:
  gradient = jnp.asarray(gradient, jnp.float32)
  return density.ScreenStats(
    gradient=gradient, absolute=gradient, count=jnp.ones_like(gradient)
  )


@pytest.mark.parametrize('control', ['mcmc', 'gof', 'none'])
def test_origins_follow_each_density_control(control):
  rep = representation.make(capacity=12, sh_degree=1, density_control=control,
                            filter3d=False, growth=3.0)  # fmt: skip
  # Each has its slot's number for a colour, which every rule copies.
  tagged = some(12).sh.at[:, 0, 0].set(jnp.arange(12.0))
  gaussians = free(
    dataclasses.replace(some(12), sh=tagged), [1, 4, 8, 9, 10, 11]
  )
  params = representation.GaussianParams(
    gaussians=gaussians, filter=jnp.zeros(12), target=jnp.asarray(6.0)
  )
  optimizer = density.with_origins(rep.optimizer(1.0, 10), 12)
  opt_state = optimizer.init(params)
  seen = stats([9, 0, 9, 9, 0, 9, 9, 9, 0, 0, 0, 0])
  for step in range(2):  # grandchildren, too
    params, opt_state = jax.jit(rep.refine)(
      jax.random.key(step), params, opt_state, seen, jnp.asarray(100), 1.0
    )
  slots = density.origins(opt_state)
  np.testing.assert_array_equal(slots, params.gaussians.sh[:, 0, 0])
  live = density.is_live(params.gaussians)
  assert int(jnp.sum(live)) == (6 if control == 'none' else 12)
  assert (not jnp.array_equal(slots, jnp.arange(12))) == (control != 'none')
  again = density.origins(density.restart_origins(opt_state))
  np.testing.assert_array_equal(again, jnp.arange(12))


def test_origins_leave_the_steps_of_an_optimiser_alone():
  params, gradient = some(4), some(4, seed=1)
  plain = optax.adam(1e-2)
  told = density.with_origins(plain, 4)
  expected, moments = plain.update(gradient, plain.init(params), params)
  found, state = told.update(
    gradient, told.init(params), params, key=jax.random.key(0)
  )
  for a, b in zip(jax.tree.leaves((expected, moments)),
                  jax.tree.leaves((found, state[0])), strict=True):  # fmt: skip
    np.testing.assert_array_equal(a, b)
  with pytest.raises(ValueError, match='0 records of origins, wanted one'):
    density.origins(moments)


def test_what_has_no_origins_is_gathered_as_before():
  moments = {'count': jnp.asarray(3), 'mu': some(3), 'rows': jnp.arange(3.0)}
  source, fresh = jnp.asarray([2, 1, 2]), jnp.asarray([True, False, False])
  found = density.gather_moments(moments, source, fresh)
  np.testing.assert_array_equal(found['rows'], moments['rows'])
  np.testing.assert_array_equal(found['mu'].means[2], moments['mu'].means[2])
  assert not found['mu'].means[0].any()


def test_grown_slots_are_free_and_the_others_stay():
  params = representation.GaussianParams(
    gaussians=some(5), filter=jnp.ones(5), target=jnp.asarray(5.0)
  )
  grown = density.grow(params, 5, 8)
  assert grown.filter.shape == (8,) and float(grown.target) == 5
  np.testing.assert_array_equal(
    density.is_live(grown.gaussians), jnp.arange(8) < 5
  )
  for a, b in zip(
    jax.tree.leaves(grown.gaussians), jax.tree.leaves(params.gaussians)
  ):
    np.testing.assert_array_equal(a[:5], b)
  assert jnp.isfinite(covariances(grown.gaussians)).all()
  with pytest.raises(ValueError, match='5 slots cannot grow to 4'):
    density.grow(params, 5, 4)


def test_covariances_turn_with_their_quaternions():
  half = np.sqrt(0.5)
  turned = Gaussians(
    means=jnp.zeros((1, 3)),
    log_scales=jnp.log(jnp.asarray([[1.0, 2.0, 3.0]])),
    quats=jnp.asarray([[half, 0, 0, half]]),  # x to y, y to -x
    opacity_logits=jnp.zeros(1),
    sh=jnp.zeros((1, 1, 3)),
  )
  np.testing.assert_allclose(
    covariances(turned)[0], np.diag([4.0, 1, 9]), atol=1e-5
  )


def test_compacted_rows_point_at_the_same_ancestors():
  ancestors = np.array([0, 3, 2, 3, 5, 4])
  live, before = np.array([1, 1, 0, 1, 1, 0]) > 0, np.array([1, 0, 1, 1]) > 0
  gaussians = some(6)
  kept, rows = lineage.compact(gaussians, ancestors, live, before)
  # Slots 0, 2, 3 lived before: rows 0, 1, 2. Slot 5 came later and was free.
  np.testing.assert_array_equal(rows, [0, 2, 2, lineage.NONE])
  np.testing.assert_array_equal(kept.means, gaussians.means[live])
  with_five = np.array([1, 0, 1, 1, 0, 0], bool)
  _, rows = lineage.compact(gaussians, ancestors, live, with_five)
  np.testing.assert_array_equal(rows, [0, 2, 2, lineage.NONE])
  _, rows = lineage.compact(gaussians, ancestors, live, None)
  np.testing.assert_array_equal(rows, [lineage.NONE] * 4)


def _history(*ancestors):
  return [
    lineage.Snapshot(
      gaussians=some(len(rows), seed=i),
      ancestors=np.asarray(rows, np.int32),
      scale=np.float32(0.5 ** (1 - i // 2)),
      phase=np.int32(i % 2),
      mass=lineage.footprint(some(len(rows), seed=i)),
    )
    for i, rows in enumerate(ancestors)
  ]


def test_paths_lead_back_through_every_snapshot():
  history = _history([-1, -1], [1, 0, -1], [2, 1, 0, 0])
  found = lineage.paths(history, 4)
  np.testing.assert_array_equal(
    found, [[0, 2, -1, -1], [1, 1, 0, -1], [2, 0, 1, -1], [3, 0, 1, -1]]
  )
  np.testing.assert_array_equal(lineage.paths(history, 2), found[:, :2])
  np.testing.assert_array_equal(
    lineage.compose(history[2].ancestors, history[1].ancestors), found[:, 2]
  )


def test_the_largest_found_a_family_and_others_join_the_nearest():
  ancestors = jnp.asarray([1, 1, 1, 1, 0, -1, 3])
  means = jnp.asarray([0.0, 10, 1, 9, 5, 5, 5])[:, None] * jnp.ones(3)
  mass = jnp.asarray([3.0, 2, 1, 1, 1, 9, 1])
  groups, counts = lineage.descendants(ancestors, 4, 2, means=means, mass=mass)
  np.testing.assert_array_equal(counts, [1, 4, 0, 1])
  np.testing.assert_array_equal(groups, [2, 3, 2, 3, 0, -1, 6])
  alone, _ = lineage.descendants(ancestors, 4, 1, means=means, mass=mass)
  np.testing.assert_array_equal(alone, [1, 1, 1, 1, 0, -1, 3])
  # The order in which children stand does not matter.
  turned, _ = lineage.descendants(
    ancestors[::-1], 4, 2, means=means[::-1], mass=mass[::-1]
  )
  np.testing.assert_array_equal(turned[::-1], groups)
  with pytest.raises(ValueError, match='a slot or more, got 0'):
    lineage.descendants(ancestors, 4, 0, means=means, mass=mass)


def test_a_child_alone_is_its_parents_target_and_none_has_opacity_0():
  children = some(3)
  ancestors = jnp.asarray([2, 0, 2])
  groups, counts = lineage.descendants(
    ancestors, 4, 2, means=children.means, mass=lineage.footprint(children)
  )
  found = lineage.targets(children, groups, counts, 2)
  np.testing.assert_array_equal(found.mask, [[1, 0], [0, 0], [1, 1], [0, 0]])
  np.testing.assert_array_equal(found.counts == 0, [0, 1, 0, 1])
  np.testing.assert_allclose(found.means[0, 0], children.means[1], rtol=1e-6)
  np.testing.assert_allclose(
    found.covariances[0, 0], covariances(children)[1], rtol=1e-5
  )
  np.testing.assert_allclose(found.opacities[0, 0], children.opacities[1])
  np.testing.assert_allclose(found.sh[0, 0], children.sh[1], rtol=1e-6)
  assert not found.opacities[~found.mask].any()
  shown = lineage.footprint(children)
  largest = int(jnp.where(shown[0] > shown[2], 0, 2))
  np.testing.assert_allclose(found.means[2, 0], children.means[largest])


def test_mergers_have_the_moments_of_samples_and_show_as_much():
  children = some(3, opacity=0.05)
  groups, counts = lineage.descendants(
    jnp.zeros(3, jnp.int32), 1, 1, means=children.means, mass=jnp.ones(3)
  )
  found = lineage.targets(children, groups, counts, 1)
  shown = np.asarray(lineage.footprint(children))
  rng = np.random.default_rng(0)
  num = np.round(200_000 * shown / shown.sum()).astype(int)
  samples = np.concatenate([
    rng.multivariate_normal(mean, cov, n)
    for mean, cov, n in zip(
      np.asarray(children.means, float),
      np.asarray(covariances(children), float),
      num,
    )
  ])  # fmt: skip
  np.testing.assert_allclose(found.means[0, 0], samples.mean(0), atol=0.02)
  np.testing.assert_allclose(
    found.covariances[0, 0], np.cov(samples.T), atol=0.03
  )
  area = np.linalg.det(np.asarray(found.covariances[0, 0], float)) ** (1 / 3)
  np.testing.assert_allclose(
    found.opacities[0, 0] * area, shown.sum(), rtol=1e-4
  )


def test_a_history_survives_its_record():
  history = _history([-1, -1], [1, 0, -1])
  arrays = lineage.to_arrays(history)
  found = lineage.from_arrays(arrays | {'images': np.zeros(3)})
  for a, b in zip(
    jax.tree.leaves(history), jax.tree.leaves(found), strict=True
  ):
    np.testing.assert_array_equal(a, b)
  with pytest.raises(ValueError, match=r'no history, only ..images'):
    lineage.from_arrays({'images': np.zeros(3)})
