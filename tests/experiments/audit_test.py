"""Audits of an untrained network on drawings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.audits import gaussian_sr as config_file
from sr3d_jax.io import workdir
from sr3d_jax.models import gaussian_sr


@pytest.fixture
def config():
  return config_file.get_config('smoke')


def test_every_audit_gives_figures(load, config, tmp_path):
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
  told = (tmp_path / 'run' / 'figures.md').read_text()
  assert '- slope: ' in told and '  - pan, field' in told


def test_a_mute_head_passes_the_gates_that_it_can(load, config):
  # the picture enlarged by bilinear: nothing of the bank is heard
  sizes = config.prior.sizes.to_dict()
  params = gaussian_sr.make(**sizes).init(jax.random.key(0))
  params['dec'] = jax.tree.map(jnp.zeros_like, params['dec'])
  found = load('audit')['audit']('gates', config, params)
  assert found['ripple'] == pytest.approx(0, abs=1e-6)
  assert found['hard'] == found['stream'] == found['holes'] == 0
  assert 1 / 9 <= found['taken'] <= 1 and 1 / 9 <= found['perplexity'] <= 1
  assert found['lattice'] > 0 and found['seams'] > 0


def test_an_audit_goes_on_with_what_is_missing(load, tmp_path):
  config = config_file.get_config('usage,smoke')
  workdir.write_json(tmp_path / 'results.json', {'usage': {'kept': 1.0}})
  assert load('audit')['run'](config, tmp_path) == {'usage': {'kept': 1.0}}


def test_a_network_without_a_bank_is_not_asked_for_one(load, config):
  config.prior.network = 'liif'
  with pytest.raises(ValueError, match=r'gates asks a bank.*liif has none'):
    load('audit')['audit']('gates', config, None)


def test_an_audit_that_nobody_knows_is_told():
  with pytest.raises(ValueError, match=r"audit 'gate'.*gates, usage"):
    config_file.get_config('gate')
