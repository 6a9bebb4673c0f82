"""Clips along camera paths: laid, filmed, enlarged one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import geometry, walks
from sr3d_jax.types import Camera, SRPrior, Views, one_shot

CIRCLE = {'name': 'orbit', 'num_views': 8, 'closed': True}


def _cameras(num=12, distance=4.0, size=(32, 24)):
  turns = 2 * np.pi * np.arange(num) / num
  eyes = distance * np.stack(
    [np.cos(turns), np.sin(turns), np.full(num, 0.3)], -1
  )
  up = np.array([0.0, 0.0, 1.0])
  return Camera(
    world_to_cam=geometry.look_at(eyes, np.zeros(3), up),
    focal=np.full((num, 2), 40.0, np.float32),
    center=np.tile(np.float32(size) / 2, (num, 1)),
    width=size[0],
    height=size[1],
  )


def _points(num=200):
  rng = np.random.default_rng(0)
  return rng.uniform(-0.5, 0.5, (num, 3)).astype(np.float32)


def _photos(num=12):
  cameras = _cameras(num)
  images = np.linspace(0.1, 0.9, num)[:, None, None, None]
  return Views(
    images=np.broadcast_to(images, (num, 24, 32, 3)).astype(np.float32),
    cameras=cameras,
  )


def _draw(gaussians, cameras):
  """Each picture has the brightness of its camera's azimuth."""
  del gaussians
  where = np.asarray(cameras.position)
  shade = 0.5 + 0.4 * np.arctan2(where[:, 1], where[:, 0]) / np.pi
  shape = (len(shade), cameras.height, cameras.width, 3)
  return np.broadcast_to(shade[:, None, None, None], shape)


def _plan(*sections, **options):
  return walks.plan(sections, _cameras(), _points(), **options)


def test_flow_is_the_mean_motion_of_the_points_that_both_views_have():
  cameras = _cameras(2)
  poses = np.stack(2 * [np.eye(4, dtype=np.float32)])
  poses[1, 0, 3] = 0.1  # the world moves right by a tenth
  cameras = dataclasses.replace(cameras, world_to_cam=poses)
  points = np.array([[0, 0, 2.0], [0, 0, 4.0], [0, 0, -4.0], [50, 0, 4.0]])
  found = walks.flows(cameras, points)
  np.testing.assert_allclose(found, [0.5 * (40 * 0.1 / 2 + 40 * 0.1 / 4)])


def test_a_path_that_leaps_gets_more_views_until_it_does_not():
  (few,) = _plan(CIRCLE, max_flow=1.0)
  (many,) = _plan(CIRCLE, max_flow=0.03)
  bound = 0.03 * 32
  assert len(few.cameras.focal[few.kept]) == 8
  assert walks.flows(few.cameras, _points()).max() > bound
  assert walks.flows(many.cameras, _points()).max() <= bound
  # It goes round once all the same: the first would follow the last.
  path = np.asarray(many.cameras.position)
  first, last = many.beyond, len(path) - many.beyond
  np.testing.assert_allclose(path[first], path[last], atol=1e-4)


def test_views_beyond_the_ends_go_on_as_the_path_does():
  (walk,) = _plan({**CIRCLE, 'beyond': 2}, max_flow=1.0)
  where = np.asarray(walk.cameras.position)
  assert len(where) == 12 and walk.kept == slice(2, 10)
  steps = np.linalg.norm(np.diff(where, axis=0), axis=-1)
  np.testing.assert_allclose(steps, steps[0], rtol=1e-4)


def test_an_open_path_goes_beyond_its_ends_at_the_same_pace():
  cameras = jax.tree.map(lambda x: x[:4], _cameras())
  keys = {'name': 'sinusoid', 'num_views': 6, 'amplitude': 0.0}
  (plain,) = walks.plan([keys | {'beyond': 0}], cameras, _points(), max_flow=1)
  (longer,) = walks.plan([keys | {'beyond': 3}], cameras, _points(), max_flow=1)
  where = np.asarray(longer.cameras.position)
  np.testing.assert_allclose(
    where[longer.kept], plain.cameras.position, atol=1e-4
  )
  steps = np.linalg.norm(np.diff(where, axis=0), axis=-1)
  np.testing.assert_allclose(steps, steps[0], rtol=1e-4)


def test_the_captured_path_is_the_capture():
  shown, photographed = _plan(
    {'name': 'captured'}, {'name': 'captured', 'photos': True}
  )
  photos = _photos()
  renders = walks.film(shown, None, photos, draw=_draw)
  np.testing.assert_array_equal(
    renders.images, _draw(None, photos.cameras).astype(np.float32)
  )
  assert walks.film(photographed, None, photos, draw=_draw) is photos


def test_each_clip_is_enlarged_by_itself_and_keeps_the_views_of_its_path():
  plan = _plan({**CIRCLE, 'beyond': 2}, {'name': 'captured', 'photos': True},
               max_flow=1.0)  # fmt: skip
  clips = [walks.film(w, None, _photos(), draw=_draw) for w in plan]
  lengths = []

  def upsample(params, images):
    lengths.append(len(images))
    return jnp.repeat(jnp.repeat(images, 2, -2), 2, -3) + params

  prior = walks.along(one_shot(lambda key: 0.5, upsample, 2.0), plan, clips)
  views = walks.kept(plan, clips)
  state = prior.begin(0.5, jax.random.key(0), views)
  _, fine = prior.step(0.5, jax.random.key(1), state, 0)
  assert lengths == [12, 12]
  assert fine.shape == (8 + 12, 48, 64, 3)
  np.testing.assert_allclose(fine[:, ::2, ::2], views.images + 0.5, rtol=1e-6)
  assert len(views.cameras.focal) == 20


def test_photos_keep_their_trust_beside_renders():
  plan = _plan(CIRCLE, {'name': 'captured', 'photos': True}, max_flow=1.0)
  weights = np.full((12, 24, 32), 0.25, np.float32)
  photos = dataclasses.replace(_photos(), weights=weights)
  clips = [walks.film(w, None, photos, draw=_draw) for w in plan]
  views = walks.kept(plan, clips)
  np.testing.assert_array_equal(views.weights[:8], 1.0)
  np.testing.assert_array_equal(views.weights[8:], 0.25)
  assert walks.kept(plan[:1], clips[:1]).weights is None


def test_a_path_that_shows_nothing_is_told():
  (walk,) = _plan(CIRCLE, max_flow=1.0)

  def draw(gaussians, cameras):
    images = np.array(_draw(gaussians, cameras))
    images[walk.beyond + 3] = (0.2, 0.4, 0.6)
    return images

  with pytest.raises(ValueError, match="1 of the 8 views along the path 'orb"):
    walks.film(walk, None, _photos(), draw=draw, background=(0.2, 0.4, 0.6))
  walks.film(walk, None, _photos(), draw=draw)  # is black behind


@pytest.mark.parametrize(
  'section, told',
  [
    ({'name': 'zigzag', 'num_views': 8}, "no path 'zigzag': choose from"),
    ({'name': 'orbit'}, 'wants num_views'),
    ({'name': 'orbit', 'num_views': 0}, 'has 0 views, want 2 at least'),
    ({'name': 'orbit', 'num_views': 8, 'speed': 1}, 'takes .*; got .*speed'),
    ({'name': 'captured', 'num_views': 8}, 'has one key, photos'),
    ({**CIRCLE, 'distance': 0.2}, 'take it farther away'),
  ],
)
def test_a_section_that_is_no_path_is_told(section, told):
  with pytest.raises(ValueError, match=told):
    _plan(section, max_flow=0.001)


def test_no_paths_and_priors_of_many_steps_are_told():
  with pytest.raises(ValueError, match='there are no paths'):
    _plan()
  many = SRPrior(None, None, None, None, 4, 2.0)
  with pytest.raises(ValueError, match='this one has 4'):
    walks.along(many, (), ())
