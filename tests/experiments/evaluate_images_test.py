"""Scoring a prior on folders of photographs, without flags."""

import json

import numpy as np
import pytest

from configs.eval import benchmarks, set5
from sr3d_jax.io import images


@pytest.fixture
def config(photos):
  """Bicubic on two small photographs."""
  config = set5.get_config('bicubic')
  config.roots = (str(photos),)
  return config


def test_evaluation_scores_every_photograph(load, config, tmp_path):
  (result,) = load('evaluate')['run'](config, tmp_path)
  assert json.loads((tmp_path / 'results.json').read_text()) == [result]
  kept = json.loads((tmp_path / 'scores' / 'photos_x4.json').read_text())
  rows = kept['per_image']
  assert set(rows) == {'a.png', 'b.png'} and result['images'] == 2
  assert result['psnr_y'] == pytest.approx(
    np.mean([row['psnr_y'] for row in rows.values()])
  )
  # smooth waves of 30 px survive shrinking by 4 almost whole
  assert result['psnr_y'] > 35 and result['ssim_y'] > 0.95
  assert result['images_per_second'] > 0


def test_any_real_scale_is_scored(load, config, tmp_path):
  config.scales, config.save_images = (2.0, 3.3), True
  results = load('evaluate')['run'](config, tmp_path)
  assert [result['scale'] for result in results] == [2.0, 3.3]
  enlarged = images.load(tmp_path / 'images' / 'photos_x3.3' / 'a.png')
  # 24 x 30 coarse pixels of the 80 x 100
  assert enlarged.shape == (79, 99, 3)


def test_a_wrong_prior_leaves_the_folder_free(load, config, tmp_path):
  config.prior.name = 'bicubik'
  with pytest.raises(ValueError, match="did you mean 'bicubic'"):
    load('evaluate')['run'](config, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


def test_the_benchmarks_are_of_luma_and_of_rgb():
  config = benchmarks.get_config('imdn')
  assert config.prior.network == 'imdn' and 3.3 in config.scales
  assert {'psnr_y', 'psnr_rgb'} < set(config.measures)
