"""Plain Gaussians: what a refinement may take away, and when."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sr3d_jax import density, sh
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural

RESET_EVERY = 100
EXTENT = 2.0


@pytest.fixture(scope='module')
def params():
  """Forty small Gaussians, the first as large as the scene."""
  scene = procedural.make(**procedural.TINY, num_points=40)
  rep = representation.make(**representation.TINY)
  params = rep.init(jax.random.key(0), scene)
  log_scales = jnp.full((len(params.filter), 3), np.log(0.05 * EXTENT))
  log_scales = log_scales.at[0].set(np.log(EXTENT))
  gaussians = dataclasses.replace(params.gaussians, log_scales=log_scales)
  return dataclasses.replace(params, gaussians=gaussians)


def test_a_scene_without_points_is_told_where_to_find_them():
  scene = procedural.make(**procedural.TINY, num_points=40)
  none = np.zeros((0, 3), np.float32)
  scene = dataclasses.replace(scene, points=none, colors=none)
  rep = representation.make(**representation.TINY)
  with pytest.raises(ValueError, match=r'capture\.find_points'):
    rep.init(jax.random.key(0), scene)


def _refined(params, step, stats=None, control='classic', **options):
  rep = representation.make(
    **representation.TINY, density_control=control, **options
  )
  opt_state = rep.optimizer(EXTENT, 1000).init(params)
  stats = stats or density.empty_stats(len(params.filter))
  refined, _ = rep.refine(
    jax.random.key(1), params, opt_state, stats, jnp.asarray(step), EXTENT
  )
  return refined.gaussians


@pytest.mark.parametrize(
  'step, reset_every, is_kept',
  [
    (RESET_EVERY, RESET_EVERY, True),
    (RESET_EVERY + 1, RESET_EVERY, False),
    (RESET_EVERY + 1, 0, True),
  ],
)
def test_classic_control_keeps_the_huge_until_opacities_were_reset(
  params, step, reset_every, is_kept
):
  gaussians = _refined(params, step, reset_every=reset_every)
  is_live = density.is_live(gaussians)
  assert bool(is_live[0]) == is_kept
  assert is_live[1:40].all()


@pytest.mark.parametrize('step', [100, 3000, 6000])
def test_gof_control_neither_dims_nor_takes_the_huge(params, step):
  gaussians = _refined(params, step, control='gof')
  live = density.is_live(gaussians)
  assert live[:40].all() and not live[40:].any()
  np.testing.assert_allclose(gaussians.opacities[live], 0.5, rtol=1e-5)


def test_gof_control_asks_for_absolute_gradients_and_grows_by_them(params):
  num = len(params.filter)
  gradient = jnp.zeros(num).at[3].set(1.0)
  absolute = jnp.zeros(num).at[7].set(1.0)
  stats = density.ScreenStats(
    gradient=gradient, absolute=absolute, count=jnp.ones(num)
  )
  for control, born in (('classic', 1), ('gof', 2)):
    gaussians = _refined(params, 100, stats, control)
    assert int(jnp.sum(density.is_live(gaussians))) == 40 + born
    rep = representation.make(**representation.TINY, density_control=control)
    assert rep.sums_absolute == (control == 'gof')
    assert not rep.is_penalised


def test_classic_control_dims_all_at_a_reset_and_else_none(params):
  dimmed = _refined(params, 2 * RESET_EVERY, reset_every=RESET_EVERY)
  live = density.is_live(dimmed)
  assert jnp.max(dimmed.opacities[live]) <= density.RESET_OPACITY + 1e-6
  kept = _refined(params, 2 * RESET_EVERY + 50, reset_every=RESET_EVERY)
  live = density.is_live(kept)
  np.testing.assert_allclose(kept.opacities[live], 0.5, rtol=1e-5)


def test_classic_control_dims_at_the_steps_that_are_named(params):
  for step, is_dimmed in ((500, True), (600, False)):
    refined = _refined(params, step, reset_every=0, reset_at=(500,))
    brightest = jnp.max(refined.opacities[density.is_live(refined)])
    assert (brightest <= density.RESET_OPACITY + 1e-6) == is_dimmed


def test_released_colours_stay_in_range_and_begin_with_more_contrast():
  scene = procedural.make(**procedural.TINY, num_points=4)
  shades = np.array([[0.25], [0.75], [0.5], [1.0]], np.float32)
  scene = dataclasses.replace(scene, colors=np.tile(shades, 3))
  rep = representation.make(capacity=4, sh_degree=1, colors_in_range=True)
  params = rep.init(jax.random.key(0), scene)
  drawn = rep.gaussians(params)
  colors = 0.5 + sh.C0 * drawn.sh[:, 0]
  # As the released code has it: 0.25 is shown as 0.145, 0.75 as 0.855.
  np.testing.assert_allclose(colors[:3, 0], [0.145, 0.855, 0.5], atol=1e-3)
  louder = dataclasses.replace(
    params,
    gaussians=dataclasses.replace(
      params.gaussians, sh=100 * params.gaussians.sh
    ),
  )
  colors = 0.5 + sh.C0 * rep.gaussians(louder).sh[:, 0]
  assert jnp.all((colors >= -1e-6) & (colors <= 1 + 1e-6))


def test_centres_of_rate_zero_stay_and_the_rest_learns(params):
  rates = {'position': (0.0, 0.0)}
  rep = representation.make(**representation.TINY, rates=rates)
  optimizer = rep.optimizer(EXTENT, 1000)
  updates, _ = optimizer.update(
    jax.tree.map(jnp.ones_like, params),
    optimizer.init(params),
    params,
    key=jax.random.key(0),
  )
  moved = optax.apply_updates(params, updates).gaussians
  # A centre at exactly 0 may leave it by what is no longer a normal number.
  np.testing.assert_allclose(moved.means, params.gaussians.means, atol=1e-30)
  assert (moved.log_scales != params.gaussians.log_scales).all()
