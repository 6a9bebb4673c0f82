"""Pairs of clips: in path order, of one exposure, and only good ones."""

import dataclasses

import numpy as np
import pytest

from sr3d_jax import image, vsr_pairs
from sr3d_jax.scenes import procedural
from sr3d_jax.types import Views


@pytest.fixture(scope='module')
def scene():
  return procedural.make(**procedural.TINY)


def test_views_come_in_the_order_of_their_names(scene):
  path = vsr_pairs.along_path(scene)
  assert list(path.train_names) == sorted(
    (*scene.train_names, *scene.test_names)
  )
  assert path.train.images.shape == (7, 24, 32, 3)
  assert len(path.test.images) == 0 and path.test_names == ()
  for i, name in enumerate(path.train_names):
    names, views = (
      (scene.test_names, scene.test)
      if name in scene.test_names
      else (scene.train_names, scene.train)
    )
    j = names.index(name)
    np.testing.assert_array_equal(path.train.images[i], views.images[j])
    for field in ('world_to_cam', 'focal', 'center'):
      np.testing.assert_array_equal(
        getattr(path.train.cameras, field)[i], getattr(views.cameras, field)[j]
      )


def test_photos_whose_names_leap_come_beside_their_neighbours(scene):
  film = vsr_pairs.along_path(scene)
  leaping = dataclasses.replace(
    film,
    train_names=tuple(f'{5 * i % 7}.png' for i in range(7)),
  )
  path = vsr_pairs.along_path(leaping)
  where = np.asarray(path.train.cameras.position)
  steps = np.linalg.norm(np.diff(where, axis=0), axis=-1)
  by_name = np.asarray(film.train.cameras.position)[
    np.argsort(leaping.train_names)
  ]
  leaps = np.linalg.norm(np.diff(by_name, axis=0), axis=-1)
  assert steps.sum() < 0.6 * leaps.sum()
  assert sorted(path.train_names) == sorted(leaping.train_names)


def test_a_pair_holds_the_renders_and_the_photos(scene):
  path = vsr_pairs.along_path(scene)
  seen = []

  def draw(views):
    seen.append(views)
    return np.asarray(views.images)

  pair, level = vsr_pairs.make(path, 2.0, draw)
  assert level == np.inf or level > 60
  (views,) = seen
  assert views.images.shape == (7, 12, 16, 3)
  np.testing.assert_array_equal(pair['lr'], image.to_uint8(views.images))
  np.testing.assert_array_equal(pair['hr'], image.to_uint8(path.train.images))
  assert pair['world_to_cam'].shape == (7, 4, 4)
  # of the coarse clip
  np.testing.assert_allclose(pair['focal'], path.train.cameras.focal / 2)


def test_soft_pairs_keep_their_fine_clip(scene):
  path = vsr_pairs.along_path(scene)
  (sharp, _), (soft, _) = (
    vsr_pairs.make(path, 2.0, lambda v: v.images, softness=softness)
    for softness in (0.0, 1.0)
  )
  np.testing.assert_array_equal(sharp['hr'], soft['hr'])
  changes = [
    np.abs(np.diff(x['lr'].astype(int), axis=2)) for x in (sharp, soft)
  ]
  assert changes[1].mean() < 0.8 * changes[0].mean()


def test_a_scene_that_was_not_understood_gives_no_pair(scene):
  path = vsr_pairs.along_path(scene)
  pair, level = vsr_pairs.make(path, 2.0, lambda v: 0.5 + 0 * v.images)
  assert pair is None and level < 24
  pair, level = vsr_pairs.make(path, 2.0, lambda v: np.nan * v.images)
  assert pair is None and np.isnan(level)


def _photos(seed=0):
  """Fine photos [3, 64, 64, 3], large patches with detail, and shrunk ones."""
  rng = np.random.default_rng(seed)
  patches = rng.uniform(0.3, 0.6, (3, 4, 4, 3)).repeat(16, 1).repeat(16, 2)
  fine = patches + rng.uniform(-0.1, 0.1, (3, 64, 64, 3))
  return fine, fine.reshape(3, 32, 2, 32, 2, 3).mean((2, 4))


def _views(images, weights=None):
  return Views(images=images, cameras=None, weights=weights)


def test_photos_take_the_exposure_of_the_renders():
  fine, photos = _photos()
  gains = np.array([0.8, 1.0, 1.2])[:, None, None, None]
  biases = np.array([0.1, 0.0, -0.1])
  renders = gains * photos + biases
  found = vsr_pairs.match_exposure(fine, _views(photos), renders)
  np.testing.assert_allclose(found, gains * fine + biases, atol=1e-4)
  flat = np.full_like(fine, 0.5)
  found = vsr_pairs.match_exposure(flat, _views(flat[:, ::2, ::2]), photos)
  np.testing.assert_allclose(
    found, np.broadcast_to(found[:, :1, :1], fine.shape)
  )
  means = photos.mean((1, 2), keepdims=True)
  np.testing.assert_allclose(found[:, :1, :1], means, atol=0.02)


def test_what_a_scene_lacks_in_detail_takes_no_contrast():
  fine, photos = _photos()
  blurred = np.asarray(image.gaussian_blur(photos, 1.0))
  found = vsr_pairs.match_exposure(fine, _views(photos), blurred)
  assert found.std() == pytest.approx(fine.std(), rel=0.02)


def test_pixels_without_trust_count_for_nothing(scene):
  fine, photos = _photos()
  weights = np.ones(photos.shape[:3], np.float32)
  weights[:, :, 16:] = 0
  renders = np.array(photos)
  renders[:, :, 16:] = 1.0
  found = vsr_pairs.match_exposure(fine, _views(photos, weights), renders)
  np.testing.assert_allclose(found[:, :, :32], fine[:, :, :32], atol=1e-3)
  path = vsr_pairs.along_path(scene)
  weights = np.ones(path.train.images.shape[:3], np.float32)
  weights[:, :, 16:] = 0
  path = dataclasses.replace(
    path, train=dataclasses.replace(path.train, weights=weights)
  )
  _, level = vsr_pairs.make(
    path, 2.0, lambda v: np.asarray(v.images * (v.weights[..., None] > 0))
  )
  assert level > 60


def test_sizes_that_the_scale_does_not_divide_are_refused(scene):
  path = vsr_pairs.along_path(scene)
  with pytest.raises(ValueError, match='32 x 24 px, which scale 5 does not'):
    vsr_pairs.make(path, 5.0, lambda v: v.images)


def test_lenses_are_refused(scene):
  cameras = dataclasses.replace(scene.train.cameras, lens=object())
  bent = dataclasses.replace(
    scene, train=dataclasses.replace(scene.train, cameras=cameras)
  )
  with pytest.raises(ValueError, match='a lens: undistort'):
    vsr_pairs.along_path(bent)
