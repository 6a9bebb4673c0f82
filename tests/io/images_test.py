"""Image files, from disk to arrays and back."""

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps

from sr3d_jax.io import images

U8_GREYS = np.array([100, 200], np.uint8)


def _ramp(height=4, width=6, channels=3):
  count = height * width * channels
  levels = np.arange(count, dtype=np.uint8) * (255 // count)
  return levels.reshape(height, width, channels)


@pytest.mark.parametrize('channels', [3, 4])
def test_save_then_load_is_identity(tmp_path, channels):
  image = _ramp(channels=channels) / np.float32(255)
  images.save(tmp_path / 'new' / 'a.png', image)
  loaded = images.load(tmp_path / 'new' / 'a.png')
  assert loaded.dtype == np.float32
  np.testing.assert_array_equal(loaded, image)


def test_saving_rounds_to_the_nearest_level_and_clips(tmp_path):
  image = np.array([-1, 0.4 / 255, 0.6 / 255, 2])[None, :, None]
  images.save(tmp_path / 'a.png', np.repeat(image, 3, axis=-1))
  loaded = images.load(tmp_path / 'a.png')[0, :, 0]
  np.testing.assert_array_equal(loaded, np.float32([0, 0, 1 / 255, 1]))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation_turns_the_picture(tmp_path, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  Image.fromarray(_ramp()).save(tmp_path / 'a.png', exif=exif)
  with Image.open(tmp_path / 'a.png') as image:
    expected = np.asarray(ImageOps.exif_transpose(image)) / np.float32(255)
  np.testing.assert_array_equal(images.load(tmp_path / 'a.png'), expected)
  deep = images.Metadata(bits=16, exif=exif.tobytes())
  images.save(tmp_path / 'a.png', _ramp(), deep)
  np.testing.assert_array_equal(images.load(tmp_path / 'a.png'), expected)


def test_sixteen_bit_grey_keeps_its_levels(tmp_path):
  levels = np.array([[0, 1, 257, 65535]], np.uint16)
  Image.fromarray(levels).save(tmp_path / 'a.png')
  loaded = images.load(tmp_path / 'a.png')
  assert loaded.shape == (1, 4, 3)
  np.testing.assert_allclose(loaded[0, :, 1], levels[0] / 65535, rtol=1e-6)


@pytest.mark.parametrize('channels, height', [(3, 9), (4, 9), (3, 600)])
def test_sixteen_bit_colour_keeps_its_levels(tmp_path, channels, height):
  rng = np.random.default_rng(0)
  shape = (height, 7, channels)  # the higher one is written in bands
  levels = rng.integers(0, 65536, shape).astype(np.uint16)
  deep = images.Metadata(bits=16)
  images.save(tmp_path / 'a.png', levels / np.float32(65535), deep)
  loaded = images.load(tmp_path / 'a.png')
  np.testing.assert_array_equal(loaded, levels / np.float32(65535))
  assert images.load_metadata(tmp_path / 'a.png') == deep
  with Image.open(tmp_path / 'a.png') as image:  # which sees the upper halves
    np.testing.assert_array_equal(np.asarray(image), levels >> 8)


def _described(orientation=6):
  """EXIF with a camera, a focal length, a size and a place, and a profile."""
  exif = Image.Exif()
  exif[ExifTags.Base.Make] = 'Lens & Sons'
  exif[ExifTags.Base.Orientation] = orientation
  exif[ExifTags.IFD.Exif] = {
    ExifTags.Base.FocalLength: 4.25,
    ExifTags.Base.ExifImageWidth: 6,
  }
  exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: 'N'}
  profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
  return {'exif': exif, 'icc_profile': profile}


@pytest.mark.parametrize('source', ['a.png', 'a.jpg'])
@pytest.mark.parametrize(
  'name, bits', [('b.png', 8), ('b.png', 16), ('b.jpg', 8)]
)
def test_metadata_survives_but_for_size_and_orientation(
  tmp_path, source, name, bits
):
  described = _described()
  Image.fromarray(_ramp()).save(tmp_path / source, **described)
  metadata = images.load_metadata(tmp_path / source)
  assert metadata.bits == 8
  images.save(tmp_path / name, _ramp(), metadata._replace(bits=bits))
  again = images.load_metadata(tmp_path / name)
  assert again == metadata._replace(bits=bits)
  with Image.open(tmp_path / name) as image:
    exif = image.getexif()
    assert image.info['icc_profile'] == described['icc_profile']
  assert exif[ExifTags.Base.Make] == 'Lens & Sons'
  assert ExifTags.Base.Orientation not in exif
  assert exif.get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.FocalLength: 4.25}
  assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == 'N'


def test_a_plain_file_has_nothing_to_say(tmp_path):
  images.save(tmp_path / 'a.png', _ramp())
  assert images.load_metadata(tmp_path / 'a.png') == images.PLAIN


def test_a_profile_of_grey_is_left_out_aloud(tmp_path):
  profile = bytearray(_described()['icc_profile'])
  profile[16:20] = b'GRAY'
  grey = Image.fromarray(_ramp()[..., 0])
  grey.save(tmp_path / 'a.png', icc_profile=bytes(profile))
  with pytest.warns(UserWarning, match='its GRAY profile is left out'):
    metadata = images.load_metadata(tmp_path / 'a.png')
  assert metadata.icc_profile == b''


def test_exif_that_is_broken_is_left_out_aloud(tmp_path):
  Image.fromarray(_ramp()).save(tmp_path / 'a.png', exif=b'no such thing')
  with pytest.warns(UserWarning, match='its EXIF is broken and left out'):
    metadata = images.load_metadata(tmp_path / 'a.png')
  assert metadata == images.PLAIN
  with pytest.warns(UserWarning, match='its EXIF is broken'):
    upright = images.load(tmp_path / 'a.png')
  np.testing.assert_array_equal(upright, _ramp() / np.float32(255))


def test_a_jpeg_refuses_what_it_cannot_hold(tmp_path):
  with pytest.raises(
    ValueError, match=r'a\.jpg cannot hold transparency: .*png'
  ):
    images.save(tmp_path / 'a.jpg', _ramp(channels=4))
  with pytest.raises(ValueError, match=r'cannot hold 16 bits a channel: .*png'):
    images.save(tmp_path / 'a.jpg', _ramp(), images.Metadata(bits=16))
  with pytest.raises(
    ValueError, match='cannot hold 65501 x 1 px, since a side'
  ):
    images.save(tmp_path / 'a.jpg', np.zeros((1, 65501, 3)))
  assert not list(tmp_path.iterdir())


def test_grey_and_palette_become_colour(tmp_path):
  Image.fromarray(_ramp()[..., 0]).save(tmp_path / 'grey.png')
  colors = Image.fromarray(_ramp())
  colors.quantize(64).save(tmp_path / 'palette.png')
  assert images.load(tmp_path / 'grey.png').shape == (4, 6, 3)
  palette = images.load(tmp_path / 'palette.png')
  np.testing.assert_allclose(palette, _ramp() / 255, atol=0.03)


def test_inks_become_the_colours_they_print(tmp_path):
  inks = np.zeros((8, 48, 4), np.uint8)  # C, M, Y, K on six squares
  for i, ink in enumerate(
    [(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0),
     (0, 0, 0, 255), (102, 0, 0, 51)]
  ):  # fmt: skip
    inks[:, 8 * i : 8 * i + 8] = ink
  Image.fromarray(inks, mode='CMYK').save(tmp_path / 'a.jpg', quality=95)
  colors = images.load(tmp_path / 'a.jpg')[4, 4::8]
  expected = np.array(
    [(1, 1, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 0), (0.48, 0.8, 0.8)]
  )
  np.testing.assert_allclose(colors, expected, atol=3 / 255)
  with pytest.warns(UserWarning, match='its CMYK is made RGB without a colour'):
    assert images.load_metadata(tmp_path / 'a.jpg') == images.PLAIN


def test_transparency_of_grey_and_of_a_palette_is_kept(tmp_path):
  grey = np.stack([_ramp()[..., 0], 255 - _ramp()[..., 1]], axis=-1)
  Image.fromarray(grey).save(tmp_path / 'grey.png')
  expected = grey[..., [0, 0, 0, 1]] / np.float32(255)
  np.testing.assert_array_equal(images.load(tmp_path / 'grey.png'), expected)
  palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode='P')
  palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
  palette.save(tmp_path / 'palette.png', transparency=bytes([0, 51, 255]))
  np.testing.assert_allclose(
    images.load(tmp_path / 'palette.png'),
    [[[1, 0, 0, 0], [0, 1, 0, 0.2], [0, 0, 1, 1]]],
    atol=1e-6,
  )


def test_a_phone_s_second_picture_is_not_looked_at(tmp_path):
  first, second = (Image.fromarray(np.full((8, 8, 3), x)) for x in U8_GREYS)
  more = dict(save_all=True, append_images=[second])
  first.save(tmp_path / 'a.jpg', format='MPO', **more)
  loaded = images.load(tmp_path / 'a.jpg')
  np.testing.assert_allclose(loaded, U8_GREYS[0] / 255, atol=1e-6)


def test_a_picture_as_large_as_a_phone_takes_is_read(tmp_path, monkeypatch):
  Image.fromarray(_ramp()).save(tmp_path / 'a.png')
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 5)  # of Pillow: not asked
  assert images.load(tmp_path / 'a.png').shape == (4, 6, 3)
  monkeypatch.setattr(images, 'MAX_PIXELS', 23)
  with pytest.raises(ValueError, match=r'a\.png is 6 x 4 px, .* at most'):
    images.load(tmp_path / 'a.png')


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_a_cut_file_is_one_clear_error(tmp_path, suffix):
  path = tmp_path / f'cut{suffix}'
  noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
  images.save(path, noise)
  path.write_bytes(path.read_bytes()[:2000])
  with pytest.raises(ValueError, match=f'cut{suffix} is not a readable image'):
    images.load(path)


def test_a_missing_file_is_reported_as_missing(tmp_path):
  with pytest.raises(FileNotFoundError):
    images.load(tmp_path / 'none.png')


@pytest.mark.parametrize('shape', [(4, 6), (4, 6, 2), (1, 4, 6, 3)])
def test_saving_wants_three_or_four_channels(tmp_path, shape):
  with pytest.raises(ValueError, match='H, W, 3'):
    images.save(tmp_path / 'a.png', np.zeros(shape))


def test_nan_is_not_written(tmp_path):
  with pytest.raises(ValueError, match='not finite'):
    images.save(tmp_path / 'a.png', np.full((2, 2, 3), np.nan))
  long = np.zeros((700, 2, 3))
  long[699, 1, 2] = np.inf
  with pytest.raises(ValueError, match='not finite'):
    images.save(tmp_path / 'a.png', long)
  assert not list(tmp_path.iterdir())


def test_listing_is_sorted_and_keeps_to_images(tmp_path):
  for name in ('b.JPG', 'a.png', '.hidden.png', 'notes.txt'):
    (tmp_path / name).touch()
  assert [p.name for p in images.list_images(tmp_path)] == ['a.png', 'b.JPG']
  with pytest.raises(FileNotFoundError, match='not a folder'):
    images.list_images(tmp_path / 'none')
  (tmp_path / 'folder.png').mkdir()
  assert len(images.list_images(tmp_path)) == 2
  (tmp_path / 'folder.png' / 'deeper').mkdir()
  with pytest.raises(
    FileNotFoundError, match='its subfolders are not searched'
  ):
    images.list_images(tmp_path / 'folder.png')
  with pytest.raises(FileNotFoundError, match=r'holds no .*\.jpeg files$'):
    images.list_images(tmp_path / 'folder.png' / 'deeper')
