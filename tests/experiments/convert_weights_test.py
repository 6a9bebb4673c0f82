"""The converter: what is accepted, written, told, and never half done."""

import jax
import numpy as np
import pytest

from configs.convert import diffusers, judges, network, stablesr
from sr3d_jax import conversion
from sr3d_jax.io import bundles, pth, safetensors, weights
from sr3d_jax.io.paths import CHECKOUT
from sr3d_jax.models import lpips, rlfn

FILE = CHECKOUT / 'tests' / 'fixtures' / 'image_networks' / 'rlfn.pth'
SIZES = dict(channels=4, middle_channels=6, attention_channels=4, num_blocks=1)


@pytest.fixture
def run(load):
  return load('convert_weights')['run']


@pytest.fixture
def config():
  found = network.get_config()
  found.prediction = 'v'
  found.sources.checkpoint.path = str(FILE)
  found.parts.network = {
    'source': 'checkpoint', 'network': 'rlfn', 'sizes': SIZES
  }  # fmt: skip
  return found


def test_a_file_is_written_with_its_origin(run, config, tmp_path, capsys):
  output = tmp_path / 'new' / 'rlfn.safetensors'
  run(config, output, True)
  told = capsys.readouterr().out
  assert 'for use under:' in told and 'parameters in' in told
  bundle = bundles.load(output)
  part = bundle.manifest['parts']['network']
  assert (part['network'], part['sizes']) == ('rlfn', SIZES)
  assert bundle.manifest['sources'] == bundles.origins([FILE])
  assert bundle.manifest['prediction'] == config.prediction
  assert bundle.manifest['licences'] == list(config.licences)
  params = bundles.params(bundle, 'network', rlfn.make(**SIZES).init)
  published = pth.load(FILE)['fea_conv.weight']
  found = params['fea_conv']['kernel']
  np.testing.assert_array_equal(found, published.transpose(2, 3, 1, 0))


def test_licences_are_told_and_to_be_accepted(run, config, tmp_path, capsys):
  with pytest.raises(ValueError, match='add --accept_licences'):
    run(config, tmp_path / 'a.safetensors', False)
  assert config.licences[0] in capsys.readouterr().out
  assert not list(tmp_path.iterdir())


def test_without_the_text_embedding_the_way_to_make_it_is_told(run, tmp_path):
  config = stablesr.get_config()
  config.text = str(tmp_path / 'empty_prompt.npy')
  told = r'empty_prompt\.npy was looked for .*docs/weights\.md has the lines'
  with pytest.raises(FileNotFoundError, match=told):
    run(config, tmp_path / 'a.safetensors', True)


def test_what_fails_leaves_nothing(run, config, tmp_path):
  config.parts.network.sizes.channels = 5
  with pytest.raises(ValueError, match=r'network, of .*rlfn\.pth: .* wanted'):
    run(config, tmp_path / 'a.safetensors', True)
  short = tmp_path / 'short.pth'
  short.write_bytes(FILE.read_bytes()[:-300])
  config.sources.checkpoint.path = str(short)
  with pytest.raises(ValueError, match=r'short\.pth'):
    run(config, tmp_path / 'a.safetensors', True)
  assert list(tmp_path.iterdir()) == [short]


def test_configs_ask_for_the_published_counts():
  parts = stablesr.get_config().parts
  numbers = {name: part.num_parameters for name, part in parts.items()}
  assert numbers == {
    'unet': 918_930_884,
    'encoder': 52_494_080,
    'first_stage': 83_653_863,
    # the plain one, its decoder exchanged for that with fusion
    'autoencoder': 83_653_863 - 49_490_179 + 93_883_907,
  }
  assert stablesr.get_config().prediction == 'eps'
  assert set(diffusers.get_config().parts) == {'unet', 'autoencoder'}


def test_a_backbone_and_its_heads_become_one_file(run, tmp_path):
  config = judges.get_config('lpips_alex')
  rng = np.random.default_rng(0)
  network = conversion.KINDS['lpips_alex'].make()
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  published = {'classifier.1.weight': np.ones((3, 2), np.float32)}
  for name, leaf in weights.flatten(shapes).items():
    key = weights.published_name(name, lpips.NAMES)
    shape = leaf.shape[-1:-3:-1] + leaf.shape[:-2] if leaf.ndim > 1 else (
      leaf.shape
    )  # fmt: skip
    published[key] = rng.random(shape, np.float32)
  for source, is_head in (('backbone', False), ('heads', True)):
    path = tmp_path / f'{source}.safetensors'
    arrays = {n: a for n, a in published.items() if (n[:3] == 'lin') == is_head}
    safetensors.save(path, arrays, {})
    config.sources[source].path = str(path)
  run(config, tmp_path / 'lpips_alex.safetensors', True)
  bundle = bundles.load(tmp_path / 'lpips_alex.safetensors')
  assert [x['file'] for x in bundle.manifest['sources']] == [
    'backbone.safetensors', 'heads.safetensors'
  ]  # fmt: skip
  params = bundles.params(bundle, 'network', network.init)
  np.testing.assert_array_equal(
    params['features']['conv3']['kernel'],
    published['features.3.weight'].transpose(2, 3, 1, 0),
  )
  np.testing.assert_array_equal(
    params['head4']['kernel'][0, 0, :, 0],
    published['lin4.model.1.weight'][0, :, 0, 0],
  )


@pytest.mark.parametrize('kind', judges.COUNTS)
def test_configs_of_judges_know_how_large_they_are(kind):
  init = conversion.KINDS[kind].make().init
  shapes = jax.eval_shape(init, jax.random.key(0))
  part = judges.get_config(kind).parts.network
  assert part.network == kind
  assert part.num_parameters == sum(x.size for x in jax.tree.leaves(shapes))
