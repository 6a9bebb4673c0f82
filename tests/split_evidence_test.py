"""What photos say to scores of splits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import density, grow, losses, render, split_evidence
from sr3d_jax.representations import gaussians as representation
from sr3d_jax.scenes import procedural

NUM = 40
DRAWING = {'background': (0.0, 0.0, 0.0), 'blur': 0.1}


@pytest.fixture(scope='module')
def scene():
  """A scene, and photos that it explains but for one half of each."""
  made = procedural.make(**procedural.TINY, num_points=NUM)
  rep = representation.make(capacity=NUM, sh_degree=0)
  kept = rep.gaussians(rep.init(jax.random.key(0), made))
  images = render.render_views(kept, made.train.cameras, **DRAWING)
  half = images.shape[2] // 2
  images[:, :, half:] += 0.2
  return kept, dataclasses.replace(made.train, images=images)


def test_pulls_add_up_view_by_view_whatever_their_direction(scene):
  kept, photos = scene
  two = jax.tree.map(lambda x: x[:2], photos)
  stats = split_evidence.screen_stats(kept, two, **DRAWING)
  total = 0.0
  for i in range(2):
    camera = render.view_of(two.cameras, i)

    def loss(offset, camera=camera, photo=two.images[i]):
      image = render.render(kept, camera, screen_offset=offset, **DRAWING).image
      return losses.photometric(image, photo)

    pull = jax.grad(loss)(jnp.zeros((NUM, 2)))
    half = np.array([camera.width / 2, camera.height / 2])
    total = total + np.linalg.norm(half * pull, axis=-1)
  np.testing.assert_allclose(stats.gradient, total, rtol=1e-3, atol=1e-6)
  assert stats.count.max() == 2
  # One pixel's pull cannot hide another's.
  assert (stats.absolute >= 0.999 * stats.gradient).all()


def test_errors_are_found_where_they_are(scene):
  kept, photos = scene
  perfect = dataclasses.replace(
    photos, images=render.render_views(kept, photos.cameras, **DRAWING)
  )
  for word in ('sigma', 'losses'):
    some, none = (
      split_evidence.gather((word,), kept, x, **DRAWING)[word]
      for x in (photos, perfect)
    )
    assert float(some.max()) > 0.01 and float(none.max()) < 1e-4
  # 0.2 everywhere is the most that a deviation can be.
  sigma = split_evidence.residual_rms(kept, photos, **DRAWING)
  assert float(sigma.max()) <= 0.2001


def test_pixels_that_are_not_trusted_are_no_errors(scene):
  kept, photos = scene
  nothing = np.zeros(photos.images.shape[:3], np.float32)
  spoilt = dataclasses.replace(photos, weights=nothing)
  assert not split_evidence.error_sums(kept, spoilt, **DRAWING).any()
  stats = split_evidence.screen_stats(kept, spoilt, **DRAWING)
  np.testing.assert_array_equal(stats.gradient, density.empty_stats(NUM).count)


def test_unknown_evidence_is_told(scene):
  with pytest.raises(
    ValueError, match='stats, sigma, losses, edges, got photo'
  ):
    split_evidence.gather(('photo',), *scene)


def test_what_is_remembered_is_told_by_values_alone(scene):
  kept, photos = scene
  asked = []

  def add(gaussians, cameras, *, blur):
    asked.append(blur)
    return gaussians.means + blur

  ask = split_evidence.remembering(add, most=2)
  again = jax.tree.map(jnp.array, kept)
  for gaussians in (kept, again):
    found = ask(gaussians, photos.cameras, blur=0.1)
    np.testing.assert_array_equal(found, kept.means + 0.1)
  assert asked == [0.1]
  moved = dataclasses.replace(kept, means=kept.means.at[3, 1].add(1e-3))
  ask(moved, photos.cameras, blur=0.1)
  ask(kept, photos.cameras.at_scale(2.0), blur=0.1)
  assert asked == [0.1] * 3
  ask(kept, photos.cameras, blur=0.1)  # forgotten by now
  ask(kept, photos.cameras, blur=0.2)
  assert asked == [0.1] * 4 + [0.2]


def test_who_grows_asks_for_every_curvature_what_remembers_it(scene):
  kept, photos = scene
  asked = []

  def measure(gaussians, seen, **options):
    asked.append(seen)
    if seen is photos:
      raise LookupError

  with pytest.raises(LookupError):
    grow.grow(
      jax.random.key(0), kept, photos.cameras, budget=3, score='split_gain',
      labels=photos, measure=measure, **DRAWING,
    )  # fmt: skip
  assert len(asked) == 2 and asked[0] is photos.cameras
