"""Networks that judge: whose weights lack, what they see, what is a set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import distances, judges, temporal
from sr3d_jax.io import bundles, weights
from sr3d_jax.models import inception, lpips

SIZE = (33, 40)


@pytest.fixture(scope='module')
def alex(tmp_path_factory):
  """A data folder with LPIPS of AlexNet, and its parameters."""
  folder = tmp_path_factory.mktemp('data')
  network = lpips.make(backbone='alex')
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  params = {
    name: np.float32(
      np.abs(rng.standard_normal(leaf.shape))
      if 'head' in name
      else rng.standard_normal(leaf.shape) / np.prod(leaf.shape[:-1]) ** 0.5
    )
    for name, leaf in weights.flatten(shapes).items()
  }
  file = folder / judges.FILES['alex']
  file.parent.mkdir()
  part = {'network': 'lpips_alex', 'sizes': {}}
  bundles.save(file, {'network': params}, {'parts': {'network': part}})
  return folder, weights.unflatten(params.items())


@pytest.fixture
def data(alex, monkeypatch):
  monkeypatch.setenv('SR3D_DATA', str(alex[0]))
  return alex


@pytest.fixture
def colours(monkeypatch):
  """Sees the mean colours of what is prepared, and the brighter half."""

  def network(prepared):
    assert prepared.shape == (1, 299, 299, 3)
    top, bottom = prepared[:, :150].mean(), prepared[:, 150:].mean()
    logits = 1000 * jnp.stack([top, bottom])[None]
    return prepared.mean(axis=(1, 2)), logits

  monkeypatch.setattr(judges, '_load', lambda *_: network)
  monkeypatch.setattr(judges.paths, 'data_path', lambda path: path)


def _pictures(num, seed=0):
  return np.random.default_rng(seed).random((num, *SIZE, 3), np.float32)


def test_what_lacks_weights_is_named_with_its_file(data):
  names = ('psnr', 'lpips', 'lpips_vgg', 'fid', 'kid', 'is', 'tlpips')
  assert judges.needs(names) == {
    'lpips_vgg': 'weights/lpips_vgg.safetensors, see docs/weights.md',
    **dict.fromkeys(
      ('fid', 'kid', 'is'),
      'weights/inception.safetensors, see docs/weights.md',
    ),
  }
  with pytest.raises(FileNotFoundError, match=r'lpips_vgg\.safetensors was lo'):
    judges.pair('lpips_vgg')


def test_lpips_sees_what_its_authors_or_what_the_tables_show_it(data):
  _, params = data
  network = lpips.make(backbone='alex')
  assert judges.needs(('lpips', 'tlpips')) == {}
  one, two = _pictures(2)
  wanted = network.apply(params, (one[None], two[None]))
  np.testing.assert_allclose(judges.pair('lpips')(one, two), wanted[0], 1e-5)
  shown = tuple((x[None] + 1) / 2 for x in (one, two))
  other = network.apply(params, shown)[0]
  found = judges.pair('lpips_alex')(one, two)
  np.testing.assert_allclose(found, other, 1e-5)
  assert abs(found - wanted[0]) > 0.05 * wanted[0]


def test_another_network_s_file_is_refused(data, monkeypatch):
  monkeypatch.setitem(judges.FILES, 'vgg', judges.FILES['alex'])
  told = r'network of .*lpips_alex\.safetensors: these weights are of another'
  with pytest.raises(ValueError, match=told):
    judges.pair('lpips_vgg')


def test_sets_are_embedded_as_files_of_any_size_are(colours):
  one, two = _pictures(1)[0], np.full((50, 20, 3), 100.4 / 255, np.float32)
  features, logits = judges.embed([one, two])
  assert features.shape == (2, 3) and logits.shape == (2, 2)
  wanted = inception.prepare(
    jnp.round(255 * one)[None] / 255, resize='clean'
  ).mean(axis=(1, 2))
  np.testing.assert_allclose(features[:1], wanted, atol=1e-5)
  np.testing.assert_allclose(features[1], (100 - 128) / 128, atol=1e-5)


def test_views_are_scored_as_a_set(colours):
  views = 0.6 * _pictures(4)
  views[::2, :16] += 0.4  # brighter above in half of them, below in the others
  views[1::2, 17:] += 0.4
  truth = _pictures(4, 1)
  found = judges.judge_views(('psnr', 'fid', 'kid', 'is'), views, truth)
  features, logits = judges.embed(views)
  known, _ = judges.embed(truth)
  assert found == {
    'fid': distances.fid(features, known),
    'kid': distances.kid(features, known)[0],
    'is': distances.inception_score(logits)[0],
  }
  assert found['is'] == pytest.approx(2, abs=1e-3)
  unknown = judges.judge_views(('fid', 'kid', 'is', 'tlpips'), views, None)
  assert unknown == {'is': found['is']}
  assert judges.judge_views(('psnr',), views, truth) == {}


def test_tlpips_is_what_neighbours_change_too_much_or_too_little(data):
  still = np.repeat(_pictures(1), 3, axis=0)
  moved = _pictures(3)
  distance = judges.pair('lpips')
  steps = [float(distance(moved[i], moved[i + 1])) for i in (0, 1)]
  found = judges.judge_views(('tlpips',), still, moved)
  assert found == {'tlpips': pytest.approx(100 * np.mean(steps), rel=1e-4)}
  back = judges.judge_views(('tlpips',), moved, still)
  assert back == {'tlpips': pytest.approx(found['tlpips'])}
  with pytest.raises(ValueError, match='two frames at least'):
    temporal.tlpips(moved[:1], moved[:1], distance)
