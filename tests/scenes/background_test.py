"""What lies behind a silhouette is laid there in the range of the picture.

A downscaler that lays white as 255 behind pictures in [0, 1] turns the pixel
beside an edge black: bicubic undershoots by 4 % of the step, and 4 % of 254 is
far below 0, where 122 of 255 should be (Sequence Matters' Blender pictures).
"""

import captures
import numpy as np
import pytest

from sr3d_jax import capture, coarse
from sr3d_jax.io import images
from sr3d_jax.scenes import blender, transforms_json

GREY = 128  # levels, of what is in front
SIDE, SCALE = 32, 4  # px of the picture, and by how much it shrinks to 8 x 8
EDGE = 14  # px: amid a small pixel, where the undershoot is largest
WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
NOT_SHOWN = (255, 0, 255)  # colour that is stored where nothing is


def _cubic(x):
  """Keys' kernel, a = -1/2, written anew."""
  x = abs(x)
  if x < 1:
    return 1.5 * x**3 - 2.5 * x**2 + 1
  return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def _shrunk(row):
  """[8] a row of 32 values, antialiased, pixel by pixel."""
  small = []
  for i in range(SIDE // SCALE):
    middle = (i + 0.5) * SCALE
    taps = [_cubic((j + 0.5 - middle) / SCALE) for j in range(SIDE)]
    small.append(np.dot(taps, row) / np.sum(taps))
  return np.clip(small, 0, 1)


def _row(background, full=1.0):
  """[32] values: grey, then what is behind; `full` is taken for white."""
  behind = full * background[0]
  return np.where(np.arange(SIDE) < EDGE, GREY / 255, behind)


@pytest.fixture(params=['transforms_json', 'blender'])
def load(request, tmp_path):
  """Loads pictures that are grey on the left, with nothing on the right."""
  write = getattr(captures, f'write_{request.param.removesuffix("_json")}')
  picture = np.zeros((SIDE, SIDE, 4), np.uint8)
  picture[...] = (*NOT_SHOWN, 0)
  picture[:, :EDGE] = (GREY, GREY, GREY, 255)
  for path in write(tmp_path, captures.circle(3)):
    images.save(path, picture)
  module, keys = {
    'transforms_json': (transforms_json, {'triangulate': False}),
    'blender': (blender, {'num_points': 5}),
  }[request.param]
  return lambda **more: module.make(root=str(tmp_path), **keys, **more)


def test_the_bug_is_the_one_that_is_described():
  right = 255 * _shrunk(_row(WHITE))
  assert right[2] == pytest.approx(122, abs=1) and right.min() > 120
  assert 255 * _shrunk(_row(WHITE, full=255.0))[2] == 0
  # On black both are right: 255 times nothing is nothing.
  np.testing.assert_array_equal(_row(BLACK), _row(BLACK, full=255.0))


@pytest.mark.parametrize('background', [WHITE, BLACK], ids=['white', 'black'])
def test_photos_shrunk_after_loading_have_no_fringe(load, background):
  views = coarse.shrink(load(background=background).train, SCALE)
  _assert_alike(views.images, _shrunk(_row(background)))


@pytest.mark.parametrize('background', [WHITE, BLACK], ids=['white', 'black'])
@pytest.mark.parametrize(
  'shrink, expected',
  [
    ('bicubic', _shrunk),
    ('area', lambda row: row.reshape(-1, SCALE).mean(axis=1)),
  ],
  ids=['bicubic', 'area'],
)
def test_photos_shrunk_while_they_are_loaded_have_none(
  shrink, expected, background, load, monkeypatch
):
  make_views = capture.make_views
  monkeypatch.setattr(
    capture,
    'make_views',
    lambda *args, **keys: make_views(*args, **{**keys, 'shrink': shrink}),
  )
  scene = load(background=background, downscale=SCALE)
  _assert_alike(scene.train.images, expected(_row(background)))
  assert scene.background == background


def _assert_alike(found, row):
  """Every row of every picture is this one, in every channel."""
  size = SIDE // SCALE
  assert found.shape[1:] == (size, size, 3)
  wanted = np.broadcast_to(row[:, None], found.shape)
  np.testing.assert_allclose(found, wanted, atol=2e-4)
