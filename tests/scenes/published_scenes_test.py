"""LLFF and Mip-NeRF 360 as published: their sizes, and how many views."""

import captures
import pytest

from configs.scenes import llff, mipnerf360
from sr3d_jax import resolve
from sr3d_jax.io import paths

SCENES = [
  *((llff, name, views) for name, views in llff.VIEWS.items()),
  *((mipnerf360, name, row[0]) for name, row in mipnerf360.SCENES.items()),
]
CAPTURES = {
  'llff': (captures.write_llff, {'images': 'images_4'}),
  'colmap': (captures.write_colmap, {}),
}


@pytest.mark.parametrize(
  'module, train, test', [(llff, 262, 43), (mipnerf360, 1694, 246)]
)
def test_the_sets_have_as_many_views_as_published(module, train, test):
  views = [views for owner, _, views in SCENES if owner is module]
  assert tuple(map(sum, zip(*views))) == (train, test)


@pytest.mark.parametrize('module, name, views', SCENES)
def test_every_eighth_view_is_a_test_view(module, name, views):
  del module, name
  assert views[1] == -(-sum(views) // 8)


@pytest.mark.parametrize('size', ['', 'cpu', 'smoke'])
@pytest.mark.parametrize('module, name, views', SCENES)
def test_fine_photos_are_four_times_the_coarse_ones(module, name, views, size):
  config = module.get_config(f'{name},{size}')
  scene, low = config.scene.to_dict(), config.lr_scene.to_dict()
  fine, coarse = scene.pop('size'), low.pop('size')
  # LLFF's quarter of 378 rows is no whole number.
  assert tuple(round(side / 4) for side in fine) == coarse
  assert (scene.pop('images'), low.pop('images')) == (
    'images_8' if size else 'images_2', 'images_8'
  )  # fmt: skip
  assert scene == low
  assert scene['num_views'] == views and scene['root'].endswith(f'_{name}')


def test_sizes_are_those_of_the_photos():
  for name, row in mipnerf360.SCENES.items():
    (width, height), (small_width, small_height) = row[1:]
    assert (small_width, small_height) == (round(width / 4), round(height / 4))
    assert (name in mipnerf360.INDOORS) == (width < 400)


@pytest.mark.parametrize(
  'module, words', [(llff, 'fern,flower'), (mipnerf360, 'room,garden')]
)
def test_one_run_has_one_scene(module, words):
  told = f'one scene, got {", ".join(words.split(","))}'
  with pytest.raises(ValueError, match=told):
    module.get_config(words)
  with pytest.raises(ValueError, match="unknown word 'truck'"):
    module.get_config('truck')


@pytest.mark.parametrize('name', CAPTURES)
def test_another_number_of_views_than_published_is_an_error(name, tmp_path):
  if name == 'colmap':
    pytest.importorskip('pycolmap')
  write, keys = CAPTURES[name]
  write(tmp_path, captures.circle())
  keys = {**keys, 'name': name, 'root': str(tmp_path), 'triangulate': False}
  scene = resolve.build('scenes', {**keys, 'num_views': (7, 2)})
  assert (len(scene.train_names), len(scene.test_names)) == (7, 2)
  told = '7 training and 2 test views, expected 17 and 3'
  with pytest.raises(ValueError, match=told):
    resolve.build('scenes', {**keys, 'num_views': (17, 3)})


def test_fern_is_complete():
  config = llff.get_config('smoke')
  try:
    paths.data_path(config.scene.root)
  except FileNotFoundError as error:
    pytest.skip(str(error))
  fine, coarse = (
    resolve.build('scenes', section)
    for section in (config.scene, config.lr_scene)
  )
  assert fine.train.images.shape == (17, 84, 112, 3)
  assert coarse.test.images.shape == (3, 21, 28, 3)


def test_a_scene_that_is_not_there_is_told_where_it_was_looked_for(
  monkeypatch, tmp_path
):
  monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
  section = mipnerf360.get_config('garden').scene
  with pytest.raises(FileNotFoundError, match=r'mipnerf360_garden.*SR3D_DATA'):
    resolve.build('scenes', section)
