import av
import numpy as np
import pytest

from sr3d_jax.io import video


def moving_blocks(height=48, width=64, num_frames=5):
  """Flat 16 px blocks of strong colours, which chroma subsampling keeps."""
  rng = np.random.default_rng(0)
  blocks = rng.uniform(size=(num_frames, height // 16, width // 16, 3))
  return blocks.repeat(16, axis=1).repeat(16, axis=2)


def test_frames_come_back_in_order_and_in_colour(tmp_path):
  frames = moving_blocks()
  video.save(tmp_path / 'a.mp4', frames, fps=12.5)
  loaded = video.load(tmp_path / 'a.mp4') / 255
  assert loaded.shape == frames.shape
  centers = np.s_[:, 8::16, 8::16]
  np.testing.assert_allclose(loaded[centers], frames[centers], atol=0.03)


def test_players_are_told_what_they_need(tmp_path):
  video.save(tmp_path / 'a.mp4', moving_blocks(), fps=12.5)
  with av.open(tmp_path / 'a.mp4') as container:
    stream = container.streams.video[0]
    assert stream.average_rate == 25 / 2
    assert stream.codec_context.name == 'h264'
    assert stream.codec_context.pix_fmt == 'yuv420p'
    assert stream.codec_context.colorspace == 1  # BT.709
    assert stream.codec_context.color_range == 1  # limited
  data = (tmp_path / 'a.mp4').read_bytes()
  assert data.index(b'moov') < data.index(b'mdat')  # plays while it loads
  assert [x.name for x in tmp_path.iterdir()] == ['a.mp4']


def test_bytes_and_floats_make_the_same_film(tmp_path):
  frames = np.round(moving_blocks() * 255)
  video.save(tmp_path / 'a.mp4', frames.astype(np.uint8))
  video.save(tmp_path / 'b.mp4', frames / 255)
  first, second = (tmp_path / x for x in ('a.mp4', 'b.mp4'))
  assert first.read_bytes() == second.read_bytes()


def test_odd_sizes_grow_by_one_pixel_and_nothing_moves(tmp_path):
  frames = moving_blocks()[:, :47, :63]
  video.save(tmp_path / 'a.mp4', frames)
  loaded = video.load(tmp_path / 'a.mp4') / 255
  assert loaded.shape == (5, 48, 64, 3)
  np.testing.assert_allclose(
    loaded[:, 8::16, 8::16], frames[:, 8::16, 8::16], atol=0.03
  )


def test_a_picture_is_not_a_film(tmp_path):
  with pytest.raises(ValueError, match=r'got shape \(8, 8, 3\)'):
    video.save(tmp_path / 'a.mp4', np.zeros((8, 8, 3)))


def test_what_is_no_film_is_told(tmp_path):
  with pytest.raises(FileNotFoundError):
    video.load(tmp_path / 'a.mp4')
  (tmp_path / 'a.mp4').write_bytes(b'no film' * 99)
  with pytest.raises(ValueError, match=r'a\.mp4 is no film that can be read'):
    video.load(tmp_path / 'a.mp4')
