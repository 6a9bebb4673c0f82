"""Looking pictures up between their pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import image, sampling

PICTURE = jax.random.uniform(jax.random.key(0), (7, 9, 2))
METHODS = (sampling.nearest, sampling.bilinear, sampling.bicubic)


def _grid(height, width):
  rows = (jnp.arange(height) + 0.5) * 7 / height
  columns = (jnp.arange(width) + 0.5) * 9 / width
  return rows[:, None], columns[None]


@pytest.mark.parametrize('method', METHODS)
def test_a_grid_is_its_positions_one_by_one(method):
  rows, columns = _grid(15, 23)
  grid = method(PICTURE, rows, columns)
  flat = (x.reshape(-1) for x in jnp.broadcast_arrays(rows, columns))
  np.testing.assert_allclose(
    grid.reshape(-1, 2), method(PICTURE, *flat), atol=1e-6
  )


@pytest.mark.parametrize('method', METHODS)
def test_pixel_centres_give_the_pixels(method):
  np.testing.assert_allclose(method(PICTURE, *_grid(7, 9)), PICTURE, atol=1e-6)


def test_bicubic_enlarges_as_pytorch_does():
  found = sampling.bicubic(PICTURE, *_grid(16, 25), a=-0.75)
  expected = image.resize(
    PICTURE, 16, 25, method='bicubic_torch', antialias=False
  )
  np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize('method', METHODS[1:])
def test_a_ramp_stays_one(method):
  ramp = jnp.broadcast_to(jnp.arange(20.0)[:, None, None] + 0.5, (20, 5, 1))
  rows = jnp.linspace(2, 18, 50)
  found = method(ramp, rows, jnp.full(50, 2.2))
  np.testing.assert_allclose(found[:, 0], rows, atol=1e-5)


@pytest.mark.parametrize('method', METHODS)
def test_beyond_the_border_the_last_pixel_goes_on(method):
  found = method(PICTURE, jnp.asarray([-3.0, 12.0]), jnp.asarray([-2.0, 14.0]))
  np.testing.assert_allclose(found, PICTURE[[0, -1], [0, -1]], atol=1e-6)
