"""Flicker: nothing where the scene holds still, all of what is added."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import temporal, view_consistency, warp
from sr3d_jax.types import Camera

SIZE = 24
rng = np.random.default_rng(0)


def _smooth(size):
  """A picture that interpolation hardly changes."""
  rows, columns = np.mgrid[:size, :size] / size
  waves = [np.sin(7 * rows + i) * np.cos(5 * columns - i) for i in range(3)]
  return np.float32(0.5 + 0.3 * np.stack(waves, axis=-1))


def _moving_clip(num_frames):
  """A picture that moves to the left by two pixels a frame, and its flows."""
  wide = _smooth(SIZE + 2 * num_frames)[:SIZE]
  clip = np.stack([wide[:, 2 * t : 2 * t + SIZE] for t in range(num_frames)])
  flow = jnp.broadcast_to(jnp.array([-2.0, 0]), (num_frames - 1, SIZE, SIZE, 2))
  return jnp.asarray(clip), flow


def test_a_clip_that_follows_its_flow_does_not_flicker():
  clip, flow = _moving_clip(4)
  align = warp.follow(flow, -flow)
  errors = temporal.warping_errors(clip, align)
  assert errors.shape == (3,)
  np.testing.assert_allclose(errors, 0, atol=1e-10)
  # the other way round it moves by four pixels
  wrong = temporal.warping_errors(clip[::-1], align)
  assert temporal.warping_error(wrong) > 1e-3


def test_tlpips_adds_what_is_too_lively_to_what_is_too_still():
  def distance(a, b):
    return np.abs(a - b).mean()

  def clip(*levels):
    return np.broadcast_to(np.reshape(levels, (-1, 1, 1, 1)), (3, 2, 2, 3))

  # 0.3 and 0.1 beside 0.1 and 0.2
  found = temporal.tlpips(clip(0, 0.3, 0.2), clip(0.5, 0.6, 0.8), distance)
  assert found == pytest.approx(100 * (0.2 + 0.1) / 2)
  with pytest.raises(ValueError, match=r'one shape .*\(3, 2, 2, 3\) and \(2,'):
    temporal.tlpips(clip(0, 0, 0), clip(0, 0, 0)[:2], distance)


def test_only_what_both_frames_see_counts():
  clip, flow = _moving_clip(2)
  _, trusted = warp.follow(flow, -flow)(0, clip[1])
  # what came in from the right was not there before
  np.testing.assert_array_equal(trusted[:, :2], False)
  np.testing.assert_array_equal(trusted[:, 2:], True)


@pytest.mark.parametrize('axis', [0, 1])
def test_a_border_that_is_left_slowly_counts_for_nothing(axis):
  ramp = jnp.arange(SIZE) / (2 * SIZE)
  clip = jnp.stack([0.3 + ramp, 0.3 + ramp - 0.5 / (2 * SIZE)])
  clip = jnp.broadcast_to(clip[:, None, :, None], (2, SIZE + 4, SIZE, 3))
  flow = jnp.broadcast_to(jnp.array([0.5, 0]), (1, SIZE + 4, SIZE, 2))
  if axis:
    clip, flow = clip.swapaxes(1, 2), flow.swapaxes(1, 2)[..., ::-1]
  align = warp.follow(flow, -flow)
  np.testing.assert_allclose(temporal.warping_errors(clip, align), 0, atol=1e-9)
  assert align(0, clip[1])[1].sum() == (SIZE - 1) * (SIZE + 4)


def test_flicker_is_measured_in_the_square():
  clip, flow = _moving_clip(3)
  lit = clip + jnp.array([0.0, 0.1, 0.0])[:, None, None, None]
  errors = temporal.warping_errors(lit, warp.follow(flow, -flow))
  np.testing.assert_allclose(errors, 0.01, rtol=1e-4)
  assert temporal.frame_psnr(errors) == pytest.approx(20, abs=1e-3)
  assert temporal.warping_error(errors) == pytest.approx(0.01, rel=1e-4)
  paused = np.array([0.02, 0.0])
  assert temporal.frame_psnr(paused) == pytest.approx(20)
  truth = np.array([0.01, 0.03])
  assert temporal.referenced_error(errors, truth) == pytest.approx(0.01, 1e-3)


def test_a_pair_that_shares_nothing_is_left_out():
  clip, flow = _moving_clip(3)
  flow = flow.at[1].add(100.0)
  errors = temporal.warping_errors(clip, warp.follow(flow, -flow))
  assert np.isnan(errors).tolist() == [False, True]
  assert np.isfinite(temporal.warping_error(errors))


def test_flows_that_do_not_return_or_break_are_mistrusted():
  still = jnp.zeros((1, 8, 8, 2))
  assert warp.visible(still, still).all()
  assert not warp.visible(still, still + 1.0).any()
  broken = still.at[:, 4:].set(3.0)
  trusted = warp.visible(broken, -broken)
  assert not trusted[:, 3].any()  # the edge of what moves
  assert trusted[:, :3].all()


def _wall(x):
  """A camera at (x, 0, 0) before a wall at z = 4."""
  pose = jnp.eye(4).at[0, 3].set(-x)
  return Camera(
    world_to_cam=pose,
    focal=jnp.array([32.0, 32.0]),
    center=jnp.array([SIZE / 2, SIZE / 2]),
    width=SIZE,
    height=SIZE,
  )


def test_along_depth_a_painted_wall_holds_still():
  # a step of a quarter unit moves the wall by two pixels
  cameras = jax.tree.map(
    lambda *x: jnp.stack(x), *[_wall(t / 4) for t in range(3)]
  )
  clip, _ = _moving_clip(3)
  align = view_consistency.follow(jnp.full((3, SIZE, SIZE), 4.0), cameras)
  errors = temporal.warping_errors(clip, align)
  np.testing.assert_allclose(errors, 0, atol=1e-8)
  back = dataclasses.replace(cameras, world_to_cam=cameras.world_to_cam[::-1])
  align = view_consistency.follow(jnp.full((3, SIZE, SIZE), 4.0), back)
  assert temporal.warping_error(temporal.warping_errors(clip, align)) > 1e-3
  with pytest.raises(ValueError, match='3 cameras want as many surfaces'):
    view_consistency.follow(jnp.ones((2, SIZE, SIZE)), cameras)


def test_what_is_blurred_is_less_sharp():
  fine = jnp.asarray(rng.random((2, SIZE, SIZE, 3)), jnp.float32)
  blurred = 0.25 * (fine + fine[:, :, ::-1]) + 0.25
  assert (temporal.sharpness(blurred) < 0.5 * temporal.sharpness(fine)).all()
  ramp = jnp.broadcast_to(jnp.linspace(0, 1, SIZE)[:, None], (SIZE, SIZE, 3))
  assert temporal.sharpness(ramp) < 1e-9


def test_sharpness_is_the_laplacians_variance():
  luma = rng.random((6, 7))
  grey = np.repeat(luma[..., None], 3, axis=-1)
  kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
  values = [
    np.sum(kernel * luma[i : i + 3, j : j + 3])
    for i in range(4)
    for j in range(5)
  ]
  expected = np.var(values) * (219 / 255) ** 2  # of studio swing
  np.testing.assert_allclose(temporal.sharpness(grey), expected, rtol=1e-4)


def test_clips_too_short_or_of_another_length_are_refused():
  clip, flow = _moving_clip(2)
  with pytest.raises(ValueError, match='two frames at least, got'):
    temporal.warping_errors(clip[:1], warp.follow(flow, -flow))
  with pytest.raises(ValueError, match='must be as long, got'):
    temporal.referenced_error(np.zeros(3), np.zeros(2))
