"""Every config loads in each of its sizes and holds nothing but values."""

import importlib.util
import pathlib

import jax
import ml_collections
import pytest

from configs import base
from configs.scenes import fern
from configs.train import gaussian_sr, liif, lte
from sr3d_jax.priors import continuous

ROOT = pathlib.Path(__file__).parents[1]
VALUES = (bool, int, float, str, type(None))


def _load(path):
  spec = importlib.util.spec_from_file_location(f'config_{path.stem}', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


FILES = [
  path
  for path in sorted((ROOT / 'configs').rglob('*.py'))
  if 'def get_config' in path.read_text()
]
CASES = [
  pytest.param(path, arg, id=f'{path.relative_to(ROOT)}:{arg}')
  for path in FILES
  for arg in ('', 'smoke', 'cpu')
  if not arg or f"'{arg}'" in path.read_text()
]


def _strangers(value, where=''):
  """Paths in a config, with the types there, that are not plain values."""
  if isinstance(value, ml_collections.ConfigDict | dict):
    inner = [(f'{where}.{key}', item) for key, item in value.items()]
  elif isinstance(value, tuple | list):
    inner = [(f'{where}[{i}]', item) for i, item in enumerate(value)]
  else:
    inner = []
    if not isinstance(value, VALUES):
      return [f'{where}: {type(value).__name__}']
  return [bad for at, item in inner for bad in _strangers(item, at)]


@pytest.mark.parametrize('path, arg', CASES)
def test_a_config_is_plain_values(path, arg):
  config = _load(path).get_config(arg)
  assert isinstance(config, ml_collections.ConfigDict)
  assert not _strangers(config)


@pytest.mark.parametrize(
  'path, arg', [case for case in CASES if case.values[1]]
)
def test_a_smaller_size_is_smaller_and_has_the_same_sections(path, arg):
  whole, small = (_load(path).get_config(word) for word in ('', arg))
  assert small.to_dict().keys() == whole.to_dict().keys()
  assert small.to_dict() != whole.to_dict()
  if 'fit' in whole:
    assert small.fit.num_steps <= whole.fit.num_steps
    assert small.representation.capacity < whole.representation.capacity


@pytest.mark.parametrize('arg', ['', 'smoke', 'cpu'])
def test_fern_s_coarse_photos_are_a_quarter_of_the_fine_ones(arg):
  config = fern.get_config(arg)
  scene, low = config.scene.to_dict(), config.lr_scene.to_dict()
  assert scene.pop('size') == tuple(config.shrink * n for n in low.pop('size'))
  assert (scene.pop('images'), low.pop('images')) == ('images_2', 'images_8')
  assert scene == low


@pytest.mark.parametrize(
  'config, count',
  [
    (gaussian_sr.get_config('paper,released'), 1_838_159),
    (liif.get_config('paper'), 1_567_323),
    (lte.get_config('paper'), 1_714_267),
  ],
  ids=lambda value: value if isinstance(value, int) else value.network.name,
)
def test_the_published_networks_are_as_large_as_published(config, count):
  network = continuous.build(**config.network.to_dict())
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


def test_a_network_that_draws_whole_grids_trains_at_one_scale_a_batch():
  config = gaussian_sr.get_config('smoke,released')
  assert 'scale_range' not in config.batches
  assert min(config.batches.scales) == 1 and max(config.batches.scales) == 4
  with pytest.raises(ValueError, match="unknown size 'large'"):
    gaussian_sr.get_config('large,released')


def test_words_that_no_config_knows_are_told():
  with pytest.raises(ValueError, match=r"unknown word 'big'.*cpu.*bicubic"):
    base.parse('cpu,big')
  assert base.parse('rlfn,cpu') == ('cpu', 'rlfn')
  with pytest.raises(ValueError, match="one size, got 'cpu'"):
    base.image_set(('dev/images/set5',), 'cpu,imdn')
  assert base.image_set(('a',), 'imdn').prior.network == 'imdn'


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_config_says_what_to_expect(path):
  assert _load(path).__doc__, 'a docstring gives the command and the time'


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_a_config_file_is_importable_by_its_name(path):
  assert path.stem.isidentifier()


def test_a_callable_is_told_from_a_value():
  config = dict(a=dict(b=(1, 'x', None)), f=[max])
  assert _strangers(config) == ['.f[0]: builtin_function_or_method']
