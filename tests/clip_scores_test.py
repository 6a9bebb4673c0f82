"""The stages of a film are measured alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import clip_scores
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural
from sr3d_jax.types import SRPrior, one_shot


def _films(num=4, size=(12, 16)):
  rng = np.random.default_rng(0)
  still = rng.uniform(0.2, 0.8, (1, *size, 3)).astype(np.float32)
  truth = np.repeat(still, num, 0)
  flicker = np.float32([0, 0.1, 0, 0.1])[:, None, None, None]
  return {
    'coarse': np.broadcast_to(truth.mean((1, 2), keepdims=True), truth.shape),
    'enlarged': truth + flicker,
    'lifted': truth + 0.05,
    'truth': truth,
  }


def _stay(t, pictures):
  del t
  return pictures, jnp.ones(pictures.shape[:2], bool)


def test_what_flickers_has_a_warping_error_and_what_is_still_has_none():
  scores = clip_scores.measure(_films(), _stay)
  assert scores['enlarged']['warping'] == pytest.approx(0.01, rel=1e-4)
  assert scores['enlarged']['frame_psnr'] == pytest.approx(20, abs=1e-3)
  for stage in ('coarse', 'lifted', 'truth'):
    assert scores[stage]['warping_gap'] == pytest.approx(0, abs=1e-9)


def test_sharpness_is_relative_and_errors_are_beside_truth_and_lifted():
  scores = clip_scores.measure(_films(), _stay)
  assert scores['truth']['sharpness'] == pytest.approx(1)
  assert scores['lifted']['sharpness'] == pytest.approx(1, rel=1e-4)
  assert scores['coarse']['sharpness'] == pytest.approx(0, abs=1e-6)
  assert scores['lifted']['psnr'] == pytest.approx(26.02, abs=0.01)
  assert scores['enlarged']['residual'] == pytest.approx(26.02, abs=0.01)
  assert 'psnr' not in scores['truth'] and 'residual' not in scores['lifted']


def test_stages_are_films_of_the_true_ones_cameras():
  scene = procedural.make(**procedural.TINY, num_points=64)
  rep = representation.make(**representation.TINY)
  drawn = rep.gaussians(rep.init(jax.random.key(0), scene))
  double = one_shot(
    lambda key: None,
    lambda params, images: 0.5 * jnp.repeat(jnp.repeat(images, 2, 1), 2, 2),
    2.0,
  )
  films = clip_scores.stages(
    jax.random.key(1), double, None, drawn, drawn, scene.train, {'blur': 0.1}
  )
  assert tuple(films) == clip_scores.STAGES
  assert {x.shape for x in films.values()} == {scene.train.images.shape}
  np.testing.assert_allclose(
    films['enlarged'].mean(), 0.5 * films['coarse'].mean(), rtol=0.05
  )
  align = clip_scores.depth_alignment(drawn, scene.train, {'blur': 0.1})
  warped, visible = align(0, films['lifted'][1])
  assert warped.shape == films['lifted'].shape[1:] and visible.any()


def test_priors_of_many_steps_have_no_film():
  many = SRPrior(None, None, None, None, 4, 2.0)
  with pytest.raises(ValueError, match='this one has 4: leave clips out'):
    clip_scores.stages(None, many, None, None, None, None, {})
