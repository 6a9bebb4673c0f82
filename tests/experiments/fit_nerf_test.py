"""Fitting a radiance field, run small without its flags, then drawn."""

import json

import numpy as np
import pytest

from configs.nerf import lego
from sr3d_jax import resolve
from sr3d_jax.scenes import procedural


@pytest.fixture
def config():
  """A desk in place of lego, of which no photos are here."""
  config = lego.get_config('smoke')
  config.scene = {'name': 'procedural', **procedural.TINY}
  return config


def test_a_field_is_fitted_resumed_and_drawn(load, config, tmp_path, capsys):
  run = load('fit_nerf')['run']
  file = run(config, tmp_path)
  said = capsys.readouterr()
  assert '20/20' in said.err and 'held-out views:' in said.out
  result = json.loads((tmp_path / 'results.json').read_text())
  assert result['num_steps'] == 20 and result['psnr'] > 8
  assert np.mean(result['views']) == pytest.approx(result['psnr'])
  first = file.read_bytes()
  # nothing is left to do: the checkpoint gives the same field again
  assert run(config, tmp_path).read_bytes() == first
  scene = resolve.build(
    'scenes', dict(name='nerf', root=str(file), num_views=2, num_test=0)
  )
  assert scene.train.images.shape[0] == 2


def test_the_box_is_the_config_s_or_that_of_the_points(load, config):
  keys = load('fit_nerf')['field_keys']
  scene = resolve.build('scenes', config.scene)
  found = keys(config, scene, scene.train)
  points = np.asarray(scene.points)
  inside = (points > found['low']) & (points < found['high'])
  assert inside.mean() > 0.95
  assert found['background'] == scene.background
  config.box = ((-1, -2, -3), (1, 2, 3))
  found = keys(config, scene, scene.train)
  assert (found['low'], found['high']) == ((-1, -2, -3), (1, 2, 3))
