"""Training the VAE of lineages, run small without its flags."""

import numpy as np
import pytest

from configs.gaussian_vae import train as configs
from configs.lineages import tiny
from sr3d_jax.io import progress
from sr3d_jax.io import workdir as workdirs


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """A folder for the histories of two desks, which the first run makes."""
  return tmp_path_factory.mktemp('made')


def _config(word='smoke'):
  config = configs.get_config(word)
  for source in config.lineages.sources.values():
    source.update(width=32, height=24, num_train=3, num_points=30)
  config.lineages.with_hessian = False  # for speed: see make_lineages_test
  config.lineages.representation.capacity = 128
  config.lineages.levels.update(num_first=6, num_steps=6, num_before=2)
  config.lineages.fitting.update(refine_start=3, refine_stop=4, chunk=2)
  config.batches.batch_size = 16
  config.validation.num_parents = 24
  return config


def _given(config, made):
  """The same, from histories that are there."""
  config.lineages = {}
  config.batches.roots = (str(made / 'lineages'),)
  return config


@pytest.fixture
def whole(load, made):
  """The folder of a run that nothing interrupted."""
  if not (made / 'vae_card.json').exists():
    load('train_gaussian_vae')['run'](_config(), made)
  return made


def test_histories_are_made_and_the_card_tells_the_scenes_apart(whole):
  card = workdirs.read_json(whole / 'vae_card.json')
  assert (card['learnt'], card['held_out']) == (['desk1'], ['desk2'])
  assert len(card['data']) == 2 and card['num_steps'] == 8
  assert set(card['scores']) == {'history', 'bare', 'x2'}
  for scores in card['scores'].values():
    assert all(np.isfinite(list(scores.values())))
  drawn = card['scores']['x2']
  assert drawn['psnr_plain'] != drawn['psnr_scene']
  assert drawn['psnr_network'] != drawn['psnr_plain']
  # no photo and no history are other inputs, and ask for the same plain split
  history, bare = card['scores']['history'], card['scores']['bare']
  assert history['plain'] == pytest.approx(bare['plain'], rel=1e-5)
  assert history['prior'] != bare['prior']
  assert (whole / 'metrics.csv').exists()
  curves = progress.load_curves(whole)
  assert curves['step'] == [4, 8]
  prior = curves['valid_history_prior'][-1]
  assert prior == pytest.approx(history['prior'], rel=1e-4)


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
  load, whole, tmp_path, monkeypatch
):
  run = load('train_gaussian_vae')['run']
  monkeypatch.setattr(run.__globals__['progress'].Progress, 'log', _killed)
  with pytest.raises(KeyboardInterrupt):
    run(_given(_config(), whole), tmp_path)
  monkeypatch.undo()
  assert not (tmp_path / 'weights.npz').exists()
  file = run(_given(_config(), whole), tmp_path)
  assert file.read_bytes() == (whole / 'weights.npz').read_bytes()


_LOG = progress.Progress.log


def _killed(bar, step, scalars):
  _LOG(bar, step, scalars)
  if step == 8:  # of step 4 there is a checkpoint
    raise KeyboardInterrupt


def test_families_alone_may_come_first(load, monkeypatch):
  module = load('train_gaussian_vae')
  built = {'lineages': lambda step: -step, 'growths': lambda step: step}
  monkeypatch.setattr(
    module['resolve'], 'build', lambda kind, section: built[section['name']]
  )
  monkeypatch.setattr(module['families'], 'learnable', lambda batch: batch)
  config = _config()
  config.draw_from = 2
  batches = module['stream'](config, ())
  assert batches(1) == {'families': -1}
  assert batches(2) == {'families': -2, 'scene': 2}


def test_a_scene_that_is_not_there_cannot_be_held_out(load, whole, tmp_path):
  config = _given(_config(), whole)
  config.batches.held_out = ('desk3',)
  with pytest.raises(ValueError, match='which was to be held out'):
    load('train_gaussian_vae')['run'](config, tmp_path)


def test_words_are_known_and_sizes_agree():
  for word in ('', 'tiny', 'base', 'smoke', 'tiny,m1', 'tiny,real'):
    config = configs.get_config(word)
    assert config.network.num_children == config.batches.num_children
    assert config.optimizer.num_steps == config.train.num_steps
    assert config.scenes.held_out == config.batches.held_out
    assert set(config.batches.held_out) < set(config.lineages.sources)
    assert config.train.num_steps % config.train.chunk == 0
    assert config.validation.every % config.train.chunk == 0
  one = configs.get_config('tiny,m1')
  assert one.network.num_children == 1 and not one.keep_mean
  assert set(configs.HELD_OUT) < set(tiny.get_config().sources)
  with pytest.raises(ValueError, match='m1, real, got'):
    configs.get_config('huge')
