"""A run's table: files of a row, rows that are finished, what is printed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from sr3d_jax import capture, table
from sr3d_jax.io import images
from sr3d_jax.types import Gaussians

NAMES = ('left/0.jpg', 'right/0.jpg', 'right/1.b.jpg')


def _scene():
  frames = [
    capture.Frame(
      name=name,
      image=np.full((4, 6, 3), 0.5, np.float32),
      world_to_cam=np.eye(4),
      focal=(6.0, 6.0),
      center=(3.0, 2.0),
      is_test=is_test,
    )
    for is_test in (False, True)
    for name in (NAMES if is_test else ('a.jpg', 'b.jpg'))
  ]
  return capture.make_scene('grey', *capture.make_views(frames))


def _splats(logits):
  num = len(logits)
  return Gaussians(
    means=np.zeros((num, 3)),
    log_scales=np.zeros((num, 3)),
    quats=np.tile([1.0, 0, 0, 0], (num, 1)),
    opacity_logits=np.array(logits),
    sh=np.zeros((num, 1, 3)),
  )


def _measure(gaussians, cameras, names, *, truth, coarse):
  """Greys that rise from view to view, and their PSNR in tens."""
  shape = (cameras.height, cameras.width, 3)
  renders = np.stack([np.full(shape, i / 10) for i in range(len(names))])
  return renders, {name: {'psnr': 10.0 * i} for i, name in enumerate(names)}


def _together(renders, truth):
  """The grey of all of them: 0.1."""
  return {'fid': float(np.mean(renders))}


@pytest.fixture
def run(tmp_path):
  def make(has_truth=True, needs=None):
    measure = SimpleNamespace(
      views=_measure, together=_together, needs=needs or {}
    )
    scene = _scene()
    truth, coarse = (scene.test, None) if has_truth else (None, scene.test)
    return table.Table(
      tmp_path, scene, truth=truth, coarse=coarse, measure=measure,
      drawing={}, bar=False,
    )  # fmt: skip

  return make


def test_views_in_folders_keep_a_picture_each(run, tmp_path):
  run().add('bicubic', _splats([0.0]))
  folder = tmp_path / 'rows' / 'bicubic' / 'renders'
  found = sorted(path.name for path in folder.iterdir())
  assert found == ['left_0.png', 'right_0.png', 'right_1.b.png']
  for i, name in enumerate(found):
    np.testing.assert_allclose(images.load(folder / name), i / 10, atol=2e-3)


def test_a_row_is_its_means_and_its_visible_splats(run, tmp_path, capsys):
  run().add('bicubic', _splats([0.0, 3.0, -9.0]), note='a fact')
  (row,) = json.loads((tmp_path / 'results.json').read_text())
  assert row['psnr'] == 10 and row['splats'] == 2 and row['note'] == 'a fact'
  assert row['fid'] == pytest.approx(0.1)
  assert (tmp_path / row['ply']).exists()
  per_view = json.loads((tmp_path / 'per_view.json').read_text())
  assert per_view['bicubic'][NAMES[2]] == {'psnr': 20.0}
  assert capsys.readouterr().out.split() == (
    ['bicubic', '10.00', '-', '0.10', '-', '2']
  )


def test_a_finished_row_is_kept_when_the_run_goes_on(run, tmp_path):
  run().add('bicubic', _splats([0.0]))
  before = (tmp_path / 'results.json').read_text()
  again = run()
  assert again.has('bicubic') and not again.has('own')
  again.add('bicubic', _splats([0.0, 0.0]))
  assert (tmp_path / 'results.json').read_text() == before
  again.add('own', _splats([0.0, 0.0]))
  assert [row['name'] for row in run().rows] == ['bicubic', 'own']


def test_a_scene_without_truth_is_drawn_at_the_prior_s_scale(run, tmp_path):
  made = run(has_truth=False)
  made.add('own', _splats([0.0]), scale=2.0)
  picture = tmp_path / 'rows' / 'own' / 'renders' / 'left_0.png'
  assert images.load(picture).shape == (8, 12, 3)


def test_the_page_shows_the_psnr_of_the_table(run, monkeypatch):
  told = {}
  monkeypatch.setattr(table.report, 'write', lambda path, **k: told.update(k))
  monkeypatch.setattr(table.report, 'comparison', lambda *_, **__: None)
  made = run()
  made.add('bicubic', _splats([0.0]))
  made.finish('bicubic', orbit=False)
  shown = [view['psnr'] for view in told['views']]
  assert shown == [{'bicubic': 0.0}, {'bicubic': 10.0}, {'bicubic': 20.0}]


def test_columns_stand_under_their_headings():
  entry = {'name': 'own+anchor', 'psnr': 20.5, 'ssim': 0.5, 'splats': 123456}
  line, header = table.line(entry), table.header()
  assert len(line) == len(header)
  for heading, value in (('PSNR', '20.50'), ('splats', '123,456')):
    end = header.index(heading, 8) + len(heading)
    assert line[:end].endswith(value)


def test_a_column_appears_where_a_row_has_it():
  rows = [{'name': 'lr_fit'}, {'name': 'own', 'niqe': 4.125, 'splats': 9}]
  header = table.header(rows)
  assert 'NIQE' in header and 'GMSD' not in header
  end = header.index('NIQE') + len('NIQE')
  for row, value in zip(rows, (' -', '4.12')):
    line = table.line(row, rows)
    assert len(line) == len(header) and line[:end].endswith(value)


def _log(row, name, step, **scalars):
  """Writes what a fit logs of one chunk."""
  stats = row / 'stats'
  stats.mkdir(parents=True, exist_ok=True)
  entry = {'step': step, **scalars}
  (stats / f'{name}_step{step:04d}.json').write_text(json.dumps(entry))


def test_the_fits_of_a_prior_of_many_steps_are_one_curve(run, tmp_path):
  place = tmp_path / 'rows' / 'many'
  for name, pace in (('many', 1.0), ('many.1', 2.0)):
    for step in (10, 20):
      _log(place, name, step, psnr=step + pace, seconds_per_step=pace)
  made = run()
  assert made.curve('many')['step'] == [10, 20, 30, 40]
  assert made.curve('many')['psnr'] == [11, 21, 12, 22]
  made.add('many', _splats([0.0]))
  (row,) = made.rows
  assert row['steps'] == 40 and row['seconds'] == 20 * 1 + 20 * 2


@pytest.mark.parametrize('max_width, width', [(1280, 12), (10, 10)])
def test_exports_have_the_size_of_the_best_row(
  run, tmp_path, monkeypatch, max_width, width
):
  sizes = []

  def draw(gaussians, cameras):
    sizes.append(cameras.width)
    return np.zeros((1, cameras.height, cameras.width, 3))

  monkeypatch.setattr(table, 'render_views', draw)
  monkeypatch.setattr(table, 'MAX_ORBIT_WIDTH', max_width)
  made = run(has_truth=False)
  made.add('own', _splats([0.0]), scale=2.0)
  made.finish('own')
  assert sizes == [width]
  cameras = json.loads((tmp_path / 'cameras.json').read_text())
  assert {(camera['width'], camera['height']) for camera in cameras} == {
    (12, 8)
  }


def test_a_column_that_lacks_its_weights_is_told_with_their_file(
  run, tmp_path, capsys
):
  made = run(needs={'kid': 'weights/inception.safetensors'})
  made.add('own', _splats([0.0]))
  capsys.readouterr()
  made.finish('own', orbit=False)
  told = 'KID needs weights/inception.safetensors'
  shown = capsys.readouterr().out
  assert told in shown and 'FID' in shown.replace(told, '')
  assert told in (tmp_path / 'report.html').read_text()


def test_a_row_that_is_left_out_is_told_until_it_is_there(
  run, tmp_path, capsys
):
  made = run()
  made.add('own', _splats([0.0]))
  made.skip('rlfn', 'no weights')
  capsys.readouterr()
  run().finish('own', orbit=False)
  told = 'rlfn is left out: no weights'
  assert told in capsys.readouterr().out
  assert told in (tmp_path / 'report.html').read_text()
  again = run()
  again.add('rlfn', _splats([0.0]))
  assert json.loads((tmp_path / 'skipped.json').read_text()) == {}
