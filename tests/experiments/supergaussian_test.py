"""SuperGaussian's runs: all can be built, and each runs but for its fits."""

import json
import pathlib

import jax
import numpy as np
import pytest

from configs.supergaussian import any as any_config
from configs.supergaussian import experiments, lifts, rows
from sr3d_jax import clip_scores
from sr3d_jax.io import ply
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural
from sr3d_jax.table import Table
from sr3d_jax.types import TrainState

SIZES = ('', 'cpu', 'smoke')


@pytest.fixture
def methods(load):
  return load('super_resolve')['all_methods']


@pytest.fixture
def run(load, monkeypatch):
  """The main job without its fits, which other tests have, and the report."""
  fits = []

  def fit(key, rep, params, views, *, num_steps, **options):
    fits.append((num_steps, len(views.images), views.images.shape[1:3]))
    return TrainState(step=num_steps, params=params, opt_state=())

  whole = load('super_resolve')['run']
  monkeypatch.setitem(whole.__globals__, 'fit_state', fit)
  monkeypatch.setattr(Table, 'finish', lambda self, best: self.rows)
  return whole, fits


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('name', rows.ROWS)
def test_every_row_of_an_experiment_can_be_made(methods, name, size):
  config = experiments.get_config(f'{name},{size}')
  made = methods(config)
  assert set(made) == set(config.rows) and list(made)[-1] == config.main
  assert 'weights' not in config.rows[config.main].settings
  assert {method.prior.scale for method in made.values()} == {4.0}
  assert all(method.paths for method in made.values())


@pytest.mark.parametrize('scene', experiments.SCENES)
def test_every_scene_has_coarse_views_of_a_quarter(scene):
  config = experiments.get_config(f'e8,{scene},cpu')
  if 'lr_scene' in config:
    assert config.scene.size == tuple(4 * x for x in config.lr_scene.size)
  assert config.shrink == 4.0
  assert config.representation.density_control == 'gof'


def test_words_choose_one_thing_each():
  config = experiments.get_config('e4,n16000,spot,cpu,seed2')
  assert config.representation.capacity == 16_000 and config.seed == 2
  assert config.lr_scene.max_faces == experiments.FACES
  assert config.rows.video.representation.capacity == 40_000
  assert experiments.get_config('e2').softness == experiments.SOFTNESS
  assert experiments.get_config('e2,sharp').softness == 0
  assert experiments.get_config('e12,fast').scene.turn == 30.0
  assert experiments.get_config('e8,lego,white').scene.background == (1, 1, 1)
  anchored = experiments.get_config('e8,anchored').rows.pose
  assert anchored.anchor_weight == 0.6
  tuned = experiments.get_config('e8,finetuned').rows.pose.settings.weights
  assert tuned.endswith('runs/finetune_vsr/tiny/weights.npz')
  assert pathlib.Path(tuned).is_absolute()


@pytest.mark.parametrize(
  'words, told',
  [
    ('e13', "unknown word 'e13': wanted one of e1, e2"),
    ('e1,e3', 'one run has one experiment'),
    ('desk,fox', 'one run has one scene'),
    ('n2000', "unknown word 'n2000'"),
  ],
)
def test_words_that_are_not_known_are_told(words, told):
  with pytest.raises(ValueError, match=told):
    experiments.get_config(words)


def test_the_released_lift_is_as_told():
  row = lifts.released()
  assert row['representation']['reset_at'] == (500,)
  assert row['fit']['num_steps'] == 2000 and row['fit']['refine_start'] == 500
  assert row['start'] == 'points'
  half = lifts.released(1000)
  assert half['representation']['reset_at'] == (250,)
  assert half['fit']['sh_every'] == 500


@pytest.mark.parametrize('name', ['e7', 'e8', 'e9'])
def test_an_experiment_runs_on_the_desk(run, tmp_path, name):
  whole, fits = run
  config = experiments.get_config(f'{name},smoke')
  config.measures = ('psnr',)
  if name == 'e8':
    keep = ('rendered_path', 'pose', 'both')
    config.rows = {row: config.rows[row] for row in keep}
    config.update(baselines=keep[:-1], main='both', bound=False)
  if name == 'e9':
    keep = ('released', 'clean')
    config.rows = {row: config.rows[row] for row in keep}
    config.update(baselines=keep[:-1], main='clean')
  rows = {row['name']: row for row in whole(config, tmp_path)}
  assert set(rows) == {'lr_fit', *config.rows}
  size = (48, 64)
  if name == 'e8':
    # Renders along a path, as many as it needs; 6 photos; and both.
    rendered, photos, both = (fit[1] for fit in fits[1:])
    assert rendered >= 4 and photos == 6 and both == rendered + photos
    assert {fit[2] for fit in fits[1:]} == {size}
  for row in set(rows) - {'lr_fit'}:
    assert 0 <= rows[row]['coverage'] <= 1
  if name == 'e7':
    scores = json.loads((tmp_path / 'rows/video/clips.json').read_text())
    assert set(scores) == {'captured', 'novel'}
    assert set(scores['captured']) == {'coarse', 'enlarged', 'lifted', 'truth'}
    assert (tmp_path / 'rows/video/captured.mp4').stat().st_size > 1000


def test_a_run_that_is_killed_at_its_films_makes_them_when_it_goes_on(
  run, tmp_path
):
  whole, _ = run
  config = experiments.get_config('e7,smoke')
  config.measures = ('psnr',)

  def killed(*args):
    raise KeyboardInterrupt

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(clip_scores, 'compare', killed)
    with pytest.raises(KeyboardInterrupt):
      whole(config, tmp_path)
  rows = json.loads((tmp_path / 'results.json').read_text())
  assert [row['name'] for row in rows] == ['lr_fit']
  made = []
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(clip_scores, 'compare', lambda *x: made.append(x))
    whole(config, tmp_path)
  assert len(made) == 1


def test_soft_photos_are_not_compared_with_what_is_only_shrunk(run, tmp_path):
  whole, _ = run
  config = experiments.get_config('e1,smoke')
  config.update(softness=0.6)
  with pytest.raises(ValueError, match='but lr_psnr would compare'):
    whole(config, tmp_path)
  config = experiments.get_config('e8,anchored,smoke')
  config.update(softness=0.6, measures=('psnr',))
  with pytest.raises(ValueError, match=r'but bicubic, .* would compare'):
    whole(config, tmp_path)


def test_splats_of_an_earlier_run_are_made_finer_again(run, tmp_path):
  whole, fits = run
  scene = procedural.make(**procedural.TINY, num_points=300)
  rep = representation.make(capacity=300, sh_degree=0)
  params = rep.init(jax.random.key(0), scene)
  ply.save(tmp_path / 'scene.ply', rep.gaussians(params))
  config = experiments.get_config('e10,smoke')
  config.scene.root = str(tmp_path / 'scene.ply')
  config.scene.up = (0.0, 0.0, 1.0)
  config.measures = ('psnr',)
  whole(config, tmp_path / 'run')
  side = any_config.SIZES['smoke']
  sizes = [fit[2] for fit in fits]
  assert sizes == [(side, side), (4 * side, 4 * side), (4 * side, 4 * side)]
  assert np.isfinite(np.asarray(rep.gaussians(params).means)).all()


def test_any_content_starts_with_its_file(run, tmp_path):
  whole, fits = run
  box = (
    'v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n'
  )
  (tmp_path / 'box.obj').write_text(box)
  config = any_config.get_config('smoke')
  config.scene.root = str(tmp_path / 'box.obj')
  rows = {row['name'] for row in whole(config, tmp_path / 'run')}
  assert rows == {'lr_fit', 'bicubic', 'supergaussian'}
  # The views of the model; with them, renders along a path that leaps less.
  num_views = [fit[1] for fit in fits]
  assert num_views[:2] == [6, 6] and num_views[2] > 12
