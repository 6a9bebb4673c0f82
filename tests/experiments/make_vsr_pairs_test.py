"""Making pairs, run small without its flags: resumed, and bad ones left out."""

import json

import numpy as np
import pytest

from configs.vsr_pairs import tiny
from sr3d_jax import image
from sr3d_jax.batches import clip_pairs
from sr3d_jax.io import records


def test_pairs_are_made_once_and_can_be_learnt_from(load, tmp_path):
  config = tiny.get_config('smoke')
  run = load('make_vsr_pairs')['run']
  (file,) = run(config, tmp_path)
  (record,) = records.load([file])
  assert record['lr'].shape == (6, 12, 16, 3)
  assert record['hr'].shape == (6, 48, 64, 3)
  meta = record['meta']
  assert meta['source'] == 'desk1' and meta['num_splats'] == 500
  shrunk = image.resize(image.to_float(record['hr']), 12, 16, method='area')
  renders = image.to_float(record['lr'])
  for t in range(6):
    # each render shows its own photo, and no other, nor a mirrored one
    errors = np.abs(shrunk - renders[t]).mean(axis=(1, 2, 3))
    assert np.argmin(errors) == t
    mirrored = np.abs(shrunk[t, :, ::-1] - renders[t]).mean()
    assert errors[t] < 0.7 * mirrored
  written = file.stat().st_mtime_ns
  assert run(config, tmp_path) == [file]
  assert file.stat().st_mtime_ns == written
  batch = clip_pairs.make(roots=(str(tmp_path),), patch=8, num_frames=2)(0)
  assert batch['hr'].shape == (4, 2, 32, 32, 3)


def test_what_was_not_understood_is_left_out_and_told(load, tmp_path, capsys):
  config = tiny.get_config('smoke')
  config.min_psnr = 60.0
  run = load('make_vsr_pairs')['run']
  for _ in range(2):  # it is not tried again
    with pytest.raises(ValueError, match='none of 1 pairs reached 60 dB'):
      run(config, tmp_path)
  left_out = json.loads((tmp_path / 'left_out.json').read_text())
  assert list(left_out) == ['desk1-00']
  assert left_out['desk1-00']['psnr'] < 60
  assert 'desk1-00 is left out' in capsys.readouterr().out


def test_words_are_known():
  assert len(tiny.get_config().sources) == len(tiny.SEEDS)
  more = tiny.get_config('captures').sources
  covered = [name for name in more if more[name].get('photos')]
  assert len(covered) == len(tiny.PHOTO_SEEDS)
  assert len(more) == len(tiny.SEEDS) + len(covered) + 2
  with pytest.raises(ValueError, match='captures or smoke, got'):
    tiny.get_config('cpu')
