"""The video prior: clips, orders, and colours that stay what they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.io import weights as weight_files
from sr3d_jax.models import basicvsr
from sr3d_jax.priors import video
from sr3d_jax.types import Camera, VideoNetwork, Views

KEY = jax.random.key(0)
# on a ring, shuffled
PLACES = np.random.default_rng(1).permutation(10)


def _views(size=8):
  """Cameras on a ring look at its middle; view i is as bright as its place."""
  angles = 2 * np.pi * PLACES / 10
  poses = []
  for angle in angles:
    out = np.array([np.cos(angle), 0, np.sin(angle)])
    right, down = np.array([-out[2], 0, out[0]]), np.array([0.0, 1, 0])
    turn = np.stack([right, down, -out])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, -turn @ (3 * out)
    poses.append(pose)
  cameras = Camera(
    world_to_cam=jnp.asarray(np.stack(poses), jnp.float32),
    focal=jnp.full((10, 2), 10.0),
    center=jnp.full((10, 2), size / 2),
    width=size,
    height=size,
  )
  images = np.zeros((10, size, size, 3), np.float32)
  images += (PLACES / 10)[:, None, None, None]
  return Views(images=images, cameras=cameras)


@pytest.fixture
def seen(monkeypatch):
  """Puts a network in place that repeats pixels; returns the clips it saw."""
  clips = []

  def keep(clip):
    clips.append(np.asarray(clip))

  def enlarge(params, clips):
    jax.debug.callback(keep, clips[0])
    return jnp.repeat(jnp.repeat(clips, 4, axis=2), 4, axis=3)

  network = VideoNetwork(
    init=lambda key: {},
    clean=lambda params, clips: clips,
    enlarge=enlarge,
    flow=None,
    scale=4,
  )
  monkeypatch.setattr(basicvsr, 'make', lambda **_: network)
  return clips


def _enlarge(views, **options):
  prior = video.make(scale=4.0, weights='untrained', **options)
  params = prior.init(KEY)
  state = prior.begin(params, KEY, views)
  images = prior.step(params, KEY, state, 0)[1]
  jax.effects_barrier()
  return images


@pytest.mark.parametrize('order', video.ORDERS)
def test_every_view_gets_its_own_enlargement(seen, order):
  pytest.importorskip('skimage', reason='scikit-image is not installed')
  views = _views()
  found = _enlarge(views, order=order, clip_length=4, overlap=1)
  assert found.shape == (10, 32, 32, 3)
  np.testing.assert_allclose(found[:, ::4, ::4], views.images, atol=1e-6)
  assert max(len(clip) for clip in seen) <= 4


def test_poses_put_neighbours_side_by_side(seen):
  _enlarge(_views(), order='pose', clip_length=12)
  (clip,) = seen
  places = np.round(10 * clip[:, 0, 0, 0]).astype(int)
  assert set(np.diff(places) % 10) in ({1}, {9})


def test_a_closed_path_goes_on_beyond_its_ends(seen):
  views = _views()
  _enlarge(views, order='closed', clip_length=30, overlap=2)
  (clip,) = seen
  shown = views.images[[8, 9, *range(10), 0, 1]]
  np.testing.assert_array_equal(clip, shown)


def test_the_network_sees_red_first_and_whole_colours(seen):
  # others' code fed it blue first, and pictures of 255 levels
  views = _views()
  images = np.array(views.images)
  images[..., 0] = 1.0
  views = Views(images=images, cameras=views.cameras)
  _enlarge(views, order='path')
  np.testing.assert_array_equal(np.concatenate(seen), images)


def test_another_scale_is_resized(seen):
  found = _enlarge(_views(), order='path')
  assert found.shape[1:3] == (32, 32)
  prior = video.make(scale=2.5, weights='untrained')
  state = prior.begin({}, KEY, _views())
  assert prior.step({}, KEY, state, 0)[1].shape == (10, 20, 20, 3)


def test_weights_of_a_run_are_read_and_others_refused(tmp_path):
  sizes = video.TINY['sizes']
  params = basicvsr.make(**sizes).init(KEY)
  file = tmp_path / 'w.npz'
  weight_files.save(file, params)
  prior = video.make(scale=4.0, weights=str(file), sizes=sizes)
  np.testing.assert_allclose(
    prior.init(KEY)['fusion']['kernel'], params['fusion']['kernel'], atol=1e-3
  )
  other = video.make(
    scale=4.0, weights=str(file), sizes=sizes | {'channels': 8}
  )
  with pytest.raises(ValueError, match=r'w\.npz.*wanted'):
    other.init(KEY)


@pytest.mark.parametrize(
  'options, message',
  [
    ({'order': 'random'}, "no order 'random': choose from path, closed"),
    ({'clip_length': 6, 'overlap': 3}, 'keep none'),
    ({'thresholds': (45.0, 15.0)}, 'must grow'),
  ],
)
def test_what_cannot_be_done_is_refused_at_once(options, message):
  with pytest.raises(ValueError, match=message):
    video.make(scale=4.0, weights='untrained', **options)
