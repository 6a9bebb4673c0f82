"""The released splat: its defects in numbers, and what cures each of them.

The numbers of D2 and D5 were measured on the released module, at the opacities
that its bank begins with.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import image, kernel_bank, tile_splat
from sr3d_jax.kernel_bank import TILE, Shapes

KEY = jax.random.key(0)
SIGMA, OPACITY = 1.76, 0.731


def _alike(size, sigma=SIGMA, opacity=1.0, batch=1):
  """One round shape for all pixels."""
  deviation = jnp.full((batch, size, size), sigma)
  return Shapes(
    deviation, deviation, 0 * deviation, jnp.full_like(deviation, opacity)
  )


def _splat(values, shapes, scale, **options):
  height, width = (round(scale * n) for n in values.shape[1:3])
  found = tile_splat.splat(
    values, shapes, height, width, scale=scale, **options
  )
  return np.asarray(found)


def _constant(scale, sigma=SIGMA, **options):
  """The field of ones on two by two tiles."""
  shapes = _alike(2 * TILE, sigma, OPACITY)
  return _splat(jnp.ones((1, 2 * TILE, 2 * TILE, 1)), shapes, scale, **options)


def _center_errors(scale, **options):
  """Fine px from where an impulse should be to where it is, rows by place.

  A kernel of next to no width shows its centre. The first place is left out:
  released, it lies on the tile's border, which cuts it.
  """
  errors = []
  for row in range(1, TILE):
    values = jnp.zeros((1, TILE, TILE, 1)).at[0, row, 3].set(1.0)
    found = _splat(values, _alike(TILE, 0.2), scale, **options)[0, ..., 0]
    center = (np.arange(len(found)) + 0.5) @ found.sum(1) / found.sum()
    errors.append(center - (row + 0.5) * scale)
  return np.array(errors)


# D1


def test_all_tiles_and_pictures_share_their_shapes():
  keys = jax.random.split(KEY, 3)
  values = jax.random.uniform(keys[0], (2, TILE, TILE, 2))
  shapes = _alike(TILE, batch=2)
  sigma = jax.random.uniform(keys[1], (2, TILE, TILE), minval=0.5, maxval=4.0)
  other = jax.random.uniform(keys[2], (TILE, TILE), minval=0.5, maxval=4.0)
  before, after = (
    _splat(values, shapes._replace(sigma_rows=s), 3)
    for s in (sigma, sigma.at[1].set(other))
  )
  # only the second picture's shapes changed
  assert np.abs(before - after)[0].max() > 0.02
  before, after = (
    _splat(values, shapes._replace(sigma_rows=s), 3, average=False)
    for s in (sigma, sigma.at[1].set(other))
  )
  np.testing.assert_array_equal(before[0], after[0])
  assert np.abs(before - after)[1].max() > 0.02


# D2


@pytest.mark.parametrize('scale, first, last', [
  (2, -1.1, -1.9), (3, -1.1, -1.9), (4, -2.1, -2.9), (8, -4.1, -4.9),
])  # fmt: skip
def test_released_centres_are_off_more_and_more_across_a_tile(
  scale, first, last
):
  errors = _center_errors(scale)
  # they were given with two digits
  np.testing.assert_allclose(errors[[0, -1]], [first, last], atol=0.06)
  np.testing.assert_allclose(np.diff(errors), -1 / TILE, atol=1e-4)


@pytest.mark.parametrize('scale', [2, 3, 4, 8])
def test_half_pixel_centres_are_right(scale):
  errors = _center_errors(scale, centre='half_pixel')
  np.testing.assert_allclose(errors, 0, atol=1e-4)


# D3


def test_released_kernels_have_five_fine_pixels_at_any_scale():
  values = jnp.zeros((1, TILE, TILE, 1)).at[0, 3, 3].set(1.0)
  for scale in (5, 9):  # at which half-pixel centres lie on pixels
    found = _splat(values, _alike(TILE), scale, centre='half_pixel')
    rows, columns = np.nonzero(found[0, ..., 0])
    middle = (7 * scale - 1) // 2
    wanted = np.arange(middle - 2, middle + 3)
    np.testing.assert_array_equal(np.unique(rows), wanted)
    np.testing.assert_array_equal(np.unique(columns), wanted)
    line = found[0, middle, middle - 2 : middle + 3, 0]
    taps = np.linspace(-5, 5, 5)
    np.testing.assert_allclose(
      line, np.exp(-(taps**2) / 2 / SIGMA**2), rtol=1e-4
    )


@pytest.mark.parametrize('scale', [5, 9])
def test_kernels_in_coarse_pixels_grow_with_the_scale(scale):
  values = jnp.zeros((1, TILE, TILE, 1)).at[0, 3, 3].set(1.0)
  found = _splat(
    values, _alike(TILE, 0.6), scale, units='lr', centre='half_pixel'
  )[0, ..., 0]
  places = (np.arange(7 * scale) + 0.5) / scale - 3.5
  variance = (places**2) @ found.sum(1) / found.sum()
  np.testing.assert_allclose(variance, 0.6**2, rtol=1e-3)


def test_sigma_rows_acts_on_rows():
  shapes = _alike(TILE)
  shapes = shapes._replace(sigma_rows=2 * shapes.sigma_rows)
  values = jnp.zeros((1, TILE, TILE, 1)).at[0, 3, 3].set(1.0)
  found = _splat(values, shapes, 5, centre='half_pixel')[0, ..., 0]
  ratio = found[17 + 1, 17] / found[17, 17 + 1]
  step = 2.5**2 / 2 / SIGMA**2
  np.testing.assert_allclose(ratio, np.exp(step - step / 4), rtol=1e-4)


# D4


@pytest.mark.parametrize('scale, share', [
  (2, 0), (3, 0), (4, 0.138), (6, 0.181), (8, 0.515), (12, 0.784),
])  # fmt: skip
def test_released_kernels_leave_holes(scale, share):
  holes = np.mean(_constant(scale) == 0)
  # PyTorch's own sampler, on the same kernels, gives these to the last pixel
  np.testing.assert_allclose(holes, share, atol=6e-4)


@pytest.mark.parametrize('scale', [4, 12])
def test_kernels_in_coarse_pixels_leave_no_holes(scale):
  assert _constant(scale, 0.6, units='lr', centre='half_pixel').min() > 0.1


# D5


@pytest.mark.parametrize('scale, mean', [
  (2, 0.49), (3, 0.24), (4, 0.13), (8, 0.03), (12, 0.014),
])  # fmt: skip
def test_released_sums_fade_as_the_square_of_the_scale(scale, mean):
  np.testing.assert_allclose(_constant(scale).mean(), mean, atol=0.008)


@pytest.mark.parametrize('scale', [2, 4, 12])
def test_normalised_sums_keep_a_constant_wherever_there_is_weight(scale):
  field = _constant(scale, blend='norm')
  weights = _constant(scale, clamp=False)
  # 1e-8 is added to the sum that divides
  np.testing.assert_allclose(field[weights > 1e-3], 1, atol=2e-5)
  assert np.all(field[weights == 0] == 0)  # holes are not cured by this


# D6


def test_a_tile_is_cut_at_its_border():
  values = jnp.zeros((1, TILE, 2 * TILE, 1)).at[0, 3, TILE - 1].set(1.0)
  found = tile_splat.splat(
    values, Shapes(*(jnp.tile(x, (1, 1, 2)) for x in _alike(TILE))), 35, 70,
    scale=5, centre='half_pixel', units='lr',
  )[0, ..., 0]  # fmt: skip
  assert found[17, 34] > 0.5 and np.all(found[:, 35:] == 0)


def test_tiles_of_no_whole_side_are_stretched():
  # 7 * 2.5 rounds to 18: the tiles have 36 px together, the picture 35
  values = jax.random.uniform(KEY, (1, 2 * TILE, 2 * TILE, 1))
  shapes = _alike(2 * TILE)
  whole, found = (
    tile_splat.splat(values, shapes, size, size, scale=2.5) for size in (36, 35)
  )
  expected = image.resize(
    whole, 35, 35, method='bicubic_torch', antialias=False
  )
  np.testing.assert_allclose(found, expected, atol=1e-6)


# D7


@pytest.mark.parametrize('clamp', [True, False])
def test_clipping_forgets_what_is_negative(clamp):
  shapes = _alike(TILE)

  def total(values):
    field = tile_splat.splat(values, shapes, 14, 14, scale=2, clamp=clamp)
    return jnp.sum(field), jnp.min(field)

  values = jnp.full((1, TILE, TILE, 1), -0.3)
  grads, lowest = jax.grad(total, has_aux=True)(values)
  if clamp:
    assert lowest == 0 and np.all(grads == 0)
  else:
    assert lowest < -0.1 and np.all(grads > 0.1)


# The rest


def test_a_picture_of_no_whole_tiles_is_stretched_first():
  values = jnp.full((1, 9, 11, 2), 0.4)
  shapes = jax.tree.map(lambda x: x[:, :9, :11], _alike(14))
  found = tile_splat.splat(values, shapes, 27, 33, scale=3, blend='norm')
  assert found.shape == (1, 27, 33, 2)
  # the sum that divides has 1e-8 added, and is small at a tile's corners
  np.testing.assert_allclose(found, 0.4, atol=1e-3)


def test_averages_are_those_of_the_bank():
  keys = jax.random.split(KEY, 5)
  size = (2, 2 * TILE, 2 * TILE)
  drawn = (jax.random.uniform(k, (*size, 1)) for k in keys[:4])
  shapes = Shapes(*drawn)._replace(rho=jnp.zeros((*size, 1)))
  values = jax.random.normal(keys[4], (*size, 3))
  shared = kernel_bank.average_tiles(shapes)
  flat, shared = (
    jax.tree.map(lambda x: x[..., 0], x) for x in (shapes, shared)
  )
  np.testing.assert_allclose(
    _splat(values, flat, 2), _splat(values, shared, 2, average=False), atol=1e-5
  )
