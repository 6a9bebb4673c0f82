"""Whole pictures from a field network, tile by tile."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import fields, sampling
from sr3d_jax.models import gaussian_sr
from sr3d_jax.types import FieldNetwork

KEY = jax.random.key(3)
SMALL = {
  'encoder': {'name': 'edsr', 'channels': 8, 'num_blocks': 1},
  'num_kernels': 4,
  'gaussian_channels': 4,
  'width': 8,
  'hidden': (8,),
}


def _interpolation(halo=1):
  """A network that knows nothing but bilinear interpolation."""
  look_up = jax.vmap(sampling.bilinear, in_axes=(0, None, None))
  return FieldNetwork(
    init=lambda key: {},
    encode=lambda params, images: images,
    decode=lambda params, maps, q: look_up(maps, q.rows[0], q.columns[0]),
    loss=None,
    halo=halo,
  )


@pytest.mark.parametrize('size', [(40, 50), (80, 113), (97, 60), (133, 166)])
def test_tiles_and_blocks_change_nothing(size):
  network = gaussian_sr.make(**SMALL)
  params = network.init(KEY)
  image = jax.random.uniform(KEY, (40, 50, 3))
  whole = fields.enlarge(network, params, image, *size, tile=64)
  tiled = fields.enlarge(network, params, image, *size, tile=13, block=17)
  np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_a_halo_that_is_too_small_would_show():
  network = gaussian_sr.make(**SMALL)
  params = network.init(KEY)
  image = jax.random.uniform(KEY, (40, 50, 3))
  whole = fields.enlarge(network, params, image, 80, 100)
  short = network._replace(halo=2)
  tiled = fields.enlarge(short, params, image, 80, 100, tile=13)
  assert np.abs(tiled - whole).max() > 1e-4


def test_the_halo_is_what_colours_depend_on():
  network = gaussian_sr.make(**SMALL)
  params = network.init(KEY)
  image = jax.random.uniform(KEY, (41, 41, 3))

  def total(image):
    queries = fields.grid(41, 41, 41, 41)
    found = network.decode(params, network.encode(params, image[None]), queries)
    return jnp.sum(found[0, 20, 20])

  reach = np.abs(np.argwhere(jax.grad(total)(image).any(axis=-1)) - 20).max()
  assert reach == network.halo


def test_pictures_far_from_the_origin_are_as_sharp():
  # a float32 position near 5000 px is good to 1/2000 px only
  ramp = np.linspace(0, 1, 5000, dtype=np.float32)[:, None, None]
  ramp = np.broadcast_to(ramp, (5000, 3, 3))
  found = fields.enlarge(_interpolation(), {}, ramp, 20_000, 12)
  centers = (np.arange(20_000) + 0.5) / 4 - 0.5
  expected = np.clip(centers, 0, 4999) / 4999
  np.testing.assert_allclose(found[:, 5, 0], expected, atol=2e-7)


def test_progress_is_told():
  told = []
  fields.enlarge(
    _interpolation(), {}, np.zeros((20, 30, 3)), 40, 60, tile=10, block=10,
    on_part=lambda *args: told.append(args),
  )  # fmt: skip
  assert told == [(i, 24) for i in range(1, 25)]  # four parts a tile


def test_a_picture_of_one_pixel_is_enlarged():
  found = fields.enlarge(_interpolation(), {}, np.full((1, 1, 3), 0.3), 4, 7)
  np.testing.assert_allclose(found, np.full((4, 7, 3), 0.3), atol=1e-6)


def test_a_homography_that_scales_is_a_grid():
  matrix = np.diag([10 / 35, 8 / 24, 1.0])
  warped, grid = fields.warped(matrix, 24, 35), fields.grid(8, 10, 24, 35)
  shape = (1, 24, 35)
  for name in ('rows', 'columns'):
    expected = np.broadcast_to(getattr(grid, name), shape)
    np.testing.assert_allclose(getattr(warped, name), expected, rtol=1e-5)
  np.testing.assert_allclose(
    warped.footprint, np.broadcast_to(grid.footprint, (*shape, 3)), atol=1e-6
  )


def test_a_rotated_picture_is_what_was_asked_for():
  # a quarter turn about the centre of 14 x 14, no scaling: rows become columns
  network = gaussian_sr.make(**SMALL)
  params = network.init(KEY)
  image = jax.random.uniform(KEY, (1, 14, 14, 3))
  quarter = jnp.asarray([[0.0, 1, 0], [-1, 0, 14], [0, 0, 1]])
  features = network.encode(params, image)
  turned = network.decode(params, features, fields.warped(quarter, 14, 14))
  plain = network.decode(params, features, fields.grid(14, 14, 14, 14))
  # new (x, y) looks at old (y, 14 - x)
  np.testing.assert_allclose(
    turned[0], plain[0, ::-1].swapaxes(0, 1), atol=1e-5
  )


@pytest.mark.parametrize('size', [(80, 120), (107, 131)])
def test_one_compilation_serves_pictures_of_one_size(size):
  network = gaussian_sr.make(**SMALL)
  params = network.init(KEY)
  for seed in range(3):
    image = jax.random.uniform(jax.random.key(seed), (40, 60, 3))
    fields.enlarge(network, params, image, *size, tile=19, block=16)
  encode, decode = fields._compiled(network)
  assert encode._cache_size() == 1 and decode._cache_size() == 1


@pytest.mark.parametrize('size', [(80, 120), (107, 131)])
def test_parts_cover_the_picture_and_are_small(size):
  seen = np.zeros(size, int)
  image = np.zeros((40, 60, 3))
  for part in fields.parts(
    _interpolation(), {}, image, *size, tile=19, block=16
  ):
    assert max(part.colors.shape[:2]) <= 16
    seen[part.rows, part.columns] += 1
    assert part.colors.shape == (*seen[part.rows, part.columns].shape, 3)
  assert seen.min() == 1
  assert seen.mean() < 1.2


def test_a_network_that_sees_everything_draws_it_once():
  network, asked = _interpolation(halo=None), []
  decode = network.decode

  def count(params, maps, queries):
    asked.append((queries.height, queries.width, queries.scale))
    return decode(params, maps, queries)

  network = network._replace(decode=count)
  image = jax.random.uniform(KEY, (30, 40, 3))
  found = fields.enlarge(network, {}, image, 222, 296, scale=7.4, tile=8)
  expected = fields.enlarge(_interpolation(), {}, image, 222, 296)
  assert asked == [(222, 296, 7.4)]
  np.testing.assert_allclose(found, expected, atol=1e-6)
