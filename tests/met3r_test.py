"""MEt3R on scenes whose geometry is known: a wall, two walls, a turned head."""

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import met3r
from sr3d_jax.types import Camera

HEIGHT, WIDTH, FOCAL = 20, 30, 40.0
DEPTH = 4.0  # of the wall
STEP = 0.5  # the second camera's, to the right: 5 px on the wall
SHIFT = FOCAL * STEP / DEPTH
OMEGA = 0.5  # radians a px, of the wall's stripes
# The discs go on for a pixel beyond the last points, with what they have there:
# a column in 15 that is wrong by half a radian.
BORDER = 0.04


def _camera(right=0.0, down=0.0, turn=None):
  turn = np.eye(3) if turn is None else turn
  pose = np.eye(4)
  pose[:3, :3] = turn
  pose[:3, 3] = -turn @ np.array([right, down, 0])
  return Camera(
    world_to_cam=jnp.asarray(pose),
    focal=jnp.full(2, FOCAL),
    center=jnp.asarray([WIDTH / 2, HEIGHT / 2]),
    width=WIDTH,
    height=HEIGHT,
  )


def _stripes(shift, axis=1):
  """A picture whose place on the wall is its first channel, in px."""
  shape = (HEIGHT, WIDTH)
  place = np.arange(shape[axis]) + 0.5 + shift
  place = place[None, :] if axis else place[:, None]
  return np.repeat(np.broadcast_to(place, shape)[..., None], 3, -1)


def _waves(picture):
  """Features whose cosine is that of the angle between two places."""
  angle = OMEGA * picture[..., :1]
  return np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)


def _matcher(pictures, surfaces, cameras):
  """Knows its two pictures, and which comes first."""

  def match(first, second):
    order = [
      next(i for i, known in enumerate(pictures) if known is picture)
      for picture in (first, second)
    ]
    return met3r.from_depths(
      tuple(surfaces[i] for i in order), tuple(cameras[i] for i in order)
    )

  return match


def _wall(offset=0.0, **step):
  """Two pictures of a wall, the second painted `offset` px too far."""
  axis = 0 if 'down' in step else 1
  pictures = _stripes(0, axis), _stripes(SHIFT + offset, axis)
  surfaces = [np.full((HEIGHT, WIDTH), DEPTH)] * 2
  matcher = _matcher(pictures, surfaces, (_camera(), _camera(**step)))
  return met3r.met3r(pictures, matcher, _waves)


@pytest.mark.parametrize('offset', [0.0, 0.5, -1.0, 2.5])
def test_paint_beside_its_place_is_told_by_its_cosine(offset):
  found = _wall(offset, right=STEP)
  wanted = np.cos(OMEGA * offset)
  np.testing.assert_allclose(found.similarities, wanted, atol=BORDER)
  assert found.distance == pytest.approx(1 - np.mean(found.similarities))
  # the disc of a point reaches a pixel beyond it
  share = (WIDTH - SHIFT + 1) / WIDTH
  np.testing.assert_allclose(found.overlaps, share, atol=1e-9)


def test_a_step_down_moves_rows():
  found = _wall(down=STEP)
  assert found.distance < BORDER
  share = (HEIGHT - SHIFT + 1) / HEIGHT
  np.testing.assert_allclose(found.overlaps, share, atol=1e-9)
  assert _wall(down=-STEP).distance > 0.2


def test_a_camera_that_turns_sees_the_same_wall():
  angle = 0.1
  cos, sin = np.cos(angle), np.sin(angle)
  turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
  cameras = _camera(), _camera(turn=turn)
  columns = (np.arange(WIDTH) + 0.5 - WIDTH / 2) / FOCAL
  rays = turn.T @ np.stack([columns, 0 * columns, 1 + 0 * columns])
  depth = np.tile(DEPTH / rays[2], (HEIGHT, 1))
  place = FOCAL * rays[0] / rays[2] + WIDTH / 2
  turned = np.repeat(np.tile(place, (HEIGHT, 1))[..., None], 3, -1)
  pictures = _stripes(0), turned
  surfaces = np.full((HEIGHT, WIDTH), DEPTH), depth
  found = met3r.met3r(pictures, _matcher(pictures, surfaces, cameras), _waves)
  assert found.distance < BORDER
  wrong = _matcher(pictures, surfaces, (_camera(), _camera(turn=turn.T)))
  assert met3r.met3r(pictures, wrong, _waves).distance > 0.1


def test_each_direction_is_of_its_own_picture():
  """Where half of the second has no depth, both lose it; NaN is no point."""
  pictures = _stripes(0), _stripes(0)
  hole = np.full((HEIGHT, WIDTH), DEPTH)
  hole[:, WIDTH // 2 :] = 0
  surfaces = np.full((HEIGHT, WIDTH), DEPTH), hole
  asked = []

  def matcher(first, second):
    asked.append((first is pictures[0], second is pictures[1]))
    return _matcher(pictures, surfaces, (_camera(), _camera()))(first, second)

  found = met3r.met3r(pictures, matcher, _waves)
  assert asked == [(True, True), (False, False)]
  assert found.overlaps == (16 / 30, 16 / 30)
  assert found.distance < BORDER


def test_what_lies_behind_does_not_show():
  """Two points in the middle of a pixel: the near one is the second."""
  points = np.zeros((1, 2, 3))
  points[..., :2] = [[0.5, 0.5]]
  points[0, 0, 2], points[0, 1, 2] = 3.0, 2.0
  points[..., :2] *= points[..., 2:]
  match = met3r.Match(points, points, np.ones(2), np.zeros(2))
  other = np.array([[[0.0, 1], [1, 0]]])
  small = {'radius': 0.9}  # px, so that no other pixel shows them
  drawn = met3r.similarity(
    match, np.array([[[7.0, 3], [1, 0]]]), other, **small
  )
  assert drawn == (pytest.approx(1), 0.5)
  swapped = met3r.similarity(match, other[:, ::-1], other, **small)
  assert swapped == (pytest.approx(0, abs=1e-12), 0.5)


def test_views_that_share_nothing_have_no_score():
  found = _wall(right=100 * STEP)
  assert np.isnan(found.distance) and found.overlaps == (0, 0)


def test_features_of_another_size_are_refused():
  points = np.ones((4, 6, 3))
  match = met3r.Match(points, points, np.ones(2), np.zeros(2))
  with pytest.raises(ValueError, match=r'\(4, 6, 3\) and features \(2, 3, 8\)'):
    met3r.similarity(match, np.ones((2, 3, 8)), np.ones((4, 6, 8)))
  with pytest.raises(ValueError, match='as many, got 8 and 7'):
    met3r.similarity(match, np.ones((4, 6, 8)), np.ones((4, 6, 7)))
