"""The order-free sum of 2D Gaussians: windowed and dense, and its limits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from sr3d_kernels.accumulate import BACKENDS, accumulate, bench

POINT = jnp.zeros(3)  # the footprint of a point


def _gaussians(key, height, width, channels, max_sigma=1.0, min_sigma=0.2):
  """Anisotropic Gaussians as the spec's table has them: |rho| at most 1/2."""
  keys = jax.random.split(key, 5)
  shape = (height, width)
  uniform = functools.partial(jax.random.uniform, shape=shape)
  sigma_rows = uniform(keys[0], minval=min_sigma, maxval=max_sigma)
  sigma_columns = uniform(keys[1], minval=min_sigma, maxval=max_sigma)
  rho = uniform(keys[2], minval=-0.5, maxval=0.5)
  covariances = jnp.stack(
    [sigma_rows**2, rho * sigma_rows * sigma_columns, sigma_columns**2], axis=-1
  )
  values = jax.random.normal(keys[3], (*shape, channels))
  return values, covariances, uniform(keys[4], minval=0.3, maxval=1.0)


def _scattered(key, num, height, width):
  rows, columns = jax.random.uniform(key, (2, num))
  return rows * height, columns * width


@pytest.mark.parametrize(
  'max_sigma, errors',
  [
    (0.5, {1: 5.6e-3, 2: 9.5e-7}),
    (0.8, {1: 8.9e-2, 2: 2.1e-3, 3: 1.4e-5}),
    (1.0, {1: 1.9e-1, 2: 1.4e-2, 3: 4.5e-4, 4: 5.5e-6}),
    (1.5, {2: 1.2e-1, 3: 2.1e-2, 4: 2.6e-3, 5: 2.2e-4}),
    (2.0, {3: 9.5e-2, 4: 2.6e-2, 5: 5.5e-3}),
  ],
)
def test_a_window_of_three_deviations_is_nearly_everything(max_sigma, errors):
  scene = _gaussians(jax.random.key(0), 40, 40, 4, max_sigma)
  where = _scattered(jax.random.key(1), 2000, 40, 40)
  dense = accumulate(*scene, *where, POINT, radius=1, backend='reference')
  for radius, error in errors.items():
    found = accumulate(*scene, *where, POINT, radius=radius, backend='xla')
    rms = jnp.sqrt(jnp.mean((found.values - dense.values) ** 2))
    # the spec's figures are of other random fields; below 1e-6 float32 rounds
    assert rms / jnp.std(dense.values) < 1.6 * error + 3e-7


@pytest.mark.parametrize('backend', BACKENDS)
def test_a_grid_is_its_pixels_one_by_one(backend):
  scene = _gaussians(jax.random.key(2), 9, 12, 3)
  rows, columns = (
    (jnp.arange(21) + 0.5) * 9 / 21,
    (jnp.arange(17) + 0.5) * 12 / 17,
  )
  sums = functools.partial(accumulate, *scene, radius=3, backend=backend)
  grid = sums(rows[:, None], columns[None], POINT)
  flat = [x.reshape(-1) for x in jnp.meshgrid(rows, columns, indexing='ij')]
  single = sums(*flat, POINT)
  assert grid.values.shape == (21, 17, 3) and grid.weights.shape == (21, 17)
  np.testing.assert_allclose(
    grid.values.reshape(-1, 3), single.values, atol=1e-6
  )
  np.testing.assert_allclose(grid.weights.ravel(), single.weights, atol=1e-6)


@pytest.mark.parametrize('has_offsets', [False, True])
def test_the_window_agrees_with_the_definition(has_offsets):
  scene = _gaussians(jax.random.key(3), 10, 11, 2, max_sigma=0.6)
  where = _scattered(jax.random.key(4), 300, 10, 11)
  footprint = jax.random.uniform(jax.random.key(5), (300, 3), maxval=0.05)
  footprint = footprint + jnp.asarray([0.05, 0.0, 0.05])
  offsets = None
  if has_offsets:
    offsets = jax.random.uniform(
      jax.random.key(6), (10, 11, 2), minval=-0.5, maxval=0.5
    )
  found, expected = (
    accumulate(
      *scene, *where, footprint, radius=6, offsets=offsets, backend=name
    )
    for name in ('xla', 'reference')
  )
  np.testing.assert_allclose(found.values, expected.values, atol=2e-6)
  np.testing.assert_allclose(found.weights, expected.weights, atol=2e-6)


def test_one_gaussian_has_its_closed_form():
  # sigma 0.5 and 1, uncorrelated, seen by a pixel of variance 1/12
  values = jnp.zeros((7, 7, 1)).at[3, 3].set(2.0)
  covariances = jnp.tile(jnp.asarray([0.25, 0.0, 1.0]), (7, 7, 1))
  opacities = jnp.full((7, 7), 0.5)
  footprint = jnp.asarray([1.0, 0.0, 1.0]) / 12
  found = accumulate(
    values, covariances, opacities, jnp.asarray([3.8]), jnp.asarray([3.1]),
    footprint, radius=3,
  )  # fmt: skip
  rows, columns = 0.25 + 1 / 12, 1 + 1 / 12
  expected = 2 * 0.5 * np.sqrt(0.25 / (rows * columns))
  expected *= np.exp(-(0.3**2) / rows / 2 - 0.4**2 / columns / 2)
  np.testing.assert_allclose(found.values, [[expected]], rtol=1e-6)


@pytest.mark.parametrize('backend', BACKENDS)
def test_gradients_match_finite_differences(backend):
  with jax.enable_x64(True):
    scene = _gaussians(jax.random.key(7), 5, 6, 2, min_sigma=0.4)
    rows, columns = _scattered(jax.random.key(8), 8, 5, 6)
    # not at the border of a coarse pixel, where the window jumps
    rows, columns = (
      jnp.floor(x) + 0.2 + 0.6 * (x % 1) for x in (rows, columns)
    )
    footprint = jnp.asarray([0.04, 0.01, 0.03])
    offsets = 0.2 * jax.random.normal(jax.random.key(9), (5, 6, 2))

    def sums(values, covariances, opacities, rows, columns, offsets):
      found = accumulate(
        values, covariances, opacities, rows, columns, footprint,
        radius=3, offsets=offsets, backend=backend,
      )  # fmt: skip
      return found.values / found.weights[:, None]

    arguments = (*scene, rows, columns, offsets)
    arguments = jax.tree.map(lambda x: x.astype(jnp.float64), arguments)
    check_grads(sums, arguments, order=1, modes=['rev'], atol=1e-6, rtol=1e-6)


def test_the_benchmark_finds_wider_windows_better_and_dearer():
  first, last = bench.truncation(0.8, (1, 3))
  assert 1e-2 < first < 0.3 and 1e-7 < last < 3e-5
  taken, planned = bench.cost(1)
  assert taken > 0 and planned > bench.SIDE**2 * bench.CHANNELS


def test_memory_does_not_grow_with_the_window():
  scene = _gaussians(jax.random.key(0), 64, 64, 8)
  rows = (jnp.arange(256) + 0.5) / 4

  def needed(radius):
    def sums(*scene):
      return accumulate(
        *scene, rows[:, None], rows[None], POINT, radius=radius, backend='xla'
      )

    compiled = jax.jit(sums).lower(*scene).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert needed(4) < 1.1 * needed(1)


@pytest.mark.parametrize(
  'wrong, message',
  [
    (dict(covariances=jnp.ones((4, 5, 2))), r'covariances of values'),
    (dict(opacities=jnp.ones((4, 4))), r'opacities of values .* \(4, 5\)'),
    (dict(offsets=jnp.ones((4, 5))), r'offsets of values'),
    (dict(footprint=jnp.ones(2)), r'footprint must be \[..., 3\], got \(2,\)'),
    (dict(radius=0), 'radius must be at least 1 px, got 0'),
  ],
)
def test_shapes_that_do_not_fit_are_told(wrong, message):
  values, covariances, opacities = _gaussians(jax.random.key(0), 4, 5, 1)
  given = {
    'values': values,
    'covariances': covariances,
    'opacities': opacities,
    'rows': jnp.ones(3),
    'columns': jnp.ones(3),
    'footprint': POINT,
    'radius': 3,
  }
  with pytest.raises(ValueError, match=message):
    accumulate(**given | wrong)
