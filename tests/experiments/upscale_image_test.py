"""One command enlarges a picture, or a folder of them, of every kind."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags
from PIL import ExifTags, Image, ImageCms

from configs.priors import bicubic
from sr3d_jax import cli, enlarge, fields, resolve, sampling
from sr3d_jax.io import images
from sr3d_jax.priors import continuous
from sr3d_jax.types import FieldNetwork

SECTION = bicubic.get_config()


@pytest.fixture
def run(load):
  """Enlarges by bicubic: (source, target, scale, size)."""
  experiment = load('upscale_image')['run']
  return lambda *args: experiment(SECTION, *args)


def _noise(height, width, channels=3, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, channels), np.uint8)


def test_one_command_enlarges_a_photo_with_the_shipped_weights(tmp_path):
  images.save(tmp_path / 'photo.jpg', _noise(10, 20))
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'experiments.upscale_image', '--scale=3.7'),
      f'--input={tmp_path}/photo.jpg',
      f'--output={tmp_path}/new/out.png',
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == f'{tmp_path}/new/out.png: 74 x 37\n'
  told = done.stderr.splitlines()
  assert not [x for x in told if x.strip() and '%|' not in x]  # but for bars
  assert images.load(tmp_path / 'new' / 'out.png').shape == (37, 74, 3)


def test_a_folder_goes_on_past_what_is_broken(run, tmp_path, capsys):
  folder = tmp_path / 'in'
  for name in ('a.png', 'c.png'):
    images.save(folder / name, _noise(4, 6))
  (folder / 'b.jpg').write_text('not a picture')
  (folder / 'notes.txt').touch()
  (folder / 'd.png').mkdir()
  with pytest.raises(ValueError) as failed:
    run(folder, tmp_path / 'out', None, (8, 9))
  assert str(failed.value) == (
    '1 of 3 pictures could not be enlarged, the others are in '
    f'{tmp_path}/out: {folder}/b.jpg is not a readable image: a PNG or JPEG is '
    'wanted'
  )
  assert capsys.readouterr().out.splitlines() == [
    f'{tmp_path}/out/{name}.png: 9 x 8' for name in 'ac'
  ]
  assert sorted(x.name for x in (tmp_path / 'out').iterdir()) == [
    'a.png',
    'c.png',
  ]


def test_a_wrong_key_of_the_default_config_is_one_line(
  load, monkeypatch, capsys
):
  values = flags.FlagValues()
  config_flags.DEFINE_config_file(
    'config', flag_values=values, lock_config=True
  )
  monkeypatch.setattr(flags, 'FLAGS', values)
  argv = load('upscale_image')['with_config'](['me', '--config.wait=none'])
  monkeypatch.setattr(sys, 'argv', argv)  # where ml_collections looks for keys
  with pytest.raises(SystemExit) as stopped:
    cli._parse(argv)
  assert stopped.value.code == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith('error: the config has no key wait')


def test_a_config_that_is_named_is_taken(load):
  with_config = load('upscale_image')['with_config']
  for words in (['--config=a.py'], ['--config', 'a.py'], ['-config=a.py']):
    assert with_config(['me', *words, '--scale=2']) == [
      'me',
      *words,
      '--scale=2',
    ]
  first, named, *rest = with_config(['me', '--config.scale=3'])
  assert (first, rest) == ('me', ['--config.scale=3'])
  assert Path(named.removeprefix('--config=')).is_file()


def test_a_folder_is_upscaled_with_its_transparency(run, photos, tmp_path):
  paths = run(photos, tmp_path / 'out', 2.0)
  assert [path.name for path in paths] == ['a.png', 'b.png']
  opaque, clear = (images.load(path) for path in paths)
  assert opaque.shape == (160, 200, 3)
  assert clear.shape == (160, 200, 4)
  # columns / 100 at pixel centres: column 50.25 of the original
  assert clear[80, 101, 3] == pytest.approx(0.5025, abs=0.004)


def test_hidden_colours_do_not_fringe_what_is_seen(run, tmp_path):
  rows, columns = np.mgrid[:24, :24] - 11.5
  disc = np.zeros((24, 24, 4), np.uint8)
  disc[np.hypot(rows, columns) < 8] = 255  # black where nothing is seen
  images.save(tmp_path / 'a.png', disc)
  run(tmp_path / 'a.png', tmp_path / 'b.png', 4.0)
  found = images.load(tmp_path / 'b.png')
  alpha = found[..., 3:]
  assert alpha.min() == 0 and alpha.max() == 1
  on_white = alpha * found[..., :3] + 1 - alpha
  np.testing.assert_allclose(on_white, 1.0, atol=1 / 255)


def test_a_folder_builds_its_prior_once(run, photos, tmp_path, monkeypatch):
  built, build = [], resolve.build
  monkeypatch.setattr(
    resolve, 'build', lambda *args: built.append(args) or build(*args)
  )
  run(photos, tmp_path / 'out', 2.0)
  assert [section['scale'] for _, section in built] == [2.0]


def test_progress_is_shown_beside_what_is_said(run, photos, tmp_path, capsys):
  run(photos, tmp_path / 'out', 2.0)
  told = capsys.readouterr()
  assert '2/2' in told.err
  assert told.out.count('200 x 160') == 2


def test_the_config_gives_the_scale_where_no_flag_does(run, photos, tmp_path):
  run(photos / 'a.png', tmp_path / 'out.png')
  assert images.load(tmp_path / 'out.png').shape == (320, 400, 3)


def test_upscaling_keeps_16_bits_and_what_the_file_says(run, tmp_path):
  ramp = np.linspace(0.2, 0.2 + 40 / 65535, 40, dtype=np.float32)
  picture = np.broadcast_to(ramp[None, :, None], (20, 40, 3))
  exif = Image.Exif()
  exif[ExifTags.Base.Make] = 'Lens & Sons'
  profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
  metadata = images.Metadata(16, exif.tobytes(), profile)
  images.save(tmp_path / 'a.png', picture, metadata)
  run(tmp_path / 'a.png', tmp_path / 'b.png', 2.0)
  assert images.load_metadata(tmp_path / 'b.png') == metadata
  # all of the ramp lies within one step of 8 bits
  levels = np.round(65535 * images.load(tmp_path / 'b.png')[20, :, 0])
  assert len(np.unique(levels)) > 35
  with pytest.raises(ValueError, match=r'c\.jpg cannot hold 16 bits'):
    run(tmp_path / 'a.png', tmp_path / 'c.jpg', 2.0)


def test_a_picture_that_lies_on_its_side_is_set_up(run, tmp_path):
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = 6
  Image.fromarray(_noise(4, 6)).save(tmp_path / 'a.png', exif=exif)
  run(tmp_path / 'a.png', tmp_path / 'b.png', 2.0)
  assert images.load(tmp_path / 'b.png').shape == (12, 8, 3)
  assert images.load_metadata(tmp_path / 'b.png') == images.PLAIN


@pytest.mark.parametrize(
  'mode, channels',
  [('1', 3), ('L', 3), ('LA', 4), ('P', 3), ('PA', 4), ('I;16', 3)],
)
def test_every_kind_of_png_is_enlarged(run, tmp_path, mode, channels):
  if mode == 'I;16':
    picture = Image.fromarray(np.full((3, 5), 4000, np.uint16))
  elif mode == 'PA':
    picture = Image.fromarray(_noise(3, 5)).quantize(8)
    picture.info['transparency'] = 2  # the index of a colour
  else:
    noise = Image.fromarray(_noise(3, 5, channels))
    picture = noise.convert(mode)
  picture.save(tmp_path / 'a.png')
  run(tmp_path / 'a.png', tmp_path / 'b.png', 1.0)
  before = images.load(tmp_path / 'a.png')
  assert before.shape == (3, 5, channels)
  np.testing.assert_array_equal(
    images.load(tmp_path / 'b.png'), enlarge.fill_hidden(before)
  )


def test_cmyk_is_enlarged_and_its_lost_profile_told(run, tmp_path, capsys):
  ink = np.zeros((8, 8, 4), np.uint8)
  ink[..., 1] = 255  # magenta
  Image.fromarray(ink, mode='CMYK').save(tmp_path / 'a.jpg')
  run(tmp_path / 'a.jpg', tmp_path / 'b.png', 2.0)
  enlarged = images.load(tmp_path / 'b.png')
  np.testing.assert_allclose(enlarged[8, 8], [1, 0, 1], atol=2 / 255)
  warned = f'warning: {tmp_path}/a.jpg: its CMYK is made RGB without a colour'
  assert warned in capsys.readouterr().err


def test_a_field_meets_any_size_itself_tile_by_tile(
  load, tmp_path, monkeypatch
):
  whole, told = fields.parts, []

  def parts(*args, on_part, **keys):
    def listen(done, total):
      told.append((*args[3:], done, total))
      on_part(done, total)

    return whole(*args, **keys, tile=5, on_part=listen)

  monkeypatch.setattr(fields, 'parts', parts)
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
  section = {'name': 'continuous', 'network': 'ramps', 'weights': None}
  run = load('upscale_image')['run']
  images.save(tmp_path / 'a.png', _noise(5, 10, 4))
  section['scale'] = 4.0  # which nothing asks for
  run(section, tmp_path / 'a.png', tmp_path / 'out.png', None, (8, 24))
  assert told == [(8, 24, 1, 2), (8, 24, 2, 2)]
  before = enlarge.fill_hidden(images.load(tmp_path / 'a.png'))[..., :3]
  monkeypatch.undo()
  expected = fields.enlarge(ramps, {}, before, 8, 24)
  enlarged = images.load(tmp_path / 'out.png')
  assert enlarged.shape == (8, 24, 4)
  np.testing.assert_allclose(
    enlarged[..., :3], np.clip(expected, 0, 1), atol=0.51 / 255
  )


@pytest.mark.parametrize('height, width', [(1, 1), (2, 3), (1, 40)])
@pytest.mark.parametrize('scale', [1.3, 3.7])
def test_the_smallest_pictures_are_enlarged(
  run, tmp_path, height, width, scale
):
  images.save(tmp_path / 'a.png', np.full((height, width, 3), 0.4))
  run(tmp_path / 'a.png', tmp_path / 'b.png', scale)
  enlarged = images.load(tmp_path / 'b.png')
  assert enlarged.shape == (round(scale * height), round(scale * width), 3)
  np.testing.assert_allclose(enlarged, 0.4, atol=1e-6)


def test_an_exact_size_is_met_and_read_as_height_width(load, photos, tmp_path):
  names, goal = load('upscale_image'), tmp_path / 'out.png'
  size = names['parse_size'](['90', '230'])
  names['run'](SECTION, photos / 'a.png', goal, None, size)
  enlarged = images.load(goal)
  assert enlarged.shape == (90, 230, 3)
  # the factors differ, and both axes keep the picture's borders
  rows, columns = enlarged[45, :, 2], enlarged[:, 115, 1]
  assert rows[115] == pytest.approx(0.5 + 0.5 / 230 - 0.005, abs=0.004)
  assert columns[45] == pytest.approx(0.4 + 0.4 / 90 - 0.005, abs=0.004)
