"""What cannot be enlarged is refused in one line, and nothing half-written."""

import os
import struct
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

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
    (float('inf'), None, r'png: inf x inf px .* scale 250.00 is the largest'),
    (None, (40, 400), r'png: size 40,400 is less than its own, 80,100 \(he'),
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


@pytest.mark.parametrize(
  'error', [MemoryError(), jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: 9')]
)
def test_a_picture_beyond_memory_does_not_stop_the_others(
  run, photos, tmp_path, monkeypatch, error
):
  def upsample(params, views):
    if views.shape[1] == 80:
      raise error
    return views

  images.save(photos / 'c.png', _noise(4, 4))
  greedy = one_shot(init=lambda key: {}, upsample=upsample, scale=1.0)
  monkeypatch.setattr(resolve, 'build', lambda *_: greedy)
  told = (
    r'2 of 3 .*, the others are in .*a\.png: too little memory for 100 x 80'
  )
  with pytest.raises(ValueError, match=told):
    run(photos, tmp_path / 'out', 1.0)
  assert [x.name for x in (tmp_path / 'out').iterdir()] == ['c.png']


def test_jpeg_refuses_transparency_and_length_before_the_work(
  run, photos, tmp_path
):
  with pytest.raises(ValueError, match=r'b\.jpg cannot hold transparency'):
    run(photos / 'b.png', tmp_path / 'b.jpg', 2.0)
  images.save(tmp_path / 'line.png', _noise(1, 40))
  with pytest.raises(ValueError, match=r'cannot hold 80000 x 2000 px.*65500'):
    run(tmp_path / 'line.png', tmp_path / 'b.jpg', 2000.0)
