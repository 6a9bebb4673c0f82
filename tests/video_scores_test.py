"""Scores of clips: the truth is best, blur is dull, grids show all rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import image, video_scores


def _clip():
  """Noise that moves 2 px to the right from frame to frame, and its flow."""
  wide = jax.random.uniform(jax.random.key(0), (16, 24, 3))
  frames = jnp.stack([wide[:, 4 - 2 * t : 20 - 2 * t] for t in range(3)])
  flows = jnp.broadcast_to(jnp.array([2.0, 0.0]), (2, 16, 16, 2))
  return frames, flows, -flows


def test_the_truth_scores_best_and_blur_is_dull_but_steady():
  hr, flows, backs = _clip()
  true = video_scores.score(hr, hr, flows, backs)
  assert true['psnr'] > 60 and true['sharpness'] == pytest.approx(1)
  assert true['warping'] < 1e-10 and true['warping_gap'] == 0
  moved = video_scores.score(hr, hr, backs, flows)
  assert moved['warping'] > 0.1
  still = video_scores.score(hr[:1].repeat(3, 0), hr, flows, backs)
  assert still['warping_gap'] > 0.05
  blurred = video_scores.score(image.gaussian_blur(hr, 2.0), hr, flows, backs)
  assert blurred['sharpness'] < 0.1 and blurred['psnr'] < 20


def test_a_distance_is_told_and_how_it_changes_in_time():
  hr, flows, backs = _clip()

  def distance(a, b):
    return jnp.abs(a - b).mean((1, 2, 3))

  found = video_scores.score(0.5 * hr, hr, flows, backs, distance=distance)
  assert found['lpips'] == pytest.approx(0.5 * float(hr.mean()), rel=1e-4)
  steps = distance(hr[1:], hr[:-1])
  # half the contrast changes half as much
  assert found['tlpips'] == pytest.approx(50 * float(steps.mean()), rel=1e-4)


def test_neighbours_that_share_nothing_have_no_warping_error():
  hr, flows, backs = _clip()
  found = video_scores.score(hr, hr, 100 + flows, backs)
  assert set(found) == {'psnr', 'sharpness'}
  with pytest.raises(ValueError, match='of one size and two frames at least'):
    video_scores.score(hr[:1], hr[:1], flows, backs)


def test_a_grid_has_coarse_bicubic_fine_true_and_their_difference():
  lr = jnp.stack([jnp.full((2, 3, 3), 0.1 * t) for t in range(5)])
  hr = lr.repeat(4, 1).repeat(4, 2)
  found = np.asarray(video_scores.grid(lr, hr + 0.1, hr, num_frames=3))
  assert found.shape == (5 * 8, 3 * 12, 3)
  rows = found.reshape(5, 8, 3, 12, 3).mean((1, 3, 4))
  shown = 0.1 * np.array([0, 2, 4])
  for i, wanted in enumerate(
    (shown, shown, shown + 0.1, shown, 0 * shown + 0.1 * video_scores.GAIN)
  ):
    np.testing.assert_allclose(rows[i], wanted, atol=1e-5)
