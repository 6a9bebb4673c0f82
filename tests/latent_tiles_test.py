"""Tiles cover, blend without seams, and lie where published code puts them."""

import os

import jax
import numpy as np
import pytest

from sr3d_jax import diffusion, latent_tiles, samplers
from sr3d_jax.io import paths

RNG = np.random.default_rng(0)


@pytest.fixture(scope='module')
def arrays():
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no fixtures of others here')
  with np.load(paths.data_path('fixtures/tile_blend.npz')) as file:
    return dict(file)


def _gather(pictures, corners, size, weights, tile):
  """Blends by the definition, pixel by pixel of each tile."""
  total = np.zeros((len(pictures), *size, pictures.shape[-1]))
  sums = np.zeros((*size, 1))
  for (row, column), patch in zip(corners, np.moveaxis(tile, 1, 0)):
    for i in range(patch.shape[1]):
      for j in range(patch.shape[2]):
        weight = weights[0][i] * weights[1][j]
        total[:, row + i, column + j] += weight * patch[:, i, j]
        sums[row + i, column + j] += weight
  return total / sums


@pytest.mark.parametrize(
  'size, num_tiles',
  [((64, 64), 1), ((72, 64), 2), ((64, 100), 3), ((104, 152), 12)],
)
def test_tiles_cover_all_and_the_last_ends_at_the_border(size, num_tiles):
  corners = latent_tiles.offsets(size, 64, 32)
  assert len(corners) == num_tiles
  covered = np.zeros(size, int)
  for row, column in corners:
    covered[row : row + 64, column : column + 64] += 1
  assert covered.min() == 1
  np.testing.assert_array_equal(corners.max(axis=0) + 64, size)


def test_a_view_of_llff_at_half_size_is_35_tiles_or_20():
  size = (190, 252)  # 2016x1512 px, padded to 32, at an eighth
  assert len(latent_tiles.offsets(size, 64, 32)) == 35
  assert len(latent_tiles.offsets(size, 64, 16)) == 20


def test_corners_run_down_columns_first():
  corners = latent_tiles.offsets((96, 160), 64, 32)
  assert corners.tolist()[:3] == [[0, 0], [32, 0], [0, 32]]


@pytest.mark.parametrize(
  'side, expected',
  [(1280, [0]), (1281, [0, 1]), (2016, [0, 736]), (3000, [0, 1000, 1720])],
)
def test_pixel_tiles_start_as_published(side, expected):
  corners, tile = latent_tiles.pixel_tiles((side, 900))
  assert corners[:, 0].tolist() == expected
  assert tile == (1280, 900)


def test_the_window_is_a_gaussian_half_a_pixel_off_where_published():
  rows, columns = latent_tiles.window((40, 48))
  np.testing.assert_allclose(rows, rows[::-1], rtol=1e-12)
  np.testing.assert_allclose(columns[0], np.exp(-(23.5**2) / 48**2 / 0.02))
  published = latent_tiles.window((40, 48), is_symmetric=False)
  assert published[0].argmax() == 20 and published[0][20] == 1
  np.testing.assert_array_equal(published[1], columns)


def test_tiles_that_nobody_changed_blend_to_the_picture():
  images = RNG.random((2, 20, 33, 3), np.float32)
  for tile, overlap in ((8, 4), ((8, 16), 5), ((20, 33), 0)):
    corners = latent_tiles.offsets((20, 33), tile, overlap)
    tiles = latent_tiles.cut(images, corners, tile)
    assert len(tiles) == 2 * len(corners)
    found = latent_tiles.blend(
      tiles, corners, (20, 33), latent_tiles.window(tile)
    )
    np.testing.assert_allclose(found, images, atol=1e-6)


@pytest.mark.parametrize('window', [8, 12])  # 12: tiles use its top left part
def test_blending_is_the_weighted_mean(window):
  size, images = (13, 18), RNG.random((2, 13, 18, 2), np.float32)
  corners = latent_tiles.offsets(size, 8, 3)
  weights = latent_tiles.window(window, is_symmetric=False)
  tiles = np.array(latent_tiles.cut(images, corners, 8))
  tiles += RNG.random(tiles.shape, np.float32)
  found = jax.jit(
    lambda tiles: latent_tiles.blend(tiles, corners, size, weights)
  )(tiles)
  expected = _gather(
    images, corners, size, weights, tiles.reshape(2, -1, 8, 8, 2)
  )
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_tiles_of_a_picture_are_neighbours_in_the_batch():
  images = RNG.random((3, 12, 12, 1), np.float32)
  corners = latent_tiles.offsets((12, 12), 8, 4)
  tiles = jax.jit(lambda x: latent_tiles.cut(x, corners, 8))(images)
  alone = latent_tiles.cut(images[1:2], corners, 8)
  np.testing.assert_array_equal(tiles[4:8], alone)
  np.testing.assert_array_equal(tiles[5], images[1, 4:, :8])


def test_windows_grids_and_boxes_are_those_of_the_published_code(arrays):
  for tile, name in ((64, '64x64'), ((40, 48), '48w_x_40h')):
    window = np.outer(*latent_tiles.window(tile, is_symmetric=False))
    # They also divide by 2 pi v, which cancels.
    expected = arrays[f'out/weights_{name}'] * 2 * np.pi * 0.01
    np.testing.assert_allclose(window, expected, rtol=1e-12)
  for name in [k for k in arrays if k.startswith('out/grid/')]:
    size = tuple(int(side) for side in name.split('/')[-1].split('x'))
    found = latent_tiles.offsets(size, 64, 32)
    np.testing.assert_array_equal(found, arrays[name])
  for name in [k for k in arrays if 'pixel_starts' in k]:
    side = int(name.split('/')[-1])
    corners, _ = latent_tiles.pixel_tiles((side, side))
    np.testing.assert_array_equal(np.unique(corners[:, 0]), arrays[name])


def _answer(tiles):
  """What the fixtures' network says; each tile's statistics matter."""
  mean = tiles.mean((1, 2), keepdims=True)
  spread = tiles.std((1, 2), keepdims=True, ddof=1)
  return 0.1 * tiles + 0.3 * mean + 0.2 * np.roll(tiles, 1, axis=2) * spread


def test_a_network_on_tiles_blends_and_steps_as_published(arrays):
  latents, noise = (
    np.moveaxis(arrays[name], 1, -1) for name in ('in/x', 'in/step/noise')
  )
  size = latents.shape[1:3]
  corners = latent_tiles.offsets(size, 64, 32)
  np.testing.assert_array_equal(corners, arrays['out/tile_offsets_yx'])
  tiles = np.asarray(latent_tiles.cut(latents, corners, 64))
  weights = latent_tiles.window(64, is_symmetric=False)
  eps = latent_tiles.blend(_answer(tiles), corners, size, weights)

  steps = diffusion.timesteps(4, spacing='strided')
  sampler = samplers.ddpm(diffusion.scaled_linear(), steps)
  estimate = diffusion.to_estimate(eps, latents, sampler.alpha_bars[1], 'eps')
  state = sampler.step(sampler.start(latents), estimate, eps, noise, 1)
  for name, found in (
    ('blended', eps),
    ('step_fake/x0_hat', estimate),
    ('step_fake/x_prev', state.x),
  ):
    expected = np.moveaxis(arrays[f'out/{name}'], 1, -1)
    limit = 2e-6 * max(1, expected.std())  # float32 sums
    np.testing.assert_allclose(found, expected, atol=limit, err_msg=name)


@pytest.mark.parametrize('case', ['both', 'short'])
def test_pixel_tiles_merge_as_published(arrays, case):
  picture = np.moveaxis(arrays[f'in/pixel_{case}/image'], 1, -1)
  size = picture.shape[1:3]
  corners, tile = latent_tiles.pixel_tiles(size, 40, 12)
  patches = np.asarray(latent_tiles.cut(picture, corners, tile))
  means = patches.mean((1, 2, 3), keepdims=True)
  order = np.arange(len(patches)).reshape(-1, 1, 1, 1)
  patches = 0.9 * patches + means + 0.01 * order
  weights = latent_tiles.window(40, is_symmetric=False)
  found = latent_tiles.blend(patches, corners, size, weights)
  expected = np.moveaxis(arrays[f'out/pixel_{case}/gathered'], 1, -1)
  np.testing.assert_allclose(found, expected, atol=2e-6)  # float32 sums


@pytest.mark.parametrize(
  'call, words',
  [
    (lambda: latent_tiles.offsets((63, 80), 64, 32), '63 px are too few for a'),
    (lambda: latent_tiles.offsets((80, 80), 64, 64), r'in 0\.\.63.*got 64'),
    (lambda: latent_tiles.pixel_tiles((9, 9), 4, -1), r'in 0\.\.3.*got -1'),
    (
      lambda: latent_tiles.cut(np.zeros((1, 8, 8, 3)), np.array([[0, 4]]), 8),
      'reach row 8 and column 12 .*another size',
    ),
    (
      lambda: latent_tiles.blend(
        np.zeros((3, 8, 8, 3)),
        latent_tiles.offsets((8, 12), 8, 4),
        (8, 12),
        latent_tiles.window(8),
      ),
      '3 tiles are no multiple of the 2',
    ),
  ],
)
def test_errors_say_what_to_do(call, words):
  with pytest.raises(ValueError, match=words):
    call()
