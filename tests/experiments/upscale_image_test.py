"""Pictures are enlarged, or refused in one clear line before any work."""

import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from configs.priors import bicubic
from sr3d_jax import resolve
from sr3d_jax.io import images
from sr3d_jax.types import one_shot

SECTION = bicubic.get_config()


@pytest.fixture
def run(load):
  """Enlarges by bicubic: (source, target, scale, size)."""
  experiment = load('upscale_image')['run']
  return lambda *args: experiment(SECTION, *args)


def _command(*flags):
  """Runs the command line; returns its exit code and what a user reads."""
  done = subprocess.run(
    [sys.executable, '-m', 'experiments.upscale_image', *map(str, flags)],
    capture_output=True,
    text=True,
    check=False,
  )
  lines = done.stderr.splitlines()
  told = [x for x in lines if x.strip() and 'picture/s' not in x]
  return done.returncode, done.stdout, told


def _noise(height, width, channels=3, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, channels), np.uint8)


def _promising_png(width, height):
  """A few bytes that promise a picture of any size."""
  header = struct.pack('>2I5B', width, height, 8, 2, 0, 0, 0)
  chunks = [(b'IHDR', header), (b'IDAT', b''), (b'IEND', b'')]
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    struct.pack('>I', len(data)) + kind + data
    + struct.pack('>I', zlib.crc32(kind + data))
    for kind, data in chunks
  )  # fmt: skip


def test_one_command_enlarges_a_photo_with_the_shipped_weights(tmp_path):
  images.save(tmp_path / 'photo.jpg', _noise(10, 20))
  code, said, warned = _command(
    f'--input={tmp_path}/photo.jpg',
    f'--output={tmp_path}/new/out.png',
    '--scale=3.7',
  )
  assert code == 0, warned
  assert said == f'{tmp_path}/new/out.png: 74 x 37\n'
  assert not warned
  assert images.load(tmp_path / 'new' / 'out.png').shape == (37, 74, 3)


def test_a_folder_goes_on_past_what_is_broken(tmp_path):
  folder = tmp_path / 'in'
  for name in ('a.png', 'c.png'):
    images.save(folder / name, _noise(4, 6))
  (folder / 'b.jpg').write_text('not a picture')
  (folder / 'notes.txt').touch()
  (folder / 'd.png').mkdir()
  code, said, warned = _command(
    f'--input={folder}',
    f'--output={tmp_path}/out',
    '--size=8,9',
    '--config=configs/priors/bicubic.py',
  )
  assert code == 1
  assert said.splitlines() == [
    f'{tmp_path}/out/{name}.png: 9 x 8' for name in 'ac'
  ]
  assert warned == [
    'error: 1 of 3 pictures could not be enlarged, the others are in '
    f'{tmp_path}/out: {folder}/b.jpg is not a readable image: a PNG or JPEG is '
    'wanted'
  ]
  assert sorted(x.name for x in (tmp_path / 'out').iterdir()) == [
    'a.png',
    'c.png',
  ]


def test_a_scale_beyond_all_memory_is_one_line(tmp_path):
  images.save(tmp_path / 'a.png', _noise(20, 30))
  code, said, warned = _command(
    f'--input={tmp_path}/a.png', f'--output={tmp_path}/b.png', '--scale=1000'
  )
  assert (code, said) == (1, '')
  assert warned == [
    f'error: {tmp_path}/a.png: 30,000 x 20,000 px would be 600 megapixels, and '
    'at most 500 are made: scale 912.87 is the largest for its 30 x 20 px'
  ]
  assert [x.name for x in tmp_path.iterdir()] == ['a.png']


def test_a_folder_is_upscaled_with_its_transparency(run, photos, tmp_path):
  paths = run(photos, tmp_path / 'out', 2.0)
  assert [path.name for path in paths] == ['a.png', 'b.png']
  opaque, clear = (images.load(path) for path in paths)
  assert opaque.shape == (160, 200, 3)
  assert clear.shape == (160, 200, 4)
  # columns / 100 at pixel centres: column 50.25 of the original
  assert clear[80, 101, 3] == pytest.approx(0.5025, abs=0.004)


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
  np.testing.assert_array_equal(images.load(tmp_path / 'b.png'), before)


def test_cmyk_is_enlarged_and_its_lost_profile_told(run, tmp_path, capsys):
  ink = np.zeros((8, 8, 4), np.uint8)
  ink[..., 1] = 255  # magenta
  Image.fromarray(ink, mode='CMYK').save(tmp_path / 'a.jpg')
  run(tmp_path / 'a.jpg', tmp_path / 'b.png', 2.0)
  enlarged = images.load(tmp_path / 'b.png')
  np.testing.assert_allclose(enlarged[8, 8], [1, 0, 1], atol=2 / 255)
  warned = f'warning: {tmp_path}/a.jpg: its CMYK is made RGB without a colour'
  assert warned in capsys.readouterr().err


@pytest.mark.parametrize('height, width', [(1, 1), (2, 3), (1, 40)])
@pytest.mark.parametrize('scale', [1.0, 1.3, 3.7])
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


@pytest.mark.parametrize(
  'words', [['230x90'], ['90'], ['1', '2', '3'], ['-9', '9'], ['90', '']]
)
def test_a_size_of_other_words_is_refused(load, words):
  with pytest.raises(ValueError, match=r'H,W \(height, then width\) as in'):
    load('upscale_image')['parse_size'](words)


@pytest.mark.parametrize(
  'scale, size, told',
  [
    (0.5, None, 'scale must be at least 1, got 0.5: .* mean 2?'),
    (-4.0, None, 'scale must be at least 1, got -4'),
    (float('nan'), None, 'scale must be at least 1, got nan'),
    (float('inf'), None, 'inf x inf px .* scale 250.00 is the largest'),
    (None, (40, 400), r'size 40,400 is less than its own, 80,100 \(height'),
    (None, (400, 40), 'size 400,40 is less than its own'),
    (None, (30_000, 30_000), '900 megapixels, and at most 500 are made'),
    (2.0, (160, 200), 'scale and size are both given'),
  ],
)
def test_a_size_that_cannot_be_is_refused(
  run, photos, tmp_path, scale, size, told
):
  with pytest.raises(ValueError, match=told):
    run(photos / 'a.png', tmp_path / 'b.png', scale, size)
  assert not (tmp_path / 'b.png').exists()


def test_the_largest_scale_that_is_named_is_taken(load):
  target_size = load('upscale_image')['target_size']
  for sides in ((80, 100), (1, 1), (7, 1999), (20_000, 25_000)):
    with pytest.raises(ValueError, match='is the largest') as told:
      target_size(Path('a.png'), *sides, 1e6, None)
    largest = float(re.search('scale (.*) is the', str(told.value))[1])
    height, width = target_size(Path('a.png'), *sides, largest, None)
    assert height * width == pytest.approx(images.MAX_PIXELS, rel=0.01)


def _text(path):
  path.write_text('a letter')


def _cut(path):
  images.save(path, _noise(64, 64))
  path.write_bytes(path.read_bytes()[:2000])


def _gif(path):
  frames = [Image.fromarray(_noise(4, 4, seed=i)) for i in range(2)]
  frames[0].save(path, format='GIF', save_all=True, append_images=frames[1:])


def _moving_png(path):
  frames = [Image.fromarray(_noise(4, 4, seed=i)) for i in range(3)]
  frames[0].save(path, format='PNG', save_all=True, append_images=frames[1:])


def _vast(path):
  path.write_bytes(_promising_png(30_000, 30_000))


@pytest.mark.parametrize(
  'name, write, told',
  [
    ('a.jpg', _text, 'a.jpg is not a readable image: a PNG or JPEG is wanted'),
    ('a.png', Path.touch, 'a.png is empty: a PNG or JPEG is wanted'),
    ('a.jpg', _cut, 'a.jpg is not a readable image: .*truncated'),
    ('a.gif', _gif, 'a.gif is not a readable image: a PNG or JPEG is wanted'),
    ('a.png', _moving_png, 'a.png is an animation of 3 frames: save one'),
    ('a.png', _vast, '30000 x 30000 px, 900 megapixels, and at most 500 are'),
  ],
)
def test_what_is_no_picture_is_refused(run, tmp_path, name, write, told):
  write(tmp_path / name)
  with pytest.raises(ValueError, match=told):
    run(tmp_path / name, tmp_path / 'new' / 'b.png', 2.0)
  assert [x.name for x in tmp_path.iterdir()] == [name]


def test_an_input_that_is_not_there_is_named(run, tmp_path):
  with pytest.raises(FileNotFoundError, match=r'there is no .*a\.png: name an'):
    run(tmp_path / 'a.png', tmp_path / 'b.png', 2.0)
  images.save(tmp_path / 'in' / 'deeper' / 'a.png', _noise(4, 4))
  with pytest.raises(FileNotFoundError, match='subfolders are not searched'):
    run(tmp_path / 'in', tmp_path / 'out', 2.0)


def test_no_enlargement_replaces_a_picture(run, photos, tmp_path):
  before = (photos / 'a.png').read_bytes()
  for path in (photos, photos / 'a.png'):
    goal = photos / '..' / path.relative_to(tmp_path)  # by another name
    with pytest.raises(ValueError, match='input and output are both'):
      run(path, goal, 2.0)
  assert (photos / 'a.png').read_bytes() == before
  images.save(photos / 'b.jpg', images.load(photos / 'a.png'))
  told = r'b\.jpg and b\.png of .* would all become .*out.b\.png'
  with pytest.raises(ValueError, match=told):
    run(photos, tmp_path / 'out', 2.0)
  assert not (tmp_path / 'out').exists()


def test_an_output_that_cannot_be_is_refused_before_the_work(
  run, photos, tmp_path, monkeypatch
):
  def work(*args):
    raise AssertionError('the picture was enlarged')

  idle = one_shot(init=lambda key: {}, upsample=work, scale=2.0)
  monkeypatch.setattr(resolve, 'build', lambda *_: idle)
  file = photos / 'a.png'
  for source, target, told in [
    (file, tmp_path, f'{tmp_path} is a folder: name a file in it'),
    (file, file / 'b.png', 'b.png cannot be written, since .*a.png takes no'),
    (photos, file, 'a.png is a file, and .*photos a folder: name a folder'),
    (file, tmp_path / 'b.gif', r'b.gif should end in one of \.png, \.jpg'),
    (file, tmp_path / 'b', 'b should end in one of'),
  ]:
    with pytest.raises((OSError, ValueError), match=told):
      run(source, target, 2.0)
  assert [x.name for x in tmp_path.iterdir()] == ['photos']


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_a_protected_output_is_refused(run, photos, tmp_path):
  (tmp_path / 'b.png').touch(mode=0o444)
  with pytest.raises(PermissionError, match=r'b\.png is there and protected'):
    run(photos / 'a.png', tmp_path / 'b.png', 2.0)
  (tmp_path / 'closed').mkdir(mode=0o555)
  told = r'closed takes no files \(Permission denied\): choose another place'
  with pytest.raises(OSError, match=told):
    run(photos / 'a.png', tmp_path / 'closed' / 'b.png', 2.0)


def test_what_a_network_cannot_give_is_not_written(
  run, photos, tmp_path, monkeypatch
):
  broken = one_shot(
    init=lambda key: {},
    upsample=lambda params, images: images.at[0, 3, 4, 1].set(np.nan),
    scale=1.0,
  )
  monkeypatch.setattr(resolve, 'build', lambda *_: broken)
  with pytest.raises(FloatingPointError, match=r'a\.png: .* are not finite: '):
    run(photos / 'a.png', tmp_path / 'out' / 'b.png', 1.0)
  assert not (tmp_path / 'out').exists()


def test_jpeg_refuses_transparency_and_length_before_the_work(
  run, photos, tmp_path
):
  with pytest.raises(ValueError, match=r'b\.jpg cannot hold transparency'):
    run(photos / 'b.png', tmp_path / 'b.jpg', 2.0)
  images.save(tmp_path / 'line.png', _noise(1, 40))
  with pytest.raises(ValueError, match=r'cannot hold 80000 x 2000 px.*65500'):
    run(tmp_path / 'line.png', tmp_path / 'b.jpg', 2000.0)
