"""The main job's rows that grow: they run, and see no finer photo."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.gaussian_vae import ply as ply_config
from configs.gaussian_vae import rows
from sr3d_jax import density, methods
from sr3d_jax.io import ply
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural
from sr3d_jax.table import Table
from sr3d_jax.types import TrainState

NUM = 60


@pytest.fixture
def run(load, monkeypatch):
  """The main job without its fits, and what they were asked."""
  fits = []

  def fit(key, rep, params, views, *, num_steps, **options):
    fits.append((num_steps, views.weights, options.get('anchor_weight')))
    return TrainState(step=num_steps, params=params, opt_state=())

  whole = load('super_resolve')['run']
  monkeypatch.setitem(whole.__globals__, 'fit_state', fit)
  monkeypatch.setattr(Table, 'finish', lambda self, best: self.rows)
  return whole, fits


def _config(root, words='smoke', *keep):
  config = ply_config.get_config(words)
  config.scene.update(
    root=str(root), up=(0.0, 0.0, 1.0), num_views=8, downscale=10.0
  )
  config.representation.update(capacity=NUM, sh_degree=1)
  if keep:
    config.rows = {row: config.rows[row] for row in keep}
    config.update(baselines=keep[:-1], main=keep[-1])
  return config


@pytest.fixture
def splats(tmp_path):
  scene = procedural.make(**procedural.TINY, num_points=NUM)
  rep = representation.make(capacity=NUM, sh_degree=0)
  given = rep.gaussians(rep.init(jax.random.key(0), scene))
  ply.save(tmp_path / 'scene.ply', given)
  return tmp_path / 'scene.ply', given


def test_a_file_alone_becomes_a_finer_file_without_a_fit(run, splats, tmp_path):
  whole, fits = run
  root, given = splats
  config = _config(root)
  told = {row['name']: row for row in whole(config, tmp_path / 'run')}
  assert not fits
  # Networks are left out: nobody has trained them here.
  assert set(told) == {'lr_fit', 'split', 'split_fine'}
  before = ply.load(tmp_path / 'run' / told['lr_fit']['ply'])
  np.testing.assert_allclose(before.means, given.means, atol=1e-6)
  after = ply.load(tmp_path / 'run' / told['split']['ply'])
  assert len(after.means) == NUM + 3 * round(rows.BUDGET * NUM)
  assert after.sh.shape[1] == 4
  seconds = [told['split'][f'{part}_seconds'] for part in ('score', 'select')]
  assert min(seconds) > 0


def test_steps_on_coarse_photos_trust_nothing_of_finer_ones(
  run, splats, tmp_path
):
  whole, fits = run
  config = _config(splats[0], 'smoke,refined', 'lr_steps', 'split_steps')
  names = [row['name'] for row in whole(config, tmp_path / 'run')]
  assert names == ['lr_fit', 'lr_steps', 'split_steps']
  assert [fit[::2] for fit in fits] == [(rows.STEPS['smoke'], 1.0)] * 2
  assert all(not np.any(fit[1]) for fit in fits)


def _made(**keys):
  rep = representation.make(capacity=8, sh_degree=0)
  prior = type('Prior', (), {'num_steps': 1, 'scale': 4.0})()
  return methods.make(
    'row',
    {'steps': (0,), 'grow': keys},
    prior=lambda word: {'name': word},
    build=lambda kind, section: prior if kind == 'priors' else rep,
    representation={},
    fit={'num_steps': 5},
  )


def test_two_passes_share_the_enlargement_and_go_on_from_each_other():
  calls = []

  def grow(key, gaussians, cameras, *, scale, **keys):
    calls.append((float(gaussians.means[0, 0]), cameras, scale, keys))
    moved = dataclasses.replace(gaussians, means=gaussians.means + 1)
    return moved, type('Report', (), {'seconds': {'score': 0.25}})

  scene = procedural.make(**procedural.TINY, num_points=8)
  rep = representation.make(capacity=8, sh_degree=0)
  kept = rep.gaussians(rep.init(jax.random.key(0), scene))
  kept = dataclasses.replace(kept, means=jnp.zeros((8, 3)))
  fine = dataclasses.replace(kept, means=kept.means + 10)
  made = _made(budget=2, passes=2, smoothing='fine')
  _, facts = methods.grown(
    made, jax.random.key(0), (kept, fine), scene.train.cameras,
    grow=grow, load=None, blur=0.1,
  )  # fmt: skip
  assert [call[0] for call in calls] == [10, 11]
  assert [call[1].width for call in calls] == [64, 128]
  assert all(call[2] == 2.0 for call in calls)
  assert all(call[3] == {'budget': 2, 'blur': 0.1} for call in calls)
  assert facts == {'score_seconds': 0.5}


def test_only_what_grows_may_go_without_a_fit():
  assert _made(budget=1).steps == (0,)
  with pytest.raises(ValueError, match='the last above 0'):
    methods.make(
      'row', {'prior': 'bicubic', 'steps': (0,)},
      prior=lambda word: {'name': word},
      build=lambda kind, section: type('Prior', (), {'num_steps': 1})(),
      representation={}, fit={'num_steps': 5},
    )  # fmt: skip
  with pytest.raises(ValueError, match='its smoothing one of kept, fine'):
    methods.grown(
      _made(smoothing='none'), None, (None, None), None, grow=None, load=None
    )


def test_finer_photos_of_noise_change_no_bit(
  run, splats, tmp_path, monkeypatch
):
  """T11: the truth of a run is what it is measured by, and nothing else."""
  whole, fits = run
  made = []
  for i, is_noise in enumerate((False, True)):
    config = _config(splats[0], 'smoke', 'split')
    config.scene.update(downscale=2.5)
    config.update(shrink=4.0, measures=('psnr',))
    config.rows.split.grow.update(budget=0.1)
    full_scene = whole.__globals__['full_scene']
    low_resolution = whole.__globals__['low_resolution']
    coarse = dataclasses.replace(
      low_resolution(config, full_scene(config)),
      points=np.asarray(splats[1].means),
      colors=np.full((NUM, 3), 0.5, np.float32),
    )

    def spoilt(config, full_scene=full_scene):
      full = full_scene(config)
      rng = np.random.default_rng(0)
      train, test = (
        dataclasses.replace(v, images=rng.random(v.images.shape, np.float32))
        for v in (full.train, full.test)
      )
      return dataclasses.replace(full, train=train, test=test)

    with monkeypatch.context() as patch:
      if is_noise:
        patch.setitem(whole.__globals__, 'full_scene', spoilt)
      patch.setitem(
        whole.__globals__, 'low_resolution', lambda *_, low=coarse: low
      )
      told = whole(config, tmp_path / f'run{i}')
    made.append(told[-1])
  assert made[0]['psnr'] != made[1]['psnr']
  one, other = (
    (tmp_path / f'run{i}' / row['ply']).read_bytes()
    for i, row in enumerate(made)
  )
  assert one == other and not fits


@pytest.mark.parametrize('control', ['none', 'mcmc'])
def test_params_that_adopt_a_scene_draw_like_it(control):
  scene = procedural.make(**procedural.TINY, num_points=NUM)
  rep = representation.make(
    capacity=NUM + 4, sh_degree=1, density_control=control
  )
  params = rep.init(jax.random.key(0), scene)
  params = rep.refresh(params, scene.train.cameras)
  drawn = rep.gaussians(params)
  fine = scene.train.cameras.at_scale(4.0)
  adopted = rep.adopt(drawn, fine)
  live = np.asarray(density.is_live(drawn))
  again = rep.gaussians(adopted)
  for name in ('log_scales', 'opacity_logits', 'means'):
    a, b = (np.asarray(getattr(x, name))[live] for x in (drawn, again))
    np.testing.assert_allclose(a, b, atol=2e-4)
  np.testing.assert_allclose(
    adopted.filter[live], params.filter[live] / 4, rtol=1e-4
  )
  with pytest.raises(ValueError, match='sh_degree 0 cannot hold'):
    representation.make(capacity=8, sh_degree=0).adopt(drawn, fine)


@pytest.mark.parametrize('word', ['huge', 'cpu,smoke'])
def test_words_that_are_not_known_are_told_to_growers(word):
  with pytest.raises(ValueError, match='unknown word or two sizes'):
    rows.parse(word)
