import json

import numpy as np
import pytest

from sr3d_jax.io.progress import Progress, load_curves


def test_curves_come_back_in_the_order_of_steps(tmp_path):
  with Progress(tmp_path, 12000, silent=True) as progress:
    for step in (500, 9500, 12000):  # NNNN grows a digit: no text order
      progress.log(step, {'psnr': np.float32(step / 1000), 'splats': step})
  curves = load_curves(tmp_path)
  assert curves['step'] == [500, 9500, 12000]
  assert curves['psnr'] == [0.5, 9.5, 12.0]
  assert curves['splats'] == [500, 9500, 12000]


def test_files_are_valid_json_even_when_a_value_is_not_finite(tmp_path):
  with Progress(tmp_path, 10, silent=True) as progress:
    progress.log(5, {'psnr': np.inf, 'loss': 0.0})
  text = (tmp_path / 'stats' / 'train_step0005.json').read_text()
  assert json.loads(text) == {'step': 5, 'psnr': None, 'loss': 0.0}
  assert [x.name for x in (tmp_path / 'stats').iterdir()] == [
    'train_step0005.json'
  ]


def test_tensorboard_receives_each_scalar(tmp_path):
  with Progress(tmp_path, 10, name='prior', silent=True) as progress:
    progress.log(5, {'psnr': 30.0})
  (events,) = (tmp_path / 'tb').iterdir()
  assert b'prior/psnr' in events.read_bytes()


def test_the_bar_shows_quality_and_size(capsys):
  with Progress(None, 10) as progress:
    progress.log(4, {'psnr': 27.345, 'splats': 120000, 'lpips': 0.5})
    progress.log(10, {'psnr': 28.0, 'splats': 130000})
  shown = capsys.readouterr().err
  assert '4/10' in shown
  assert '10/10' in shown
  assert '28.00 dB, 130,000 splats' in shown


def test_silent_shows_nothing(capsys):
  with Progress(None, 10, silent=True) as progress:
    progress.log(10, {'psnr': 28.0})
  captured = capsys.readouterr()
  assert captured.out + captured.err == ''


def test_an_error_inside_the_loop_still_flushes(tmp_path):
  with (
    pytest.raises(RuntimeError, match='out of memory'),
    Progress(tmp_path, 10, silent=True) as progress,
  ):
    progress.log(5, {'loss': 1.0})
    raise RuntimeError('out of memory')
  (events,) = (tmp_path / 'tb').iterdir()
  assert b'train/loss' in events.read_bytes()
  progress.close()  # once more does no harm
