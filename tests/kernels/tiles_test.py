"""Tile lists are complete, sorted and nearly free of false positives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sr3d_kernels import tiles
from sr3d_kernels.rasterize import specs, xla

WIDTH, HEIGHT = 75, 53


def covered_tiles(means2d, conics, opacities):
  """[N, T] whether raw >= 1/255 at a pixel centre of the tile, in float64."""
  across, down = tiles.grid(WIDTH, HEIGHT)
  x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
  dx = means2d[:, 0, None, None] - x
  dy = means2d[:, 1, None, None] - y
  xx, xy, yy = (conics[:, i, None, None] for i in range(3))
  power = 0.5 * (xx * dx**2 + yy * dy**2) + xy * dx * dy
  is_covered = opacities[:, None, None] * np.exp(-power) >= 1 / 255
  padding = down * tiles.SIZE - HEIGHT, across * tiles.SIZE - WIDTH
  is_covered = np.pad(is_covered, ((0, 0), (0, padding[0]), (0, padding[1])))
  blocks = is_covered.reshape(-1, down, tiles.SIZE, across, tiles.SIZE)
  return blocks.any(axis=(2, 4)).reshape(len(means2d), -1)


def draw_ellipses(rng, num, largest):
  """Ellipses and needles around the image."""
  means2d = rng.uniform(-40, [WIDTH + 40, HEIGHT + 40], (num, 2))
  deviations = np.exp(rng.uniform(np.log(0.4), np.log(largest), (num, 2)))
  conics = specs.conics_of(deviations, rng.uniform(0, np.pi, num))
  splats = means2d, conics, rng.uniform(0, 1, num), rng.uniform(1, 2, num)
  return tuple(x.astype(np.float32) for x in splats)


def list_tiles(splats, capacity):
  means2d, conics, opacities, depths = map(jnp.asarray, splats)
  lists = tiles.make_lists(
    means2d, conics, xla.levels(opacities), depths,
    width=WIDTH, height=HEIGHT, capacity=capacity,
  )  # fmt: skip
  return jax.tree.map(np.asarray, lists)


def membership(lists, num_splats):
  """[N, T] whether tile t lists splat n."""
  is_listed = np.zeros((num_splats, len(lists.starts)), bool)
  for tile, (start, end) in enumerate(zip(lists.starts, lists.ends)):
    is_listed[lists.splats[start:end], tile] = True
  return is_listed


@pytest.mark.parametrize('largest', [3, 30, 300])
def test_no_pixel_misses_a_splat(largest):
  splats = draw_ellipses(np.random.default_rng(0), 400, largest)
  lists = list_tiles(splats, 8000)
  is_listed = membership(lists, 400)
  is_covered = covered_tiles(*(x.astype(np.float64) for x in splats[:3]))
  assert is_covered.any()
  assert not (is_covered & ~is_listed).any()
  # Tiles hold the hull of their pixel centres, which a thin splat may cross
  # between two of them: only such a listing is false.
  assert is_listed.sum() <= 1.1 * is_covered.sum()


def test_lists_run_from_near_to_far_and_ties_by_index():
  rng = np.random.default_rng(1)
  means2d, conics, opacities, _ = draw_ellipses(rng, 300, 20)
  depths = rng.integers(1, 5, 300).astype(np.float32)
  lists = list_tiles((means2d, conics, opacities, depths), 6000)
  for start, end in zip(lists.starts, lists.ends):
    members = lists.splats[start:end]
    keys = list(zip(depths[members], members))
    assert keys == sorted(set(keys))


def test_sorting_needs_no_packing():
  rng = np.random.default_rng(2)
  tile = jnp.asarray(rng.integers(0, 9, 500))
  depths = jnp.asarray(rng.integers(1, 4, 500), jnp.float32)
  splats = jnp.arange(500, dtype=jnp.int32)
  packed = tiles._sort(tile, depths, splats, 9, 500)
  plain = tiles._sort(tile, depths, splats, 9, 2**40)
  np.testing.assert_array_equal(packed[0], plain[0])
  np.testing.assert_array_equal(packed[1], plain[1])


def test_depths_one_ulp_apart_are_told_apart():
  near = np.float32(1.0)
  far = np.nextafter(near, np.float32(2))
  splats = (
    np.full((2, 2), 8, np.float32),
    np.tile(np.float32([0.1, 0, 0.1]), (2, 1)),
    np.full(2, 0.5, np.float32),
    np.array([far, near]),
  )
  lists = list_tiles(splats, 64)
  assert lists.splats[: lists.ends[0]].tolist() == [1, 0]


def test_the_count_is_exact_on_overflow_and_saturates():
  splats = draw_ellipses(np.random.default_rng(3), 500, 30)
  means2d, conics, opacities, _ = map(jnp.asarray, splats)
  size = {'width': WIDTH, 'height': HEIGHT}
  needed = int(tiles.count(means2d, conics, xla.levels(opacities), **size))
  assert list_tiles(splats, needed).overflow == np.False_
  assert list_tiles(splats, needed - 1).overflow == np.True_
  huge = jnp.full(70_000, 2**16, jnp.int32)
  assert int(tiles._total(huge)) == 2**31 - 1
