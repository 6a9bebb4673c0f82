"""Shapes of a run's rows, from the files that it wrote."""

import json

import jax
import numpy as np
import pytest

from configs.gaussian_vae import fox, shapes
from sr3d_jax.io import ply
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural


@pytest.fixture
def module(load):
  return load('evaluate_geometry')


def test_each_row_is_measured_by_its_file(module, tmp_path):
  config = shapes.get_config('desk,smoke')
  config.scene.update(width=48, height=36)
  section = {k: v for k, v in config.scene.items() if k != 'name'}
  scene = procedural.make(**section)
  with pytest.raises(FileNotFoundError, match='make the run first, python'):
    module['run'](config, tmp_path)
  rows = []
  for name, num in (('few', 50), ('many', 400)):
    rep = representation.make(capacity=num, sh_degree=0, init_scale=0.5)
    params = rep.init(jax.random.key(0), scene)
    place = tmp_path / 'rows' / name
    place.mkdir(parents=True)
    ply.save(place / 'splats.ply', rep.gaussians(params))
    rows.append({'name': name, 'ply': f'rows/{name}/splats.ply'})
  (tmp_path / 'results.json').write_text(json.dumps(rows))
  found = module['run'](config, tmp_path)
  assert found == json.loads((tmp_path / 'geometry.json').read_text())
  assert found['many']['completeness'] < found['few']['completeness']
  lines = module['table'](found | {'none': dict.fromkeys(found['few'], np.nan)})
  assert lines.splitlines()[2].startswith('| few | 0.')
  assert lines.splitlines()[-1] == '| none |' + '  |' * len(module['COLUMNS'])


def test_photos_have_no_surface(module, tmp_path):
  with pytest.raises(ValueError, match='do not tell their surface: take'):
    module['run'](fox.get_config('smoke'), tmp_path)


def test_a_run_has_one_shape_and_one_scale():
  config = shapes.get_config('spot,x3,smoke')
  assert config.scene.name == 'mesh'
  assert config.shrink == config.prior.scale == 3.0
  with pytest.raises(ValueError, match='one scene and one scale'):
    shapes.get_config('desk,spot')
