"""Films are measured, and finished runs are drawn."""

import json

import jax
import numpy as np
import pytest

from configs.eval import vid4
from configs.finetune_vsr import evaluation
from configs.supergaussian import figures, finetuning
from sr3d_jax import metrics, video_scores, vsr_pairs
from sr3d_jax.io import images, records, weights
from sr3d_jax.io import video as video_files
from sr3d_jax.io import workdir as workdirs
from sr3d_jax.models import basicvsr
from sr3d_jax.priors import video


@pytest.fixture
def films(tmp_path):
  """Two films of three frames, 34 x 50 px, of which x4 leaves 32 x 48."""
  rng = np.random.default_rng(0)
  for name in ('calendar', 'city'):
    for t in range(3):
      picture = rng.uniform(0.2, 0.8, (34, 50, 3))
      images.save(tmp_path / name / f'{t}.png', picture)
  return tuple(str(tmp_path / name) for name in ('calendar', 'city'))


def _untrained(films):
  config = vid4.get_config()
  config.films = films
  for row in ('frame by frame', 'clip'):
    config.rows[row].update(weights='untrained', sizes=video.TINY['sizes'])
  return config


def test_a_film_is_measured_whole_and_frame_by_frame(load, films, tmp_path):
  rows = load('evaluate_clips')['run'](_untrained(films), tmp_path / 'run')
  assert [row['row'] for row in rows[:3]] == [
    'bicubic',
    'frame by frame',
    'clip',
  ]
  assert [row['film'] for row in rows] == 3 * ['calendar'] + 3 * ['city']
  assert all(np.isfinite(row['psnr_y']) and row['frames'] == 3 for row in rows)
  assert rows[1]['psnr_y'] != rows[2]['psnr_y']  # neighbours are seen
  assert rows[0]['psnr_y'] != rows[0]['psnr_y_inside']
  assert json.loads((tmp_path / 'run/results.json').read_text()) == rows
  assert (tmp_path / 'run/city_frame_by_frame.mp4').stat().st_size > 500


def test_a_film_of_one_frame_is_told(load, tmp_path):
  images.save(tmp_path / 'one' / '0.png', np.full((32, 32, 3), 0.5))
  with pytest.raises(ValueError, match='one has 1 frame, a film has two'):
    load('evaluate_clips')['run'](
      _untrained((str(tmp_path / 'one'),)), tmp_path / 'run'
    )


def _finished(folder, **facts):
  folder.mkdir(parents=True)
  rows = [
    {'name': name, 'psnr': 20.0 + i, **facts}
    for i, name in enumerate(('lr_fit', 'bicubic', 'video'))
  ]
  (folder / 'results.json').write_text(json.dumps(rows))


def test_panels_whose_runs_are_there_are_drawn(load, tmp_path, capsys):
  config = figures.get_config()
  config.root = str(tmp_path)
  run = load('plot_supergaussian')['run']
  with pytest.raises(ValueError, match='no run of any panel lies in'):
    run(config, tmp_path / 'out')
  _finished(tmp_path / 'e3_desk', coverage=0.9)
  for count in config.counts.counts:
    _finished(tmp_path / f'e4_desk_n{count}')
  picture = images.load(run(config, tmp_path / 'out'))
  assert picture.shape[1] > 1000 and np.std(picture) > 0.05
  told = capsys.readouterr().out
  assert told.count("'stages' is left out, there is no") == 2
  assert told.count("'counts' is left out") == 1


def _finetuned(folder, rows):
  """A finished run of e2 whose films are flat, the brighter the later."""
  scores = {'warping': 1e-4, 'warping_gap': 2e-4, 'sharpness': 0.5}
  for i, row in enumerate(rows):
    films = {'captured': {'enlarged': {**scores, 'psnr': 20.0 + i}}}
    workdirs.write_json(folder / 'rows' / row / 'clips.json', films)
    shown = np.zeros((2, 16, 64, 3), np.uint8)
    shown[..., 16:32, :] = 60 * i  # enlarged
    shown[..., 48:, :] = 250  # true
    video_files.save(folder / 'rows' / row / 'captured.mp4', shown)
  entries = [{'name': x, 'psnr': 30.0 + i} for i, x in enumerate(rows)]
  workdirs.write_json(folder / 'results.json', entries)


def test_finetuning_is_compared_in_numbers_and_films(load, tmp_path):
  config = finetuning.get_config()
  config.root = str(tmp_path)
  config.runs = {'fox': 'e2_fox'}
  run = load('compare_finetuning')['run']
  with pytest.raises(FileNotFoundError):
    run(config, tmp_path / 'out')
  _finetuned(tmp_path / 'e2_fox', ('bicubic', 'pretrained', 'tiny'))
  with pytest.raises(ValueError, match="no row 'tiny_seed1', only bicubic,"):
    run(config, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()
  rows = 'bicubic', 'pretrained', *finetuning.SEEDS
  _finetuned(tmp_path / 'e2_fox', rows)
  text = run(config, tmp_path / 'out').read_text()
  assert (
    '| fox, pretrained | 21.00 | 0.500 | 1.00 | 2.00 | 31.00 | nan |' in text
  )
  assert '| fox, finetuned, 3 seeds | 23.00 ± 1.00 | 0.500 ± 0.000 |' in text
  film = video_files.load(tmp_path / 'out/finetuning_fox.mp4')
  assert film.shape == (2, 16, 48, 3)
  levels = film[:, 8, 8::16].mean((0, 2))  # before, after, true
  np.testing.assert_allclose(levels, [60, 120, 250], atol=5)


def test_networks_are_measured_on_pairs(load, tmp_path, capsys, monkeypatch):
  config = evaluation.get_config()
  config.network.update(
    channels=8, num_blocks=1, fine_channels=8, flow_channels=(8, 8),
    flow_levels=2, unroll=1,
  )  # fmt: skip
  params = basicvsr.make(**config.network).init(jax.random.key(0))
  for name in ('shipped', 'tiny'):
    weights.save(tmp_path / f'{name}.npz', params)
    config.weights[name] = str(tmp_path / f'{name}.npz')
  rng = np.random.default_rng(0)
  hr = rng.integers(0, 255, (3, 32, 64, 3), np.uint8)
  pair = {
    'lr': hr[:, ::4, ::4],
    'hr': hr,
    'world_to_cam': np.tile(np.eye(4, dtype=np.float32), (3, 1, 1)),
    'focal': np.ones((3, 2), np.float32),
    'center': np.ones((3, 2), np.float32),
    'meta': {'source': 'fox', 'num_splats': 5},
  }
  run = load('evaluate_pairs')['run']
  monkeypatch.setattr(
    vsr_pairs,
    'make_all',
    lambda folder, **_: records.save(folder / 'fox-00.array_record', [pair]),
  )
  results = run(config, tmp_path / 'out')
  assert set(results['fox']) == {'bicubic', 'shipped', 'tiny'}
  assert results['fox']['shipped'] == results['fox']['tiny']
  wanted = video_scores.bicubic(pair['lr'] / np.float32(255), 4)
  level = float(np.mean(metrics.psnr(wanted, hr / np.float32(255))))
  assert results['fox']['bicubic']['psnr'] == pytest.approx(level, abs=1e-3)
  told = capsys.readouterr().out
  assert 'tiny_seed1 is left out: ' in told
  assert told.count('| fox |') == 3
  film = video_files.load(tmp_path / 'out/fox.mp4')
  assert film.shape == (3, 32, 4 * 64, 3)
