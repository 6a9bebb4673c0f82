"""Benchmarks of image super-resolution: conventions, sizes, what is kept."""

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import benchmark, image, judges
from sr3d_jax.io import images
from sr3d_jax.priors import bicubic
from sr3d_jax.types import one_shot

MEASURES = ('psnr_y', 'psnr_rgb')


def _grey_prior(scale, offset):
  """Says what bicubic says, and a bit more: something to tell apart."""
  return one_shot(
    init=lambda key: {'offset': jnp.asarray(offset)},
    upsample=lambda params, views: (
      image.enlarge(views, scale) + params['offset']
    ),
    scale=scale,
  )


@pytest.fixture
def run(tmp_path):
  """Scores a prior on two pictures at x2 and x2.5; counts the priors built."""
  rng = np.random.default_rng(0)
  for name in 'ab':
    images.save(tmp_path / 'tiny' / f'{name}.png', rng.random((41, 52, 3)))
  sets = benchmark.find_sets([str(tmp_path / 'tiny')])
  built = []

  def call(offset=0.0, measures=MEASURES, scales=(2.0, 2.5), **options):
    def build(scale):
      built.append(scale)
      return _grey_prior(scale, offset)

    params = _grey_prior(scales[0], offset).init(None)
    return benchmark.run(
      build, params, sets, tmp_path / 'run', scales=scales, measures=measures,
      section={'name': 'grey'}, **options,
    )  # fmt: skip

  call.folder, call.built = tmp_path / 'run', built
  call.pictures = tmp_path / 'tiny'
  return call


@pytest.mark.parametrize('scale', [1.7, 2.0, 3.3])
def test_borders_are_the_scale_rounded_up(scale):
  hr = np.full((70, 80, 3), 0.5, np.float32)
  border = math.ceil(scale)
  measures = ('psnr_y', 'psnr_y_liif', 'psnr_rgb', 'psnr_rgb_div2k', 'ssim_y')

  def spoil(width, offset):
    """A prior that is wrong in a frame of the picture."""

    def upsample(params, views):
      fine = image.enlarge(views, scale)
      inner = fine[:, width:-width, width:-width] * 0 + 128 / 255
      return fine.at[:, width:-width, width:-width].set(inner) + offset

    prior = one_shot(lambda key: {}, upsample, scale)
    values, enlarged = benchmark.score(prior, {}, hr, measures)
    height = round(int(70 / scale + 1e-6) * scale)
    assert enlarged.shape[0] == height and enlarged.min() >= 0
    return values

  inner = spoil(border, 0.0)
  # 0.5 and 128 / 255 are one level of 8 bits, and not one float
  assert inner['psnr_y'] == math.inf and inner['ssim_y'] == 1
  error = -20 * np.log10(128 / 255 - 0.5)
  assert inner['psnr_rgb'] == pytest.approx(error, abs=1e-2)
  luma = error - 20 * np.log10(219.859 / 256)
  assert inner['psnr_y_liif'] == pytest.approx(luma, abs=1e-2)


def test_the_border_alone_is_not_looked_at():
  hr = np.full((64, 64, 3), 128 / 255, np.float32)

  def frame(width):
    def upsample(params, views):
      fine = jnp.ones((1, 64, 64, 3))
      return fine.at[:, width:-width, width:-width].set(128 / 255)

    prior = one_shot(lambda key: {}, upsample, 2.0)
    names = ('psnr_y', 'psnr_y_liif', 'psnr_rgb', 'psnr_rgb_div2k')
    return benchmark.score(prior, {}, hr, names)[0]

  for name in ('psnr_y', 'psnr_y_liif', 'psnr_rgb'):
    assert frame(2)[name] > 100 > frame(3)[name]
  assert frame(8)['psnr_rgb_div2k'] > 100 > frame(9)['psnr_rgb_div2k']


def test_an_enlargement_is_clipped_before_it_is_compared():
  hr = np.ones((40, 40, 3), np.float32)
  prior = _grey_prior(2.0, 0.3)
  params = prior.init(None)
  assert benchmark.score(prior, params, hr, ['psnr_rgb'])[0]['psnr_rgb'] > 100


def test_the_mean_is_of_the_pictures_and_priors_are_built_once(run):
  entries = run()
  assert [(e['set'], e['scale']) for e in entries] == [
    ('tiny', 2.0),
    ('tiny', 2.5),
  ]
  for entry in entries:
    rows = entry['per_image']
    assert rows.keys() == {'a.png', 'b.png'}
    mean = np.mean([row['psnr_y'] for row in rows.values()])
    assert entry['psnr_y'] == pytest.approx(mean)
    assert entry['seconds'] > 0
  assert run.built == [2.0, 2.5]


def test_a_finished_set_is_not_measured_again(run, monkeypatch):
  first = run(scales=(2.0,))
  before = benchmark.score
  calls = []

  def score(prior, *args, **options):
    calls.append(prior.scale)
    return before(prior, *args, **options)

  monkeypatch.setattr(benchmark, 'score', score)
  assert run()[0] == first[0] and calls == [2.5, 2.5]
  run(measures=('psnr_y',))
  assert len(calls) == 2  # fewer measures are there already


@pytest.mark.parametrize(
  'change', [{'offset': 0.01}, {'measures': (*MEASURES, 'ssim_y')}]
)
def test_other_weights_or_measures_are_measured_anew(run, change):
  first, again = run(scales=(2.0,)), run(scales=(2.0,), **change)
  assert again != first
  path = run.folder / 'scores' / 'tiny_x2.json'
  kept = json.loads(path.read_text())
  assert kept['per_image'] == again[0]['per_image']


def test_another_picture_of_the_same_name_is_measured_anew(run):
  (first,) = run(scales=(2.0,))
  picture = images.load(run.pictures / 'a.png')
  images.save(run.pictures / 'a.png', picture[::-1])
  (again,) = run(scales=(2.0,))
  before, after = (
    {name: row['psnr_y'] for name, row in entry['per_image'].items()}
    for entry in (first, again)
  )
  assert after['a.png'] != before['a.png'] and after['b.png'] == before['b.png']


def test_enlarged_pictures_are_kept_on_demand(run):
  run(scales=(2.5,))
  assert not (run.folder / 'images').exists()
  run(offset=0.01, scales=(2.5,), save_images=True, repeats=2)
  kept = images.load(run.folder / 'images' / 'tiny_x2.5' / 'a.png')
  assert kept.shape == (40, 50, 3)


def test_sets_that_are_not_there_are_told(tmp_path, capsys):
  images.save(tmp_path / 'tiny' / 'a.png', np.zeros((8, 8, 3)))
  roots = [str(tmp_path / name) for name in ('tiny', 'huge')]
  assert list(benchmark.find_sets(roots)) == ['tiny']
  assert 'huge is left out' in capsys.readouterr().out
  with pytest.raises(FileNotFoundError, match='huge is left out'):
    benchmark.find_sets(roots[1:])
  with pytest.raises(ValueError, match="two sets would be called 'tiny'"):
    benchmark.find_sets([roots[0]] * 2)


def test_unknown_measures_are_told(run):
  with pytest.raises(ValueError, match=r'psnr_y, .*got psnr'):
    run(measures=('psnr_y', 'psnr'))


def test_bicubic_s_own_shrunk_pictures_have_whole_levels():
  seen = []
  prior = bicubic.make(scale=2.5)
  spy = prior._replace(
    begin=lambda params, key, views: seen.append(views.images) or views.images
  )
  hr = np.random.default_rng(0).random((33, 42, 3)).astype(np.float32)
  benchmark.score(spy, {}, hr, ['psnr_rgb'])
  (lr,) = seen
  assert lr.shape == (1, 13, 16, 3)
  np.testing.assert_allclose(lr * 255, np.round(lr * 255), atol=1e-4)


def test_structural_measures_stand_beside_the_others(monkeypatch):
  """NIQE is told nothing of the truth and runs on the host."""
  model = np.zeros(36), np.eye(36)
  monkeypatch.setattr(benchmark, '_pristine', lambda: model)
  rng = np.random.default_rng(0)
  hr = rng.random((192, 100, 3), np.float32)
  measures = ('niqe', 'gmsd', 'haarpsi', 'psnr_rgb')
  scores = benchmark.compare(0.5 * hr + 0.2, hr, measures, border=4)
  assert tuple(scores) == measures
  assert all(np.isfinite(value) for value in scores.values())
  other = benchmark.compare(0.5 * hr + 0.2, hr[::-1], ('niqe',), border=4)
  assert other['niqe'] == scores['niqe']


def test_pictures_of_a_set_are_judged_together(run, monkeypatch, tmp_path):
  """By their mean colours, of what was enlarged and of what was shrunk."""
  seen = []

  def embed(pictures):
    seen.extend(pictures)
    means = np.stack([np.mean(x, axis=(0, 1)) for x in pictures])
    return means, means

  monkeypatch.setattr(judges, 'embed', embed)
  monkeypatch.setattr(judges, 'needs', lambda measures: {})
  measures = ('psnr_y', 'fid', 'kid')
  (entry,) = run(offset=0.1, measures=measures, scales=(2.5,))
  assert [np.shape(x) for x in seen] == [(40, 50, 3)] * 4
  # the mean colour of noise is about 0.5, and 0.1 more by the prior
  assert entry['fid'] == pytest.approx(3 * 0.1**2, rel=0.1)
  assert entry['kid'] > 0 and 'fid' not in entry['per_image']['a.png']
  assert run(offset=0.1, measures=measures, scales=(2.5,)) == [entry]
  assert len(seen) == 4  # kept with the scores


def test_measures_without_weights_are_told(run, monkeypatch, tmp_path, capsys):
  monkeypatch.setenv('SR3D_DATA', str(tmp_path))
  (entry,) = run(measures=('psnr_y', 'lpips', 'fid'), scales=(2.0,))
  assert 'psnr_y' in entry and not {'lpips', 'fid'} & entry.keys()
  shown = capsys.readouterr().out
  assert 'lpips needs weights/lpips_alex.safetensors, see docs' in shown
  assert 'fid needs weights/inception.safetensors, see docs' in shown
