"""Scenes that were split and fitted on: who is fitted to what."""

import jax
import numpy as np
import pytest

from sr3d_jax import settling
from sr3d_jax.batches import growths
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural
from sr3d_jax.types import TrainState


def _make_rep(capacity):
  return representation.make(
    capacity=capacity, sh_degree=0, density_control='none'
  )


@pytest.fixture
def scene():
  return procedural.make(**procedural.TINY, num_points=8)


def test_children_are_fitted_to_coarse_photos_through_finer_views(scene):
  asked = {}

  def fit(key, rep, params, views, **options):
    asked.update(options, views=views, first=rep.gaussians(params))
    return TrainState(step=0, params=params, opt_state=())

  rep = _make_rep(8)
  params = rep.refresh(rep.init(jax.random.key(0), scene), scene.train.cameras)
  coarse = rep.gaussians(params)
  found = settling.settle(
    jax.random.key(1), _make_rep, coarse, scene.train, fit, scale=2.0,
    num_steps=7, chunk=3,
  )  # fmt: skip
  assert len(found.means) == 32
  views = asked.pop('views')
  assert views.cameras.width == 2 * scene.train.cameras.width
  assert views.images.shape[1:3] == (views.cameras.height, views.cameras.width)
  assert not np.any(views.weights)  # nobody says what finer views show
  assert asked['anchor'] is scene.train
  assert (asked['num_steps'], asked['chunk']) == (7, 3)
  assert asked['anchor_weight'] == 1
  # Finer pixels smooth less than the coarse ones did, to begin with.
  volume = np.exp(np.sum(asked['first'].log_scales, axis=1))
  assert (volume < np.exp(np.sum(coarse.log_scales, axis=1)).repeat(4)).all()
  arrays = settling.to_arrays(settling.name(3, 1), found)
  again = settling.from_arrays('settled/3x2', arrays)
  jax.tree.map(np.testing.assert_array_equal, found, again)
  assert settling.from_arrays('settled/1x2', arrays) is None


def test_settled_scenes_are_learnt_from_where_there_are_any(
  scene, tmp_path, monkeypatch
):
  kinds = []

  def episodes(scene, states, neighbors, octaves, kind):
    kinds.append(kind)
    return [kind] if kind != growths.SETTLED or scene == 'whole' else []

  monkeypatch.setattr(growths, 'episodes', episodes)
  monkeypatch.setattr(growths, '_some', lambda rng, episode, *rest: episode)
  for name in ('chosen', 'read'):
    monkeypatch.setattr(growths.lineages, name, lambda x, *rest: x)
  batches = growths.make(roots=('whole',), settled=0.5)
  found = [batches(i) for i in range(200)]
  assert 70 < found.count(growths.SETTLED) < 130
  assert 25 < found.count(growths.PAST) < 75
  kinds.clear()
  only = growths.make(roots=('whole',), settled=1.0)
  assert {only(i) for i in range(20)} == {growths.SETTLED}
  bare = growths.make(roots=('bare',), drop_history=1.0)
  assert {bare(i) for i in range(20)} == {growths.BARE}
  with pytest.raises(ValueError, match='no settled scenes: make them with'):
    growths.make(roots=('bare',), settled=0.5)
  with pytest.raises(ValueError, match='settled must lie in'):
    growths.make(roots=('bare',), settled=1.5)
