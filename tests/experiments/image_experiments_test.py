"""The image experiments, run on small pictures without their flags."""

import json
import runpy

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags
from PIL import ExifTags, Image, ImageCms

from configs.eval import set5
from configs.priors import bicubic
from configs.train import own
from sr3d_jax import resolve
from sr3d_jax.io import images, progress, weights
from sr3d_jax.models import compact


@pytest.fixture
def load(monkeypatch):
  """Runs an experiment's file without defining flags; returns its names."""
  for name in ('string', 'float', 'list'):
    monkeypatch.setattr(flags, f'DEFINE_{name}', lambda *_, **__: None)
  monkeypatch.setattr(config_flags, 'DEFINE_config_file', lambda *_, **__: None)
  return lambda name: runpy.run_module(f'experiments.{name}', run_name=name)


@pytest.fixture
def photos(tmp_path):
  """A folder of two photographs, one with transparency."""
  rows, columns = np.mgrid[:80, :100] / 100
  grey = 0.5 + 0.3 * np.sin(20 * rows) * np.cos(15 * columns)
  picture = np.stack([grey, rows, columns], axis=-1)
  images.save(tmp_path / 'photos' / 'a.png', picture)
  images.save(tmp_path / 'photos' / 'b.png', np.dstack([picture, columns]))
  return tmp_path / 'photos'


def test_training_is_resumed_and_leaves_weights(load, photos, tmp_path, capsys):
  config = own.get_config('smoke')
  config.batches.roots = (str(photos),)
  config.network.update(channels=4, num_blocks=1)
  run = load('train_image_sr')['run']
  file = run(config, tmp_path / 'run')
  network = compact.make(channels=4, num_blocks=1)
  first = weights.flatten(weights.restore(file, network.init))
  assert np.abs(first['last.kernel']).max() > 0  # it starts at zero
  assert '4/4' in capsys.readouterr().err
  assert progress.load_curves(file.parent)['step'] == [2, 4]
  # nothing is left to do: the checkpoint gives the same weights again
  again = weights.flatten(
    weights.restore(run(config, file.parent), network.init)
  )
  np.testing.assert_array_equal(first['last.kernel'], again['last.kernel'])


def test_evaluation_scores_every_photograph(load, photos, tmp_path):
  config = set5.get_config('bicubic')
  config.root = str(photos)
  means = load('evaluate')['run'](config, tmp_path)
  rows = json.loads((tmp_path / 'per_image.json').read_text())
  assert set(rows) == {'a.png', 'b.png'}
  assert means['psnr_y'] == pytest.approx(
    np.mean([row['psnr_y'] for row in rows.values()])
  )
  # smooth waves of 30 px survive shrinking by 4 almost whole
  assert means['psnr_y'] > 35 and means['ssim'] > 0.95


def test_evaluation_wants_a_whole_scale(load, photos, tmp_path):
  config = set5.get_config('bicubic')
  config.root = str(photos)
  config.prior.scale = 2.5
  with pytest.raises(ValueError, match=r'a whole scale, got 2\.5'):
    load('evaluate')['run'](config, tmp_path)


def test_a_folder_is_upscaled_with_its_transparency(load, photos, tmp_path):
  run = load('upscale_image')['run']
  section = bicubic.get_config()
  paths = run(section, photos, tmp_path / 'out', 2.0, None)
  assert [path.name for path in paths] == ['a.png', 'b.png']
  opaque, clear = (images.load(path) for path in paths)
  assert opaque.shape == (160, 200, 3)
  assert clear.shape == (160, 200, 4)
  # columns / 100 at pixel centres: column 50.25 of the original
  assert clear[80, 101, 3] == pytest.approx(0.5025, abs=0.004)


def test_a_folder_builds_its_prior_once(load, photos, tmp_path, monkeypatch):
  built, build = [], resolve.build
  monkeypatch.setattr(
    resolve, 'build', lambda *args: built.append(args) or build(*args)
  )
  run = load('upscale_image')['run']
  run(bicubic.get_config(), photos, tmp_path / 'out', 2.0, None)
  assert [section['scale'] for _, section in built] == [2.0]


def test_no_enlargement_replaces_a_picture(load, photos, tmp_path):
  run, section = load('upscale_image')['run'], bicubic.get_config()
  before = (photos / 'a.png').read_bytes()
  for path in (photos, photos / 'a.png'):
    goal = photos / '..' / path.relative_to(tmp_path)  # by another name
    with pytest.raises(ValueError, match='input and output are both'):
      run(section, path, goal, 2.0, None)
  assert (photos / 'a.png').read_bytes() == before
  images.save(photos / 'b.jpg', images.load(photos / 'a.png'))
  told = r'b\.jpg and b\.png of .* would all become .*out.b\.png'
  with pytest.raises(ValueError, match=told):
    run(section, photos, tmp_path / 'out', 2.0, None)
  assert not (tmp_path / 'out').exists()


def test_upscaling_keeps_16_bits_and_what_the_file_says(load, tmp_path):
  ramp = np.linspace(0.2, 0.2 + 40 / 65535, 40, dtype=np.float32)
  picture = np.broadcast_to(ramp[None, :, None], (20, 40, 3))
  exif = Image.Exif()
  exif[ExifTags.Base.Make] = 'Lens & Sons'
  profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
  metadata = images.Metadata(16, exif.tobytes(), profile)
  images.save(tmp_path / 'a.png', picture, metadata)
  run, section = load('upscale_image')['run'], bicubic.get_config()
  run(section, tmp_path / 'a.png', tmp_path / 'b.png', 2.0, None)
  assert images.load_metadata(tmp_path / 'b.png') == metadata
  # all of the ramp lies within one step of 8 bits
  levels = np.round(65535 * images.load(tmp_path / 'b.png')[20, :, 0])
  assert len(np.unique(levels)) > 35
  with pytest.raises(ValueError, match=r'c\.jpg cannot hold 16 bits'):
    run(section, tmp_path / 'a.png', tmp_path / 'c.jpg', 2.0, None)


def test_an_exact_size_is_met(load, photos, tmp_path):
  run = load('upscale_image')['run']
  goal = tmp_path / 'out.png'
  run(bicubic.get_config(), photos / 'a.png', goal, None, ['230', '90'])
  assert images.load(goal).shape == (90, 230, 3)
  with pytest.raises(ValueError, match=r'width,height as in 1920,1080, got'):
    run(bicubic.get_config(), photos / 'a.png', goal, None, ['230x90'])


def test_a_size_that_shrinks_is_refused(load, photos, tmp_path):
  run = load('upscale_image')['run']
  with pytest.raises(ValueError, match=r'got 0\.5: a prior enlarges'):
    run(
      bicubic.get_config(), photos / 'a.png', tmp_path / 'b.png', None,
      ['50', '40'],
    )  # fmt: skip
