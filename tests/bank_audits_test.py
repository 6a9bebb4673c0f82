"""What is asked of a bank of kernels whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import bank_audits
from sr3d_jax.models import gaussian_sr

DESIGN = {
  'encoder': {'name': 'edsr', 'channels': 8, 'num_blocks': 1},
  'num_kernels': 4,
  'gaussian_channels': 4,
  'width': 8,
  'hidden': (8,),
  'sigmas': (0.2, 0.4),
}
LOW = np.random.default_rng(0).uniform(size=(14, 14, 3)).astype(np.float32)
AUDITS = {
  'gates': bank_audits.gates,
  'usage': bank_audits.usage,
  'uncertainty': bank_audits.uncertainty,
  'flips': bank_audits.flips,
}


def _params(design):
  """Noise; and four kernels alike: 0.3 px wide, of opacity 1/2."""
  network, rng = gaussian_sr.make(**design), np.random.default_rng(2)
  # To draw them by `init` takes ten seconds of compilation.
  params = jax.tree.map(
    lambda x: 0.1 * rng.standard_normal(x.shape, np.float32),
    jax.eval_shape(network.init, jax.random.key(0)),
  )
  params['bank'] = jax.tree.map(jnp.zeros_like, params['bank'])
  return params


def _weights(offset=None, **options):
  """Total weight of each fine pixel of LOW at x2, kernels being alike."""
  design = {**DESIGN, 'offsets': offset is not None, **options}
  params = _params(design)
  if offset is not None:
    params['mover'] = jax.tree.map(jnp.zeros_like, params['mover'])
    params['mover']['bias'] += jnp.arctanh(2 * offset)
  return bank_audits._weigher(design, 2.0)(params, LOW)['weight'][8:20, 8:20]


def _expected(offset=0.0):
  """The same, far from borders, by the sum along rows and along columns."""
  fine = np.array([-0.25, 0.25] * 6) - offset
  away = fine[:, None] - np.arange(-3, 4)
  variance = 0.3**2
  wider = variance + (1 / 3) / 4 / 2**2
  sums = np.exp(-(away**2) / wider / 2).sum(axis=1)
  return 0.5 * variance / wider * np.outer(sums, sums)


@pytest.mark.parametrize('audit', AUDITS)
@pytest.mark.parametrize(
  'options, reason',
  [
    ({'gaussian_channels': 0}, 'gaussian_channels=0: it has no bank'),
    ({'units': 'hr'}, "of units='lr', got 'hr'"),
    ({'splat': 'bricks'}, "exact or tiles, got 'bricks'"),
  ],
)
def test_a_design_without_an_answer_is_refused_first(audit, options, reason):
  with pytest.raises(ValueError, match=reason):
    AUDITS[audit](None, {**DESIGN, **options}, None)


@pytest.mark.parametrize('audit', ['gates', 'uncertainty'])
@pytest.mark.parametrize(
  'options, reason',
  [
    ({'splat': 'tiles'}, "of splat='exact', got 'tiles'"),
    ({'centre': 'released'}, "of centre='half_pixel', got 'released'"),
  ],
)
def test_only_exact_kernels_are_asked_for_weights(audit, options, reason):
  with pytest.raises(ValueError, match=reason):
    AUDITS[audit](None, {**DESIGN, **options}, None)


@pytest.mark.parametrize('select', ['soft', 'mixture'])
def test_weights_are_those_of_the_kernels(select):
  np.testing.assert_allclose(_weights(select=select), _expected(), rtol=1e-4)


def test_weights_follow_kernels_that_move():
  assert np.abs(_expected(0.15) / _expected() - 1).max() > 0.1
  np.testing.assert_allclose(_weights(0.15), _expected(0.15), rtol=1e-4)


def test_holes_are_looked_for_in_a_corner_of_every_square():
  lows = [np.full((20, 20, 3), value) for value in (1.0, 1.0, 0.0)]
  lows[1][16:] = 0  # beyond the corner
  lows[1][:4, :16] = 0

  def weigh(params, lr):
    return {'weight': params * lr[..., 0]}

  assert bank_audits._holes(weigh, 0.5, lows) == (0 + 1 / 4 + 1) / 3


def test_all_pixels_that_change_their_kernel_are_counted():
  params = _params(DESIGN)
  params['selector'] = jax.tree.map(jnp.zeros_like, params['selector'])
  sure = params['selector']['bias']
  first, last = (
    params | {'selector': params['selector'] | {'bias': sure.at[k].set(9.0)}}
    for k in (0, 2)
  )
  squares = [np.tile(LOW, (4, 4, 1))]
  kept = {100: None, 200: first, 250: last}
  assert bank_audits.flips(kept, DESIGN, squares) == 1000 / 50
  kept = {200: first, 250: first}
  assert bank_audits.flips(kept, DESIGN, squares) == 0
  with pytest.raises(
    ValueError, match=r'two checkpoints, got those of \[250\]'
  ):
    bank_audits.flips({250: last}, DESIGN, squares)


def test_uncertainty_is_not_judged_by_the_pictures_that_it_fits():
  with pytest.raises(ValueError, match='got 1: give 2 at least'):
    bank_audits.uncertainty(None, DESIGN, [LOW])
