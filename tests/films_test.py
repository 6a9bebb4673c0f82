"""Films of known motion: where a point goes, and what flickers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import field_audits, films

SIZE = 40


def _still():
  rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
  waves = [np.sin(rows / 3), np.cos(columns / 4), np.sin((rows + columns) / 5)]
  return (0.5 + 0.3 * np.stack(waves, axis=-1)).astype(np.float32)


def _motion(word, num_frames=3, speed=1.5):
  return films.motion(
    word, num_frames=num_frames, speed=speed, height=SIZE, width=SIZE
  )


@pytest.mark.parametrize('word', films.MOTIONS)
def test_a_border_s_middle_moves_at_the_speed(word):
  right = np.array([SIZE, SIZE / 2, 1])
  first, second, third = (_motion(word) @ right)[:, :2]
  np.testing.assert_allclose(first, right[:2])
  assert np.hypot(*(second - first)) == pytest.approx(1.5, rel=1e-3)
  assert np.hypot(*(third - first)) == pytest.approx(3, rel=1e-2)
  towards = {'pan': (1.2, 0.9), 'zoom': (-1.5, 0), 'turn': (0, 1.5)}[word]
  np.testing.assert_allclose(second - first, towards, atol=0.06)


def test_a_pan_by_whole_pixels_shifts_rows_and_columns():
  still, matrices = _still(), _motion('pan', speed=5)  # (4, 3) px a frame
  stills = jnp.broadcast_to(still, (3, *still.shape))
  frames = films.look(stills, jnp.asarray(matrices), SIZE, SIZE)
  np.testing.assert_allclose(frames[1, :-3, :-4], still[3:, 4:], atol=1e-5)


@pytest.mark.parametrize('word', films.MOTIONS)
def test_a_true_film_hardly_flickers_and_a_noisy_one_does(word):
  still, matrices = _still(), _motion(word, num_frames=4, speed=0.7)
  stills = jnp.broadcast_to(still, (4, *still.shape))
  truth = films.look(stills, jnp.asarray(matrices), SIZE, SIZE)
  noise = 0.04 * jax.random.normal(jax.random.key(0), truth.shape)
  calm = field_audits.flicker(truth, truth, matrices, border=8)
  noisy = field_audits.flicker(truth + noise, truth, matrices, border=8)
  assert calm['psnr'] == calm['tpsnr'] == np.inf
  assert calm['temporal_std'] < 0.5 and calm['warp_error'] < 0.5
  assert noisy['psnr'] == pytest.approx(-20 * np.log10(0.04), abs=0.5)
  # aligning blurs some of the noise away
  assert 3 < noisy['temporal_std'] < 255 * 0.04
  assert noisy['warp_error'] > noisy['temporal_std']
  wrong = field_audits.flicker(truth, truth, matrices[::-1], border=8)
  assert wrong['temporal_std'] > 4 * calm['temporal_std']


def test_a_motion_that_nobody_knows_is_told():
  with pytest.raises(ValueError, match='unknown motion'):
    _motion('spin')
