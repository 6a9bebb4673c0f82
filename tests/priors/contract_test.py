"""What every prior keeps, each built from its own TINY."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import resolve
from sr3d_jax.types import Camera, SRPrior, Views

KEY = jax.random.key(7)
HEIGHT, WIDTH = 16, 18


def _views(num_views=2):
  camera = Camera(
    world_to_cam=jnp.broadcast_to(jnp.eye(4), (num_views, 4, 4)),
    focal=jnp.full((num_views, 2), 20.0),
    center=jnp.full((num_views, 2), 9.0),
    width=WIDTH,
    height=HEIGHT,
  )
  shape = (num_views, HEIGHT, WIDTH, 3)
  return Views(images=jax.random.uniform(KEY, shape), cameras=camera)


def _enlarge(prior: SRPrior, params, views: Views, inject=None):
  state = prior.begin(params, KEY, views)
  for i in range(prior.num_steps):
    state, images = prior.step(params, jax.random.fold_in(KEY, i), state, i)
    if inject is not None:
      state = prior.inject(params, state, inject)
  return images


@pytest.fixture(scope='module', params=resolve.names('priors'))
def plugin(request):
  module = resolve.module('priors', request.param)
  prior = module.make(**module.TINY)
  return module, prior, prior.init(KEY)


def test_it_says_its_scale_and_number_of_steps(plugin):
  module, prior, _ = plugin
  assert isinstance(prior, SRPrior)
  assert prior.scale == module.TINY['scale']
  assert prior.num_steps >= 1


def test_images_are_finer_finite_and_in_range(plugin):
  _, prior, params = plugin
  images = _enlarge(prior, params, _views())
  size = round(HEIGHT * prior.scale), round(WIDTH * prior.scale)
  assert images.shape == (2, *size, 3)
  assert images.dtype == jnp.float32
  assert jnp.all((images >= 0) & (images <= 1))


def test_the_same_key_gives_the_same_bits(plugin):
  _, prior, params = plugin
  views = _views()
  once, again = (_enlarge(prior, params, views) for _ in range(2))
  np.testing.assert_array_equal(once, again)


def test_init_is_deterministic(plugin):
  _, prior, params = plugin
  jax.tree.map(np.testing.assert_array_equal, params, prior.init(KEY))


def test_the_size_asked_for_is_exact_at_another_scale(plugin):
  module, _, params = plugin
  prior = module.make(**module.TINY | {'scale': 2.5})
  images = _enlarge(prior, params, _views(1))
  assert images.shape == (1, 40, 45, 3)


def test_what_is_injected_may_be_any_finer_images(plugin):
  _, prior, params = plugin
  size = round(HEIGHT * prior.scale), round(WIDTH * prior.scale)
  images = _enlarge(prior, params, _views(), inject=jnp.ones((2, *size, 3)))
  assert jnp.all(jnp.isfinite(images))


def test_a_scale_below_1_is_refused(plugin):
  module, _, _ = plugin
  with pytest.raises(ValueError, match=r'got 0\.25: a prior enlarges; did you'):
    module.make(**module.TINY | {'scale': 0.25})
