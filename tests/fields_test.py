"""Whole pictures from a field network, tile by tile."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import fields, sampling
from sr3d_jax.models import gaussian_sr
from sr3d_jax.types import FieldNetwork, Queries

KEY = jax.random.key(3, impl='unsafe_rbg')  # draws without much to compile
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


@pytest.mark.parametrize('num_splatted', [4, 0])
def test_the_halo_is_what_colours_depend_on(num_splatted):
  network = gaussian_sr.make(**SMALL | {'gaussian_channels': num_splatted})
  params = network.init(KEY)
  image = jax.random.uniform(KEY, (41, 41, 3))

  def total(image):
    # pixel 20, off its centre: there a bicubic has two taps fewer
    place = jnp.asarray([[20.8]])
    queries = Queries(
      rows=place, columns=place, footprint=jnp.ones((1, 1, 3)) / 4
    )
    found = network.decode(params, network.encode(params, image[None]), queries)
    return jnp.sum(found)

  reach = np.abs(
    np.argwhere(jax.jit(jax.grad(total))(image).any(axis=-1)) - 20
  ).max()
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


def test_a_tilted_pixel_is_as_large_as_its_corners_say():
  matrix = np.array([[0.4, 0.1, 2.0], [-0.05, 0.3, 1.0], [0.004, 0.02, 0.9]])
  found = fields.warped(matrix, 12, 9)

  def place(row, column):
    x, y, w = matrix @ [column, row, 1.0]
    return np.array([y, x]) / w

  for row, column in ((0, 0), (11, 3), (5, 8)):
    r, c = row + 0.5, column + 0.5
    expected = place(r, c)
    jacobian = np.stack(
      [
        place(r + 1e-4, c) - place(r - 1e-4, c),
        place(r, c + 1e-4) - place(r, c - 1e-4),
      ],
      axis=-1,
    )
    spread = (jacobian / 2e-4) @ (jacobian / 2e-4).T
    at = (0, row, column)
    np.testing.assert_allclose(
      [found.rows[at], found.columns[at]], expected, rtol=1e-6
    )
    np.testing.assert_allclose(
      found.footprint[at], spread[[0, 0, 1], [0, 1, 1]], rtol=1e-5
    )


def test_nothing_is_shown_from_behind_the_horizon():
  # w = 1 - 0.1 row: the pixels of row 9 lie at w = 0.05, of row 10 at -0.05
  matrix = np.array([[1.0, 0, 0], [0, 1, 0], [0, -0.1, 1]])
  assert np.isfinite(fields.warped(matrix, 10, 6).footprint).all()
  with pytest.raises(ValueError, match=r'before its horizon.* from -0.05 to'):
    fields.warped(matrix, 11, 6)
  matrix[2, 1] = -1 / 9.5  # the pixels of row 9 lie on it
  with pytest.raises(ValueError, match='before its horizon'):
    fields.warped(matrix, 10, 6)
  with pytest.raises(ValueError, match='negate a matrix'):
    fields.warped(-np.eye(3), 4, 4)


def test_a_pixel_next_to_the_horizon_is_still_a_number():
  # w from 2e-6 of the greatest on, the nearest that is answered
  matrix = np.array([[1.0, 0, 0], [0, 1, 0], [0, -1, 3999.5 + 0.008]])
  found = fields.warped(matrix, 4000, 2)
  assert np.isfinite(found.footprint).all() and np.isfinite(found.rows).all()


def test_a_rotated_picture_is_what_was_asked_for():
  # a quarter turn about the centre of 14 x 14, no scaling: rows become columns
  network = gaussian_sr.make(**SMALL)
  params = network.init(KEY)
  encode, decode = jax.jit(network.encode), jax.jit(network.decode)
  features = encode(params, jax.random.uniform(KEY, (1, 14, 14, 3)))
  quarter = np.array([[0.0, 1, 0], [-1, 0, 14], [0, 0, 1]])
  turned = decode(params, features, fields.warped(quarter, 14, 14))
  plain = decode(params, features, fields.grid(14, 14, 14, 14))
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
