"""Each score against its closed form, and against what it must not react to."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import children, density, geometry, render, split_scores
from sr3d_jax.types import Camera, Gaussians

N = 6
PLAIN = ('fisher_logdet', 'fisher_trace', 'exp_split', 'removal', 'opacity')


def some() -> Gaussians:
  keys = jax.random.split(jax.random.key(0), 4)
  return Gaussians(
    means=0.3 * jax.random.normal(keys[0], (N, 3)),
    log_scales=-1.5 + 0.5 * jax.random.normal(keys[1], (N, 3)),
    quats=jax.random.normal(keys[2], (N, 4)),
    opacity_logits=jax.random.normal(keys[3], (N,)),
    sh=jnp.zeros((N, 1, 3)),
  )


def some_curvature() -> SimpleNamespace:
  rng = np.random.default_rng(0)
  factor = rng.normal(size=(N, 11, 30))
  bend = rng.normal(size=(N, 11, 11))
  draw = jnp.asarray(rng.uniform(0.5, 2, (N, 6)), jnp.float32)
  return SimpleNamespace(
    gauss_newton=jnp.asarray(factor @ factor.swapaxes(1, 2), jnp.float32),
    residual=jnp.asarray(bend + bend.swapaxes(1, 2), jnp.float32),
    gradient=jnp.asarray(rng.normal(size=(N, 11)), jnp.float32),
    removal=draw[:, 0],
    color=draw[:, 1],
    blend=draw[:, 2],
    expected=draw[:, 3],
    num_views=jnp.full(N, 5),
    radii=jnp.sort(10 * draw[:, 4:], axis=-1),
  )


def axes(gaussians: Gaussians) -> np.ndarray:
  rotation = geometry.quat_to_rotation(gaussians.quats)
  return np.asarray(rotation * gaussians.scales[:, None], np.float64)


def stats(**keys) -> density.ScreenStats:
  base = {
    'gradient': jnp.arange(N) + 1.0,
    'absolute': 3 * (jnp.arange(N) + 1.0),
    'count': jnp.full(N, 2.0),
  }
  return density.ScreenStats(**{**base, **keys})


def everything(gaussians, curvature) -> dict[str, np.ndarray]:
  keys = {
    'key': jax.random.key(1),
    'stats': stats(),
    'edges': jnp.arange(N) + 2.0,
  }
  return {
    name: np.asarray(split_scores.score(name, curvature, gaussians, **keys))
    for name in split_scores.SCORES
  }


def test_every_score_is_a_number_at_least_0_for_each():
  for name, found in everything(some(), some_curvature()).items():
    assert found.shape == (N,), name
    assert (found >= 0).all() and np.isfinite(found).all(), name


def test_what_no_view_sees_scores_0():
  curvature = some_curvature()
  unseen = SimpleNamespace(
    **{name: value.at[2].set(0) for name, value in vars(curvature).items()}
  )
  for name, found in everything(some(), unseen).items():
    is_own = name in ('opacity', 'random', 'gradient', 'absgrad', 'edges')
    if not is_own and name != 'taming':
      assert found[2] == 0 < found[3] or found[3] == 0, name
    assert np.isfinite(found).all(), name


def test_the_log_determinant_is_of_positions_in_deviations_and_of_scales():
  gaussians, curvature = some(), some_curvature()
  block = np.asarray(curvature.gauss_newton, np.float64)[:, :6, :6]
  frame = np.tile(np.eye(6), (N, 1, 1))
  frame[:, :3, :3] = axes(gaussians)
  for is_raw, b in (
    (True, block),
    (False, frame.swapaxes(1, 2) @ block @ frame),
  ):
    ridge = 1e-6 * np.trace(b, axis1=1, axis2=2) / 6
    wanted = np.linalg.slogdet(b + ridge[:, None, None] * np.eye(6))[1]
    found = split_scores.fisher_logdet(curvature, gaussians, is_raw=is_raw)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-2)
    name = 'fisher_logdet_raw' if is_raw else 'fisher_logdet'
    found = split_scores.score(name, curvature, gaussians)
    np.testing.assert_allclose(found, np.exp(wanted / 6), rtol=1e-2)


def test_a_flat_direction_lowers_the_determinant_to_its_ridge():
  curvature = some_curvature()
  block = jnp.tile(jnp.diag(jnp.asarray([0.0] + [1.0] * 10)), (N, 1, 1))
  curvature.gauss_newton = block
  found = split_scores.fisher_logdet(curvature, some(), is_raw=True)
  ridge = 1e-6 * 5 / 6
  np.testing.assert_allclose(found, np.log(ridge), rtol=1e-3)


def test_the_trace_is_of_positions_in_deviations():
  gaussians, curvature = some(), some_curvature()
  w = axes(gaussians)
  wanted = np.einsum('nia,nij,nja->n', w, curvature.gauss_newton[:, :3, :3], w)
  found = split_scores.score('fisher_trace', curvature, gaussians)
  np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_fisherrf_is_the_whole_diagonal_in_units_of_the_scene():
  curvature = some_curvature()
  wanted = np.einsum('nii->n', np.asarray(curvature.gauss_newton))
  found = split_scores.score('fisherrf', curvature, some())
  np.testing.assert_allclose(found, np.maximum(wanted, 0), rtol=1e-5)


def known_bend(gaussians: Gaussians, values) -> tuple:
  """S with eigenvalues in the frame of deviations, and vectors there."""
  rng = np.random.default_rng(1)
  vectors = np.linalg.qr(rng.normal(size=(N, 3, 3)))[0]
  local = vectors @ (np.asarray(values)[:, None] * vectors.swapaxes(1, 2))
  rotation, scales = children.frames(gaussians)
  inverse = np.linalg.inv(np.asarray(rotation * scales[:, None], np.float64))
  block = np.zeros((N, 11, 11))
  block[:, :3, :3] = inverse.swapaxes(1, 2) @ local @ inverse
  return jnp.asarray(block, jnp.float32), vectors


def test_a_split_gains_by_the_most_negative_bend_and_along_it():
  gaussians, curvature = some(), some_curvature()
  curvature.residual, vectors = known_bend(gaussians, (0.5, -2.0, -0.3))
  found = split_scores.score('split_gain', curvature, gaussians)
  np.testing.assert_allclose(found, 0.5 * 0.25 * 2.0, rtol=1e-3)
  towards = split_scores.split_directions(curvature, gaussians)
  along = np.abs(np.sum(np.asarray(towards) * vectors[:, :, 1], axis=-1))
  np.testing.assert_allclose(along, 1.0, atol=1e-3)
  curvature.residual = -curvature.residual
  found = split_scores.split_gain(curvature, gaussians)
  np.testing.assert_allclose(found, 0.5 * 0.25 * 0.5, rtol=1e-3)
  curvature.residual, _ = known_bend(gaussians, (0.5, 2.0, 0.3))
  assert not split_scores.score('split_gain', curvature, gaussians).any()


def test_a_split_along_the_direction_lowers_the_quadratic_by_the_gain():
  """1/2 sum w d^T S d of the two children, in scene units."""
  gaussians, curvature = some(), some_curvature()
  curvature.residual, _ = known_bend(gaussians, (0.5, -2.0, -0.3))
  directions = split_scores.split_directions(curvature, gaussians)
  rotation, scales = children.frames(gaussians)
  step = jnp.einsum('nij,nj->ni', rotation, scales * 0.5 * directions)
  bend = curvature.residual[:, :3, :3]
  change = 0.5 * jnp.einsum('ni,nij,nj->n', step, bend, step)
  gain = split_scores.split_gain(curvature, gaussians)
  np.testing.assert_allclose(-change, gain, rtol=2e-3)


def test_the_expected_gain_is_a_deviation():
  curvature = some_curvature()
  found = split_scores.score('exp_split', curvature, some())
  np.testing.assert_allclose(found**2, curvature.expected, rtol=1e-5)
  sigma = jnp.arange(N) + 1.0
  scaled = split_scores.score('exp_split', curvature, some(), sigma=sigma)
  np.testing.assert_allclose(scaled, sigma * found, rtol=1e-5)


def test_moving_gains_what_newton_says_and_vetoes_a_split():
  gaussians, curvature = some(), some_curvature()
  gradient = np.asarray(curvature.gradient, np.float64)
  inverse = np.linalg.inv(np.asarray(curvature.gauss_newton, np.float64))
  wanted = 0.5 * np.einsum('ni,nij,nj->n', gradient, inverse, gradient)
  found = split_scores.score('newton', curvature, gaussians)
  # but for the ridge
  np.testing.assert_allclose(found, wanted, rtol=0.05)
  curvature.residual, _ = known_bend(gaussians, (0.5, -1e-3, 0.3))
  assert split_scores.moves_first(curvature, gaussians).all()
  curvature.residual, _ = known_bend(gaussians, (0.5, -1e3, 0.3))
  assert not split_scores.moves_first(curvature, gaussians).any()


def test_the_unit_of_the_scene_does_not_matter_but_to_raw_scores():
  """Positions ten times as large: G and S per squared unit fall by 100."""
  gaussians, curvature = some(), some_curvature()
  unit = jnp.ones(11).at[:3].set(0.1)
  scaled = SimpleNamespace(**vars(curvature))
  scaled.gauss_newton = unit[:, None] * curvature.gauss_newton * unit
  scaled.residual = unit[:, None] * curvature.residual * unit
  scaled.gradient = unit * curvature.gradient
  larger = dataclasses.replace(
    gaussians,
    means=10 * gaussians.means,
    log_scales=gaussians.log_scales + jnp.log(10.0),
  )
  before = everything(gaussians, curvature)
  after = everything(larger, scaled)
  raw = ('fisher_logdet_raw', 'fisherrf', 'steepgs')
  for name in before:
    if name in raw:
      assert not np.allclose(before[name], after[name], rtol=0.1), name
    else:
      np.testing.assert_allclose(
        after[name], before[name], rtol=3e-3, err_msg=name
      )


def test_only_labelled_scores_read_the_residual():
  gaussians, curvature = some(), some_curvature()
  before = everything(gaussians, curvature)
  blind = SimpleNamespace(**vars(curvature))
  blind.residual = jnp.zeros_like(curvature.residual)
  blind.gradient = jnp.zeros_like(curvature.gradient)
  after = everything(gaussians, blind)
  for name in before:
    if name in split_scores.LABELLED:
      assert before[name].any() and not after[name].any(), name
    else:
      np.testing.assert_array_equal(before[name], after[name])


def test_permuting_gaussians_permutes_their_scores():
  gaussians, curvature = some(), some_curvature()
  turn = np.array([3, 1, 5, 0, 2, 4])
  turned = SimpleNamespace(**{k: v[turn] for k, v in vars(curvature).items()})
  moved = jax.tree.map(lambda x: x[turn], gaussians)
  for name in (*PLAIN, 'split_gain', 'newton', 'footprint', 'steepgs'):
    np.testing.assert_allclose(
      split_scores.score(name, turned, moved),
      split_scores.score(name, curvature, gaussians)[turn],
      rtol=2e-4, atol=1e-6, err_msg=name,
    )  # fmt: skip


def test_screen_gradients_are_means_over_the_views_that_saw():
  curvature, unseen = (
    some_curvature(),
    stats(count=jnp.full(N, 2.0).at[1].set(0)),
  )
  found = split_scores.score('gradient', curvature, some(), stats=unseen)
  np.testing.assert_allclose(found, [0.5, 0, 1.5, 2, 2.5, 3])
  found = split_scores.score('absgrad', curvature, some(), stats=unseen)
  np.testing.assert_allclose(found, [1.5, 0, 4.5, 6, 7.5, 9])


def test_taming_weighs_each_term_by_its_median():
  gaussians, curvature = some(), some_curvature()
  gaussians = dataclasses.replace(
    gaussians,
    opacity_logits=jnp.zeros(N),
    log_scales=jnp.zeros((N, 3)),
  )
  curvature.blend = jnp.ones(N).at[0].set(3.0)
  even = stats(gradient=jnp.ones(N).at[1].set(0.0))
  found = split_scores.score('taming', curvature, gaussians, stats=even)
  np.testing.assert_allclose(found[2:], 100 + 50 + 25 + 25, rtol=1e-5)
  np.testing.assert_allclose(found[0], 300, rtol=1e-5)
  np.testing.assert_allclose(found[1], 175, rtol=1e-5)
  losses = jnp.ones(N)
  more = split_scores.score(
    'taming', curvature, gaussians, stats=even, losses=losses, edges=losses
  )
  np.testing.assert_allclose(more - found, 100, rtol=1e-4)


def test_footprints_rise_with_the_ratio_and_ask_for_three_views():
  curvature = some_curvature()
  curvature.radii = jnp.stack([jnp.ones(N), 1.0 + jnp.arange(N)], axis=1)
  curvature.num_views = jnp.full(N, 3).at[5].set(2)
  rising = np.asarray(split_scores.score('footprint', curvature, some()))
  assert (np.diff(rising[:5]) > 0).all() and rising[5] == 0
  falling = np.asarray(split_scores.score('undersampled', curvature, some()))
  np.testing.assert_allclose(falling[:5], 1 - rising[:5], atol=1e-6)


def test_random_scores_follow_the_key():
  found = [
    split_scores.score(
      'random', some_curvature(), some(), key=jax.random.key(k)
    )
    for k in (0, 0, 1)
  ]
  np.testing.assert_array_equal(found[0], found[1])
  assert not np.array_equal(found[0], found[2])


@pytest.mark.parametrize(
  'name, message',
  [
    ('hessian', 'score must be one of'),
    ('random', 'random needs key'),
    ('gradient', 'gradient needs stats'),
    ('edges', 'edges needs edges'),
  ],
)
def test_what_is_missing_is_named(name, message):
  with pytest.raises(ValueError, match=message):
    split_scores.score(name, some_curvature(), some())


def test_the_laplacian_sees_a_ridge_and_no_slope():
  ramp = jnp.broadcast_to(jnp.arange(6.0)[:, None], (5, 6, 3))
  found = split_scores.laplacian(ramp)
  np.testing.assert_array_equal(found[:, 1:-1], 0.0)
  dot = jnp.zeros((1, 5, 5, 3)).at[0, 2, 2].set(0.5)
  found = np.asarray(split_scores.laplacian(dot))[0]
  assert found[2, 2] == 2.0 and found[1, 2] == found[2, 1] == 0.5
  assert found.sum() == 4.0


def views() -> Camera:
  eyes = jnp.asarray([[0.0, 0, -3], [1.0, 0.5, -2.5]])
  return Camera(
    world_to_cam=geometry.look_at(
      eyes, jnp.zeros(3), jnp.asarray([0.0, -1.0, 0.0])
    ),
    focal=jnp.full((2, 2), 20.0),
    center=jnp.full((2, 2), 8.0),
    width=16,
    height=16,
  )


def test_pictures_are_summed_with_the_weights_of_compositing():
  """Colour by colour: a scene that is all black but one Gaussian."""
  gaussians, cameras = some(), views()
  pictures = jax.random.uniform(jax.random.key(3), (2, 16, 16))
  found = split_scores.blended(gaussians, cameras, pictures)
  # sh of which the colour is 0, and 1 for the one that is asked
  black = jnp.full((N, 1, 3), -0.5 / 0.28209479)
  for i in range(N):
    lit = dataclasses.replace(gaussians, sh=black.at[i].multiply(-1))
    images = render.render_views(lit, cameras)[..., 0]
    np.testing.assert_allclose(
      found[i], np.sum(images * pictures), rtol=1e-3, atol=1e-4
    )
  with pytest.raises(ValueError, match=r'\(2, 16, 16\)'):
    split_scores.blended(gaussians, cameras, pictures[0])


def test_the_rms_of_a_flat_picture_is_its_value():
  pictures = jnp.full((2, 16, 16), 0.3).at[1].set(-0.3)
  found = split_scores.pixel_rms(some(), views(), pictures)
  np.testing.assert_allclose(found, 0.3, rtol=1e-4)
