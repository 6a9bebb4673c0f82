"""Lenses: the published formula, every model of COLMAP's, folds."""

import numpy as np

from sr3d_jax import lenses

TERMS = (0.2, 0.05, 0.004, -0.003, 0.01)
FOCAL, CENTER = np.array([60.0, 62.0]), np.array([41.0, 29.0])
SIZE = (80, 60)


def _pixels():
  """[H, W, 2] centres, px."""
  width, height = SIZE
  x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
  return np.stack([x, y], axis=-1)


def _dot(where):
  """[H, W, 1] a blurred dot."""
  return np.exp(-((_pixels() - where) ** 2).sum(-1, keepdims=True) / 4)


def _middle(image):
  """The centre of mass of what is bright, px."""
  return (image * _pixels()).sum((0, 1)) / image.sum()


def test_the_lens_follows_the_published_formula():
  x, y = 0.3, 0.2
  r2 = x * x + y * y
  k1, k2, p1, p2, k3 = TERMS
  radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
  expected = (
    x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
    y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
  )
  lens = lenses.opencv(*TERMS)
  np.testing.assert_allclose(lens(np.array([x, y])), expected)
  assert lenses.opencv() is None


def test_undistorting_inverts_the_lens():
  """A blurred dot, put where the lens images a point, returns to that point."""
  ideal, lens = np.array([0.35, -0.22]), lenses.opencv(*TERMS)
  seen = lens(ideal) * FOCAL + CENTER
  fixed, _ = lenses.undistort(_dot(seen), FOCAL, CENTER, lens)
  np.testing.assert_allclose(_middle(fixed), ideal * FOCAL + CENTER, atol=0.1)
  assert np.linalg.norm(seen - (ideal * FOCAL + CENTER)) > 0.5


def test_a_lens_that_bends_nothing_moves_nothing():
  image = np.random.default_rng(0).uniform(size=(60, 80, 3))
  same, inside = lenses.undistort(image, FOCAL, CENTER, lambda plane: plane)
  np.testing.assert_allclose(same, image, atol=1e-5)
  assert inside.all()


def test_beyond_a_fold_nothing_is_seen():
  """r (1 - k r²) turns back at 1 / sqrt(3 k) and images the inside again."""
  lens, focal, center = lenses.opencv(-1.0), np.full(2, 40.0), np.full(2, 40.0)
  image = np.ones((80, 80, 1)) + np.eye(80)[..., None]
  _, inside = lenses.undistort(image, focal, center, lens)
  x, y = np.meshgrid(np.arange(80) + 0.5, np.arange(80) + 0.5)
  radius = np.hypot(x - 40, y - 40) / 40
  fold = 1 / np.sqrt(3)
  assert inside[radius < fold - 0.03].all()
  assert not inside[radius > fold + 0.03].any()


def test_where_a_lens_has_no_image_nothing_is_seen():
  def lens(plane):
    return np.where(plane[..., :1] > 0.3, np.nan, plane)

  image = np.random.default_rng(0).uniform(size=(60, 80, 3))
  fixed, inside = lenses.undistort(image, FOCAL, CENTER, lens)
  assert np.isfinite(fixed).all()
  edge = 0.3 * FOCAL[0] + CENTER[0]
  assert (
    inside[:, : int(edge) - 1].all() and not inside[:, int(edge) + 1 :].any()
  )
