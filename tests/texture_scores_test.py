"""Controls and differences of pictures that make detail up."""

import numpy as np

from sr3d_jax import image, texture_scores
from sr3d_jax.types import SRPrior

RNG = np.random.default_rng(0)
LR = RNG.random((10, 12, 3), np.float32)
HR = np.repeat(np.repeat(LR, 4, axis=0), 4, axis=1) * 0.5 + 0.25
SHAPE = HR.shape


def _mean_square(a, b):
  return np.mean((a - b) ** 2)


def _noisy(picture, rms):
  return (picture + rms * RNG.standard_normal(SHAPE)).astype(np.float32)


def test_grain_is_as_strong_as_the_picture_beside_it():
  plain, like = _noisy(HR, 0.02), _noisy(HR, 0.05)
  found = texture_scores.grain(plain, like, HR, seed=1)
  error, change = (found[name] for name in texture_scores.CONTROLS)
  np.testing.assert_allclose(
    _mean_square(error, HR), _mean_square(like, HR), rtol=0.05
  )
  np.testing.assert_allclose(
    _mean_square(change, plain), _mean_square(like, plain), rtol=0.05
  )


def test_no_grain_is_added_where_the_error_is_larger_already():
  plain, like = _noisy(HR, 0.05), _noisy(HR, 0.02)
  found = texture_scores.grain(plain, like, HR, seed=1)
  np.testing.assert_array_equal(
    found[texture_scores.CONTROLS[0]], np.clip(plain, 0, 1)
  )


def test_texture_is_what_shrinking_hides():
  texture = RNG.standard_normal(SHAPE).astype(np.float32)
  texture -= image.resize(image.resize(texture, 10, 12), 40, 48)
  fine = texture_scores.made_up(HR + 0.1 * texture, HR, LR)
  assert fine['share_coarse'] < 0.01
  flat = texture_scores.made_up(HR + 0.1, HR, LR)
  np.testing.assert_allclose(flat['share_coarse'], 1.0, rtol=1e-3)
  np.testing.assert_allclose(flat['rms'], 0.1, rtol=1e-3)


def test_means_leave_out_what_is_undefined():
  scores = [{'a': {'niqe': 4.0}}, {'a': {'niqe': np.nan}}]
  assert texture_scores.means(scores) == {'a': {'niqe': 4.0}}
  assert '| a | 4.00 |' in texture_scores.markdown({'a': {'niqe': 4.0}})


def test_crops_stay_inside():
  pictures = [HR, HR]
  for center in ((0.0, 0.0), (1.0, 1.0), (0.5, 0.5)):
    assert texture_scores.crops(pictures, center, 16).shape == (16, 32, 3)


def test_a_sample_takes_all_steps():
  prior = SRPrior(
    init=None,
    begin=lambda params, key, views: 0,
    step=lambda params, key, state, i: (state + 1, np.full((1, 2, 2, 3), i)),
    inject=None,
    num_steps=3,
    scale=2.0,
  )
  np.testing.assert_array_equal(
    texture_scores.sample(prior, {}, LR, 0), np.ones((2, 2, 3))
  )
