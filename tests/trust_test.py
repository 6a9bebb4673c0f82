"""Trust in finer views: who stands closest, and who agrees with the scene."""

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import render, sh, trust
from sr3d_jax.types import Camera, Gaussians

SIZE = 16
DRAWING = {'blur': 0.0, 'compensation': 'none'}


def cameras(*distances) -> Camera:
  """In front of the origin, which all see in the middle."""
  poses = np.tile(np.eye(4, dtype=np.float32), (len(distances), 1, 1))
  poses[:, 2, 3] = distances
  return Camera(
    world_to_cam=jnp.asarray(poses),
    focal=jnp.full((len(distances), 2), 32.0),
    center=jnp.full((len(distances), 2), SIZE / 2),
    width=SIZE,
    height=SIZE,
  )


def ball() -> Gaussians:
  """One Gaussian at the origin, 3.2 px wide from a distance of 2; white."""
  return Gaussians(
    means=jnp.zeros((1, 3)),
    log_scales=jnp.full((1, 3), jnp.log(0.2)),
    quats=jnp.asarray([[1.0, 0, 0, 0]]),
    opacity_logits=jnp.full(1, 2.0),
    sh=sh.from_rgb(jnp.ones((1, 3))),
  )


@pytest.mark.parametrize(
  'distances, closest, score',
  [
    ((2.0, 3.0, 4.0), 0, 1.0),
    ((4.0, 3.0, 2.0), 2, 1.0),
    ((2.2, 2.1, 2.0), 2, 0.5),  # the sizes' ratio is that of the distances
    ((2.0, 4.0, -2.0), 0, 0.0),  # two views see it, and two are too few
  ],
)
def test_a_surface_is_trusted_where_it_is_seen_from_closest(
  distances, closest, score
):
  views = cameras(*distances)
  alpha = render.render_views(ball(), views, **DRAWING)[..., 0]
  expected = 1 - score * alpha
  expected[closest] += alpha[closest]
  for background in ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
    weights = trust.splatsure(
      ball(), views, None, None, drawing=DRAWING | {'background': background}
    )
    np.testing.assert_allclose(weights, expected / 2, atol=1e-5)
  assert weights[closest, 8, 8] > 0.49


def test_the_size_is_that_along_the_longer_axis():
  views = cameras(2.0, 2.0, 2.0)
  tall = jnp.log(jnp.asarray([[0.1, 0.3, 1e-4]]))
  gaussians = Gaussians(**vars(ball()) | {'log_scales': tall})
  options = tuple(sorted(DRAWING.items()))
  sizes = trust._sizes(gaussians, views, options)
  np.testing.assert_allclose(sizes['largest'], 0.3 * 32 / 2, rtol=1e-4)
  np.testing.assert_allclose(sizes['smallest'], 0.3 * 32 / 2, rtol=1e-4)
  assert int(sizes['count'][0]) == 3


def test_trust_falls_with_the_difference_around_a_pixel():
  renders = np.full((2, 24, 32, 3), 0.5, np.float32)
  images = renders.copy()
  images[0, :, :16, 1] += 0.3  # a mean difference of 0.1 over the colours
  weights = trust.residual(None, None, images, renders, tolerance=0.2)
  assert weights.shape == (2, 24, 32)
  np.testing.assert_allclose(weights[0, :, :8], np.exp(-0.25), rtol=1e-5)
  np.testing.assert_allclose(weights[0, :, 24:], 1, rtol=1e-5)
  assert (np.diff(weights[0, 12]) >= 0).all()
  np.testing.assert_array_equal(weights[1], 1)


def test_renders_of_another_size_are_refused():
  with pytest.raises(ValueError, match='draw the scene with the cameras of'):
    trust.residual(None, None, np.zeros((1, 8, 8, 3)), np.zeros((1, 4, 4, 3)))


def test_a_rule_is_named_by_a_word_or_a_section():
  assert trust.make('none') is None
  assert trust.make('splatsure').func is trust.splatsure
  rule = trust.make({'name': 'residual', 'tolerance': 0.2})
  assert rule.func is trust.residual
  assert rule.keywords == {'tolerance': 0.2}
  for section in ('blind', {'tolerance': 0.2}, {'name': 'none', 'sigma': 1.0}):
    with pytest.raises(ValueError, match='trust must be none, splatsure or'):
      trust.make(section)
