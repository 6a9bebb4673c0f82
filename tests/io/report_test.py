import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from sr3d_jax.io import report
from sr3d_jax.types import Gaussians

TABLE = [
  {'name': 'a', 'psnr': 20.0, 'ssim': 0.9, 'lpips': 0.2, 'splats': 10},
  {'name': 'b', 'psnr': 21.001, 'ssim': 0.8, 'lpips': 0.3, 'splats': 20},
  {'name': 'c', 'psnr': 21.002, 'ssim': None, 'lpips': 0.25, 'seconds': 90},
  {'name': 'hr', 'psnr': 30.0, 'ssim': 1.0, 'lpips': 0.1, 'bound': True},
]


def pictures(height=60, width=80):
  """A smooth truth; `a` and `b` disagree only around (row 45, column 20)."""
  rows, columns = np.mgrid[:height, :width]
  truth = np.stack([rows / height, columns / width, rows * 0 + 0.5], -1) * 0.9
  a = truth + 0.1
  b = a.copy()
  b[42:48, 17:23] = 0
  return {'a': a.astype(np.float32), 'b': b, 'truth': truth}


def written(tmp_path, **changes):
  """Writes a page and returns its text and the data inside."""
  arguments = {
    'title': 'A title',
    'subtitle': 'A subtitle',
    'table': TABLE,
    'views': [{'name': 'v', 'images': pictures(), 'truth': 'truth'}],
    'curves': {'a': {'step': [1, 2], 'psnr': [10, 20], 'loss': [1, np.nan]}},
  }
  report.write(tmp_path / 'report.html', **{**arguments, **changes})
  page = (tmp_path / 'report.html').read_text()
  found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
  return page, json.loads(found[1])


def pixels(uri):
  data = base64.b64decode(uri.partition(',')[2])
  return np.asarray(Image.open(io.BytesIO(data)))


def test_the_page_asks_nothing_of_the_network(tmp_path):
  page, _ = written(tmp_path)
  assert '{{' not in page
  markup = re.sub(r'data:[^"\')]*|http://www.w3.org/2000/svg', '', page)
  assert not re.findall(r'https?:|@import|<link|src="|fetch\(', markup)


def test_text_cannot_break_out_of_the_page(tmp_path):
  evil = '</script><script>alert(1)</script>'
  page, data = written(tmp_path, title=evil, notes=[evil])
  assert page.count('<script') == 2
  assert data['title'] == evil
  assert data['notes'] == [evil]


def test_the_best_of_each_column_is_marked_among_honest_rows(tmp_path):
  _, data = written(tmp_path)
  assert data['table']['columns'] == [
    *('PSNR, dB', 'SSIM', 'LPIPS', 'splats', 'time'),
  ]
  best = {
    row['name']: [cell['best'] for cell in row['cells']]
    for row in data['table']['rows']
  }
  assert best['a'] == [False, True, True, False, False]
  assert best['b'] == [True, False, False, False, False]  # ties as printed
  assert best['c'] == [True, False, False, False, False]
  assert best['hr'] == [False] * 5
  texts = [cell['text'] for cell in data['table']['rows'][2]['cells']]
  assert texts == ['21.00', '–', '0.2500', '–', '90 s']


def test_the_detail_is_where_the_methods_differ(tmp_path):
  _, data = written(tmp_path)
  (view,) = data['views']
  x, y, w, h = np.array(view['box']) * [80, 60, 80, 60]
  assert (w, h) == (24, 24)
  assert x <= 17 and x + w >= 23
  assert y <= 42 and y + h >= 48
  left, top = round(x), round(y)
  np.testing.assert_array_equal(
    pixels(view['crops']['truth']),
    np.round(pictures()['truth'] * 255)[top : top + 24, left : left + 24],
  )


def test_errors_share_one_scale_and_the_larger_is_brighter(tmp_path):
  _, data = written(tmp_path)
  errors = data['views'][0]['errors']
  assert set(errors) == {'a', 'b'}
  assert pixels(errors['b']).max() > pixels(errors['a']).max()


def test_a_view_shows_the_psnr_it_is_told_and_no_other(tmp_path):
  view = {'name': 'v', 'images': pictures(), 'truth': 'truth'}
  told = view | {'psnr': {'a': 12.5, 'b': np.inf}}
  _, data = written(tmp_path, views=[view, told])
  silent, shown = data['views']
  assert silent['psnr'] == {}
  assert shown['psnr'] == {'a': 12.5, 'b': None}


def test_large_images_survive_the_compression(tmp_path):
  _, data = written(tmp_path)
  image = pixels(data['views'][0]['images']['truth'])
  assert image.shape == (60, 80, 3)
  assert np.abs(image / 255 - pictures()['truth']).mean() < 0.01


def test_what_is_not_finite_becomes_null(tmp_path):
  _, data = written(tmp_path)
  assert data['curves']['a']['loss'] == [1, None]


def test_histograms_are_shares(tmp_path):
  gaussians = Gaussians(
    means=np.zeros((4, 3)),
    log_scales=np.log([[1, 2, 10], [1, 1, 1], [5, 10, 2], [10, 1, 1]]),
    quats=np.zeros((4, 4)),
    opacity_logits=np.array([0, 0, 0, -np.inf], np.float32),
    sh=np.zeros((4, 1, 3)),
  )
  _, data = written(tmp_path, table=[{'name': 'a', 'gaussians': gaussians}])
  opacity, size = (data['histograms'][k]['a'] for k in ('opacity', 'size'))
  assert sum(opacity['y']) == pytest.approx(1)
  assert opacity['y'][0] == pytest.approx(1 / 4)  # the dead one
  assert size['y'][-1] == pytest.approx(2 / 3)  # of the living: 10, 1, 10
  assert size['x'][-1] == pytest.approx(10, rel=0.05)


def test_a_run_with_nothing_to_show_still_has_a_page(tmp_path):
  nothing = Gaussians(
    means=np.zeros((0, 3)),
    log_scales=np.zeros((0, 3)),
    quats=np.zeros((0, 4)),
    opacity_logits=np.zeros(0),
    sh=np.zeros((0, 1, 3)),
  )
  row = {'name': 'a', 'psnr': float('nan'), 'gaussians': nothing}
  _, data = written(tmp_path, table=[row], views=[], curves={})
  assert data['histograms'] == {}
  assert data['table']['rows'][0]['cells'] == [{'text': 'nan', 'best': False}]


def test_a_video_is_embedded(tmp_path):
  (tmp_path / 'orbit.mp4').write_bytes(b'\x00\x01\x02')
  _, data = written(tmp_path, video=tmp_path / 'orbit.mp4')
  assert data['video'] == 'data:video/mp4;base64,AAEC'


def test_views_without_truth_or_of_mixed_sizes_are_shown(tmp_path):
  images = pictures()
  images = {'a': images['a'][::2, ::2], 'b': images['b']}
  view = {'name': 'v', 'images': images, 'truth': None}
  _, data = written(tmp_path, views=[view])
  (shown,) = data['views']
  assert (shown['truth'], shown['errors'], shown['psnr']) == (None, {}, {})
  crop = pixels(shown['crops']['a'])
  assert crop.shape == (24, 24, 3)
  left, top = (round(f * n) for f, n in zip(shown['box'], (80, 60)))
  square = np.round(np.kron(images['a'], np.ones((2, 2, 1))) * 255)
  np.testing.assert_array_equal(crop, square[top : top + 24, left : left + 24])


def test_errors_name_the_view(tmp_path):
  images = {**pictures(), 'a': np.full((60, 80, 3), np.nan)}
  with pytest.raises(ValueError, match='v / a holds values that are not fin'):
    written(tmp_path, views=[{'name': 'v', 'images': images, 'truth': 'truth'}])
  assert not (tmp_path / 'report.html').exists()


def test_comparison_keeps_the_pixels_of_the_input_square(tmp_path):
  images = pictures()
  small = {'input': images['truth'][::4, ::4], 'truth': images['truth']}
  report.comparison(tmp_path / 'a.png', small, scale=2, zoom=2)
  sheet = np.asarray(Image.open(tmp_path / 'a.png'))
  gap = 2
  assert sheet.shape == (120 + 18, 2 * 160 + gap, 3)
  panel = sheet[:120, :160]
  expected = np.kron(small['input'], np.ones((8, 8, 1)))
  same = np.abs(panel - np.round(expected * 255)).max(-1) <= 1
  # All but the inset (48 px square), the box and its frame.
  assert same.mean() > 1 - (48**2 + 24 * 4 * 3) / (120 * 160)
