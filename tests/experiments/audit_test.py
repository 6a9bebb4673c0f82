"""Audits of an untrained network on drawings."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.audits import gaussian_sr as config_file
from sr3d_jax import kernel_bank
from sr3d_jax.io import checkpoint, progress, weights, workdir
from sr3d_jax.models import gaussian_sr
from sr3d_jax.types import TrainState


@pytest.fixture(scope='module')
def params():
  """Noise, which `init` takes ten seconds of compilation to draw."""
  sizes = config_file.get_config('smoke').prior.sizes.to_dict()
  rng, init = np.random.default_rng(0), gaussian_sr.make(**sizes).init
  return jax.tree.map(
    lambda x: 0.1 * rng.standard_normal(x.shape, np.float32),
    jax.eval_shape(init, jax.random.key(0)),
  )


@pytest.fixture
def make_config(params, tmp_path):
  """Makes the rehearsal of the audits that words name, with those weights."""
  weights.save(tmp_path / 'weights.npz', params)

  def make(*words):
    config = config_file.get_config(','.join([*words, 'smoke']))
    config.prior.weights = str(tmp_path / 'weights.npz')
    return config

  return make


def test_every_audit_gives_figures(load, make_config, tmp_path):
  config = make_config()
  del config.audits['gates']  # below
  found = load('audit')['run'](config, tmp_path / 'run')
  assert found == workdir.read_json(tmp_path / 'run' / 'results.json')
  text = found['usage']['text']
  assert sum(text['usage']) == pytest.approx(1, abs=1e-4)
  assert text['divergence']['text'] == pytest.approx(0, abs=1e-5)
  assert text['divergence']['charts'] > 0
  assert text['anisotropy'] >= 1 and 0.25 < text['spread'] < 1
  unsure = found['uncertainty']
  assert set(unsure['rank_correlation']) == {'weight', 'entropy', 'spread'}
  assert np.isfinite(unsure['slope']) and len(unsure['bins']) == 10
  steps = [found['back_projection'][f'x4, {n} steps'] for n in (0, 1, 3)]
  lows = [step['lr_psnr'] for step in steps]
  assert lows[0] < lows[1] < lows[2]
  film = found['film']
  assert {name.split(', ')[1] for name in film} == {
    'truth', 'bicubic', 'frames', 'field',
  }  # fmt: skip
  # what moves as one field cannot flicker as what is found frame by frame
  errors = {
    who: film[f'pan, {who}']['warp_error'] for who in ('field', 'frames')
  }
  assert errors['field'] < errors['frames'] / 3
  patterns = found['patterns']
  assert patterns['gain at 0.5'] > 0 and patterns['lattice'] > 0
  told = (tmp_path / 'run' / 'figures.md').read_text()
  assert '- slope: ' in told and '  - pan, field' in told


def test_a_mute_head_passes_the_gates_that_it_can(load, make_config, params):
  # the picture enlarged by bilinear: nothing of the bank is heard
  mute = {name: jax.tree.map(jnp.zeros_like, params[name]) for name in params}
  params = params | {'dec': mute['dec'], 'bank': mute['bank']}
  found = load('audit')['audit']('gates', make_config(), None, params)
  assert found['hard'] == found['stream'] == found['holes'] == 0
  assert 1 / 9 <= found['taken'] <= 1 and 1 / 9 <= found['perplexity'] <= 1
  assert 0 < found['entropy'] <= np.log(9)
  # all are 0.65 px wide, in the middle of what they may be
  start = np.array(kernel_bank.mesh(9, *kernel_bank.start_mesh((0.3, 1.0))))
  drift = np.sqrt(np.mean((start - 0.65) ** 2))
  assert found['drift'] == pytest.approx(drift, rel=1e-4)


def test_the_audit_of_training_reads_its_folder(
  load, make_config, params, tmp_path
):
  config = make_config('training')
  config.run = str(tmp_path)
  with checkpoint.Store(tmp_path / 'ckpts') as store:
    for step in (10, 20):
      state = TrainState(
        step=np.int32(step), params=params, opt_state={}, ema=params
      )
      store.save(step, state)
  with progress.Progress(tmp_path, 20, silent=True) as bar:
    for step, l1 in enumerate((9.0, 3.0, 0.2, 0.1, 0.3)):
      bar.log(step, {'l1': l1, 'gradient': 1.0})
  found = load('audit')['audit']('training', config, None, None)
  assert found['flips'] == 0
  assert found['gradient spread'] == pytest.approx(0, abs=1e-12)
  assert found['gradient spike'] == 1
  # 0.2, 0.1, 0.3 about the line 0.15, 0.2, 0.25
  assert found['l1 spike'] == pytest.approx(1.5)
  assert found['l1 spread'] == pytest.approx(np.sqrt(0.005) / 0.2)


def test_an_audit_of_training_wants_a_run(load, make_config, tmp_path):
  config = make_config('training')
  for folder in ('', str(tmp_path)):
    config.run = folder
    with pytest.raises(ValueError, match=r"got '.*': give --config\.run"):
      load('audit')['check']('training', config)
  assert 'training' not in config_file.get_config().audits


def _no_run(config):
  del config


def _empty_run(config):
  folder = pathlib.Path(config.prior.weights).parent / 'trained'
  (folder / 'ckpts').mkdir(parents=True)
  config.run = str(folder)


def _no_bank(config):
  config.prior.network, config.prior.sizes = 'liif', None


def _other_units(config):
  config.prior.sizes.units = 'hr'


def _small_squares(config):
  config.squares.size = 56


@pytest.mark.parametrize(
  'words, mistake, reason',
  [
    (('film', 'training'), _no_run, r"got '': give --config\.run"),
    (('film', 'training'), _empty_run, "'l1' must have 3 chunks"),
    ((), _no_bank, 'gates asks a bank.*liif has none'),
    (('film', 'usage'), _other_units, "units='lr', got 'hr'"),
    (('film', 'patterns'), _small_squares, r'more than 113\.8 px, got 55'),
  ],
)
def test_a_word_that_cannot_be_told_stops_before_the_first(
  words, mistake, reason, load, make_config, tmp_path
):
  config, folder = make_config(*words), tmp_path / 'run'
  with config.unlocked():
    mistake(config)
  with pytest.raises(ValueError, match=reason):
    load('audit')['run'](config, folder)
  # nothing binds the folder to what was wrong
  assert not folder.exists()


def test_an_audit_goes_on_with_what_is_missing(load, make_config, tmp_path):
  config = make_config('usage')
  workdir.write_json(tmp_path / 'results.json', {'usage': {'kept': 1.0}})
  assert load('audit')['run'](config, tmp_path) == {'usage': {'kept': 1.0}}


def test_an_audit_that_nobody_knows_is_told():
  with pytest.raises(ValueError, match=r"audit 'gate'.*gates, usage"):
    config_file.get_config('gate')
