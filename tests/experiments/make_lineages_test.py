"""Making histories, run small without its flags: once, and to learn from."""

import pytest

from configs.lineages import tiny
from sr3d_jax.batches import lineages
from sr3d_jax.io import records


def test_histories_are_made_once_and_can_be_learnt_from(load, tmp_path):
  config = tiny.get_config('smoke')
  config.sources.desk1.update(width=32, height=24, num_points=30)
  config.representation.capacity = 128
  config.levels.update(num_first=6, num_steps=6, num_before=2)
  config.fitting.update(refine_start=3, refine_stop=4, chunk=2)
  run = load('make_lineages')['run']
  (file,) = run(config, tmp_path)
  (record,) = records.load([file])
  assert record['images'].shape == (6, 24, 32, 3)
  assert record['meta']['source'] == 'desk1'
  assert len(record['meta']['psnr']) == 2
  written = file.stat().st_mtime_ns
  assert run(config, tmp_path) == [file]
  assert file.stat().st_mtime_ns == written
  batch = lineages.make(roots=(str(tmp_path),), batch_size=8)(0)
  assert batch['tokens'].shape == (8, 4, 47)


def test_words_are_known():
  assert len(tiny.get_config().sources) == len(tiny.SEEDS)
  sources = tiny.get_config('real').sources
  assert set(sources) == set(tiny.get_config().sources) | set(tiny.REAL)
  with pytest.raises(ValueError, match='real or smoke, got'):
    tiny.get_config('cpu')
