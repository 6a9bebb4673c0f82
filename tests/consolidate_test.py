"""The loop between images and 3D: what a fit is given of each stage."""

import functools

import jax
import numpy as np
import pytest

from sr3d_jax.consolidate import consolidate
from sr3d_jax.types import Camera, Representation, SRPrior, Views

HEIGHT, WIDTH = 4, 6


def _views(weights):
  camera = Camera(
    world_to_cam=np.tile(np.eye(4, dtype=np.float32), (2, 1, 1)),
    focal=np.full((2, 2), 6, np.float32),
    center=np.tile(np.float32([WIDTH / 2, HEIGHT / 2]), (2, 1)),
    width=WIDTH,
    height=HEIGHT,
  )
  images = np.full((2, HEIGHT, WIDTH, 3), 0.5, np.float32)
  return Views(images=images, cameras=camera, weights=weights)


def _prior(scale, num_steps=1):
  """Answers grey; its state is what it was told."""
  size = round(HEIGHT * scale), round(WIDTH * scale), 3
  return SRPrior(
    init=lambda key: {},
    begin=lambda params, key, views: (),
    step=lambda params, key, state, i: (state, np.full((2, *size), 0.5)),
    inject=lambda params, state, images: (*state, images),
    num_steps=num_steps,
    scale=scale,
  )


def _finer_views(views, prior, params=None, **options):
  """What each stage asks a fit to explain."""
  seen = []
  rep = Representation(*[None] * len(Representation._fields))._replace(
    gaussians=lambda params: params
  )

  def fit(key, rep, params, finer, *, anchor, stage):
    assert anchor is views and stage == len(seen)
    seen.append(finer)
    return params and {'fits': params['fits'] + 1}

  def draw(gaussians, cameras):
    fits = gaussians['fits'] if gaussians else 0
    return np.full((2, cameras.height, cameras.width, 3), fits)

  consolidate(
    jax.random.key(0), prior, {}, rep, params or {}, views,
    fit=fit, draw=draw, **options,
  )  # fmt: skip
  return seen


def test_a_finer_pixel_is_trusted_as_the_coarse_one_it_lies_in():
  weights = np.random.default_rng(0).random((2, HEIGHT, WIDTH))
  weights = weights.astype(np.float32).round()
  expected = np.kron(weights, np.ones((1, 3, 3)))
  stages = _finer_views(_views(weights), _prior(3.0, num_steps=2))
  assert len(stages) == 2
  for finer in stages:
    assert finer.images.shape == (2, 12, 18, 3)
    np.testing.assert_allclose(finer.weights, expected, atol=1e-6)


@pytest.mark.parametrize('scale', [1.0, 1.5, 4.0])
def test_trust_has_the_finer_views_size_and_share(scale):
  weights = np.zeros((2, HEIGHT, WIDTH), np.float32)
  weights[:, :2] = 1
  (finer,) = _finer_views(_views(weights), _prior(scale))
  assert finer.weights.shape == finer.images.shape[:-1]
  np.testing.assert_allclose(np.mean(finer.weights), 0.5, rtol=1e-5)


def test_views_without_weights_stay_without():
  (finer,) = _finer_views(_views(None), _prior(2.0))
  assert finer.weights is None


def test_a_step_that_is_not_fitted_is_not_told_either():
  views = _views(None)
  seen, told = [], []
  prior = _prior(2, num_steps=4)._replace(
    inject=lambda params, state, images: told.append(1) or state
  )
  rep = Representation(*[None] * len(Representation._fields))._replace(
    gaussians=lambda params: params
  )

  def fit(key, rep, params, finer, *, anchor, stage):
    seen.append(stage)
    return params

  def draw(gaussians, cameras):
    return np.zeros((2, cameras.height, cameras.width, 3))

  options = {'fit': fit, 'draw': draw}
  run = functools.partial(
    consolidate, jax.random.key(0), prior, {}, rep, {}, views, **options
  )
  run(is_fitted=(False, True, False, True))
  assert seen == [1, 3] and len(told) == 1
  with pytest.raises(ValueError, match='4 steps of the prior'):
    run(is_fitted=(True, True))
  with pytest.raises(ValueError, match='end with the fit'):
    run(is_fitted=(True, True, True, False))


@pytest.mark.parametrize('own', [None, 0.5])
def test_a_rule_of_trust_sees_the_scene_before_each_fit(own):
  weights = own and np.full((2, HEIGHT, WIDTH), own, np.float32)

  def rule(gaussians, cameras, images, renders):
    assert images.shape == renders.shape == (2, 8, 12, 3)
    assert cameras.width == 12
    np.testing.assert_array_equal(renders, gaussians['fits'])
    return np.full((2, 8, 12), 1.0 + gaussians['fits'])

  views, prior = _views(weights), _prior(2.0, num_steps=3)
  stages = _finer_views(views, prior, {'fits': 0}, trust=rule)
  for i, finer in enumerate(stages):
    np.testing.assert_allclose(finer.weights, (i + 1) * (own or 1.0))


def test_a_prior_whose_noise_is_the_scenes_is_coupled_to_it():
  heard = []

  def couple(key, state, gaussians, cameras):
    heard.append((gaussians['fits'], cameras.width, cameras.height))
    return state

  prior = _prior(2.0, num_steps=2)._replace(couple=couple)
  _finer_views(_views(None), prior, {'fits': 0})
  assert heard == [(0, 12, 8)]
