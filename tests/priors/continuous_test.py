"""What the prior of any scale reads: our own files and published ones."""

import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import fields, image, sampling
from sr3d_jax.io import weights as weight_files
from sr3d_jax.models import gaussian_design
from sr3d_jax.priors import continuous
from sr3d_jax.types import FieldNetwork, Views

KEY = jax.random.key(0, impl='unsafe_rbg')  # draws without much to compile
FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures' / 'field_networks'
ENCODER = {'channels': 4, 'num_blocks': 1, 'mean_shift': True}
SIZES = {
  'gaussian_sr': gaussian_design.RELEASED
  | {
    'encoder': {'channels': 8, 'num_blocks': 2, 'mean_shift': True},
    'num_kernels': 9,
    'gaussian_channels': 4,
    'width': 16,
    'hidden': (16,),
  },
  'liif': {'encoder': ENCODER, 'hidden': (8, 6)},
  'lte': {'encoder': ENCODER, 'hidden': (6,), 'width': 8},
}
FILES = [
  ('gaussian_sr', 'gaussian_sr'),
  ('gaussian_sr', 'gaussian_sr_fc'),  # with the keys of the released file
  ('liif', 'liif'),
  ('lte', 'lte'),
]


def _prior(network, file, **others):
  keys = {
    'scale': 2.5,
    'network': network,
    'weights': str(FIXTURES / f'{file}.pth'),
    'sizes': SIZES[network],
  }
  return continuous.make(**keys | others)


def _enlarge(prior, params, images):
  state = prior.begin(params, KEY, Views(images=images, cameras=None))
  return prior.step(params, KEY, state, 0)[1]


@pytest.mark.parametrize('network, file', FILES)
def test_a_published_file_fills_its_network(network, file):
  prior = _prior(network, file)
  params = prior.init(KEY)
  net = continuous.build(name=network, **SIZES[network])
  assert jax.tree.map(jnp.shape, params) == jax.tree.map(
    jnp.shape, jax.eval_shape(net.init, KEY)
  )
  image = jax.random.uniform(KEY, (1, 9, 11, 3))
  # as Python rounds: 22.5 and 27.5
  queries = fields.grid(9, 11, 22, 28, scale=2.5)
  expected = net.decode(params, net.encode(params, image), queries)
  found = _enlarge(prior, params, image)
  assert np.std(found) > 0.01
  np.testing.assert_allclose(found, jnp.clip(expected, 0, 1), atol=1e-5)


def test_back_projections_explain_the_picture_they_are_of(monkeypatch):
  ramps = FieldNetwork(
    init=lambda key: {},
    encode=lambda params, images: images,
    decode=lambda params, features, queries: sampling.bilinear(
      features[0], queries.rows[0], queries.columns[0]
    )[None],
    loss=None,
    halo=1,
  )
  module = types.SimpleNamespace(make=lambda: ramps)
  monkeypatch.setitem(continuous.NETWORKS, 'ramps', module)
  lr = jax.random.uniform(KEY, (2, 9, 11, 3), minval=0.2, maxval=0.8)
  misses = []
  for steps in (0, 1, 3):
    prior = continuous.make(
      scale=2.5, network='ramps', weights=None, back_projections=steps
    )
    found = _enlarge(prior, {}, lr)
    assert found.shape == (2, 22, 28, 3)
    assert jnp.all((found >= 0) & (found <= 1))
    misses.append(float(jnp.abs(image.resize(found, 9, 11) - lr).mean()))
  assert misses[0] > 2 * misses[1] > 4 * misses[2]
  with pytest.raises(ValueError, match='at least 0, got -1: it is a number'):
    _prior('liif', 'liif', back_projections=-1)


def test_a_field_is_asked_itself_where_nothing_comes_after_it():
  section = {'name': 'continuous', 'network': 'liif', 'sizes': SIZES['liif']}
  assert continuous.find(section).halo > 0
  assert continuous.find({**section, 'back_projections': 0}) is not None
  assert continuous.find({**section, 'back_projections': 1}) is None
  assert continuous.find({'name': 'bicubic'}) is None


def test_both_versions_of_the_keys_hold_the_same_weights():
  found, older = (
    _prior('gaussian_sr', file).init(KEY)
    for file in ('gaussian_sr', 'gaussian_sr_fc')
  )
  jax.tree.map(np.testing.assert_array_equal, found, older)


def test_what_training_saved_comes_back(tmp_path):
  params = _prior('lte', 'lte').init(KEY)
  weight_files.save(tmp_path / 'lte.npz', params)
  prior = _prior('lte', 'lte', weights=str(tmp_path / 'lte.npz'))
  for ours, saved in zip(
    jax.tree.leaves(prior.init(KEY)), jax.tree.leaves(params)
  ):
    np.testing.assert_allclose(ours, saved, rtol=2**-11)


@pytest.mark.parametrize('wrong, message', [
  ({'section': None}, 'name the section'),
  ({'section': 'model.ema'}, "no section 'ema' here, but .*'sd'"),
  ({'sizes': SIZES['gaussian_sr'] | {'hidden': (16, 16)}},
   r"they lack \['fc\.layers\.4\.bias', 'fc\.layers\.4\.weight'\]"),
  ({'sizes': SIZES['gaussian_sr'] | {'head': 'query'}},
   r'coef\.weight .*published are gaussian_design\.RELEASED'),
])  # fmt: skip
def test_a_file_that_does_not_fit_says_why(wrong, message):
  prior = _prior('gaussian_sr', 'gaussian_sr_fc', **wrong)
  with pytest.raises(ValueError, match=message):
    prior.init(KEY)


def test_a_file_of_another_network_is_told():
  prior = _prior('lte', 'gaussian_sr_fc')
  told = r"sr_fc\.pth does not fit lte .* lack .*'encoder\.add_.* too many"
  with pytest.raises(ValueError, match=told):
    prior.init(KEY)


def test_a_file_that_is_absent_is_named(tmp_path):
  prior = _prior('liif', 'liif', weights=str(tmp_path / 'none.pth'))
  with pytest.raises(FileNotFoundError, match=r'none\.pth'):
    prior.init(KEY)
