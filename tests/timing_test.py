"""A clocked prior does what it did, and each of its calls is timed."""

from sr3d_jax import timing
from sr3d_jax.types import SRPrior


def _prior(couple=None):
  return SRPrior(
    init=lambda key: {},
    begin=lambda params, key, views: 'begun',
    step=lambda params, key, state, i: (state, i),
    inject=lambda params, state, images: images,
    num_steps=2,
    scale=4.0,
    couple=couple,
  )


def test_every_call_between_the_fits_is_timed():
  prior, seconds = timing.timed(
    _prior(lambda key, state, gaussians, cameras, **drawing: drawing)
  )
  assert prior.begin({}, None, None) == 'begun'
  assert prior.couple(None, 'begun', None, None, blur=0.3) == {'blur': 0.3}
  assert prior.step({}, None, 'begun', 1) == ('begun', 1)
  assert prior.inject({}, 'begun', 'images') == 'images'
  assert len(seconds) == 4 and min(seconds) >= 0


def test_a_prior_that_couples_to_nothing_still_does_not():
  assert timing.timed(_prior())[0].couple is None
