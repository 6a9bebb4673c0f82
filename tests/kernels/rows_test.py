"""Rows hold each tile's list, near to far; scenes for the kernels on them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import rasterize_test as contract
from sr3d_kernels import tiles
from sr3d_kernels.rasterize import rows, specs, xla

WIDTH, HEIGHT = 33, 18  # three tiles across, one row of pixels in the last two
NUM, CAPACITY = 200, 900


def scene(seed=3, channels=3):
  return specs.make_random(seed, NUM, WIDTH, HEIGHT, channels)


def opaque():
  """Eight walls before a full scene: no pixel sees the second bucket."""
  splats = means2d, conics, opacities, _, depths = tuple(
    np.array(x) for x in scene().splats
  )
  means2d[:8], conics[:8] = [17, 9], [1e-5, 0, 1e-5]
  opacities[:8], depths[:8] = 0.7, np.linspace(0.5, 0.9, 8)
  return scene()._replace(splats=splats)


def only(num):
  """The first `num` of a scene; the others are too faint to draw."""
  return contract.replace(scene(), 'opacities', slice(num, None), 1 / 255)


def crowd():
  """More pairs than `CAPACITY`."""
  return contract.replace(scene(), 'conics', slice(None), [1e-4, 0, 1e-4])


@functools.cache
def _compiled(backend, channels):
  @jax.jit
  def run(splats, background):
    spec = specs.Spec(splats, WIDTH, HEIGHT, background)
    raster, grads = contract.differentiate(
      spec, backend=backend, capacity=CAPACITY
    )
    return contract.planes_of(raster), grads

  return run


def draw(backend, spec):
  """Image, alpha and depth; gradients by name. Compiled once a backend."""
  run = _compiled(backend, spec.background.shape[0])
  return jax.tree.map(np.asarray, run(spec.splats, spec.background))


def define(spec):
  """What `draw` should give: by the definition, in double precision."""
  with jax.enable_x64(True):
    return draw('reference', contract.in_double(spec))


def assert_agrees(backend, spec):
  """Holds a backend to the definition, by the rule of its tests."""
  wanted, wanted_grads = define(spec)
  got, grads = draw(backend, spec)
  scale = np.array([1] * (got.shape[-1] - 1) + [5])
  assert (np.abs(got - wanted) / scale).max() <= 2e-6
  for name, wanted in wanted_grads.items():
    # XLA takes moments about a corner of the tile, which costs a lone splat
    # some digits where they are moved to its centre.
    allowed = 2e-5 if (backend, name) == ('xla', 'conics') else 5e-6
    if np.any(wanted):
      assert contract.relative(grads[name], wanted) <= allowed, name
    else:
      np.testing.assert_array_equal(grads[name], 0)


def assert_background(backend):
  """Holds a backend to draw nothing where there is nothing to draw."""
  planes, grads = draw(backend, only(0))
  background = np.broadcast_to(scene().background, (HEIGHT, WIDTH, 3))
  np.testing.assert_array_equal(planes[..., :3], background)
  np.testing.assert_array_equal(planes[..., 3:], 0)
  for name in (*contract.NAMES, 'abs_probe'):
    np.testing.assert_array_equal(grads[name], 0)


def assert_poisoned(backend):
  """Holds a backend to draw nothing at all rather than too little."""
  planes, grads = draw(backend, crowd())
  assert np.isnan(planes).all()
  for name, grad in grads.items():
    assert np.isnan(grad).all(), name


def test_buckets_hold_the_lists_of_tiles_and_nothing_else():
  spec = scene()
  means2d, conics, opacities, features, depths = map(jnp.asarray, spec.splats)
  size = {'width': WIDTH, 'height': HEIGHT, 'capacity': CAPACITY}

  @jax.jit
  def make():
    levels = xla.levels(opacities)
    lists = tiles.make_lists(means2d, conics, levels, depths, **size)
    splats = means2d, conics, opacities, features, depths
    return lists, rows.make(*splats, **size)

  lists, laid = jax.tree.map(np.asarray, make())
  assert not laid.overflow
  assert laid.first[-1] < len(laid.tile)
  lengths = lists.ends - lists.starts
  assert lengths.max() > rows.BUCKET > lengths.min()
  for tile, (start, end) in enumerate(zip(lists.starts, lists.ends)):
    first, last = laid.first[tile], laid.first[tile + 1]
    np.testing.assert_array_equal(laid.tile[first:last], tile)
    splats = laid.splats[first:last].reshape(-1)
    np.testing.assert_array_equal(
      splats[: end - start], lists.splats[start:end]
    )
    np.testing.assert_array_equal(splats[end - start :], NUM)
  np.testing.assert_array_equal(laid.tile[laid.first[-1] :], len(lists.starts))
  np.testing.assert_array_equal(laid.splats[laid.first[-1] :], NUM)
  assert laid.table.shape[-1] == rows.LANES
  used = laid.splats < NUM
  np.testing.assert_array_equal(
    laid.table[used][:, :2], spec.splats[0][laid.splats[used]]
  )


def test_a_row_shades_like_the_definition_and_no_row_shades_nothing():
  x, y = rows.centers()
  table = rows._make_table(
    jnp.array([[5.25, 9.5]]), jnp.array([[0.3, 0.1, 0.2]]),
    jnp.array([0.8]), jnp.ones((1, 11)),
  )  # fmt: skip
  assert table.shape == (2, 2 * rows.LANES)
  alpha, dx, dy = rows.shade(table[0, : rows.CHANNELS], x, y)
  raw = 0.8 * np.exp(-0.15 * dx**2 - 0.1 * dx * dy - 0.1 * dy**2)
  np.testing.assert_allclose(alpha, np.where(raw > 1 / 255, raw, 0), atol=1e-6)
  np.testing.assert_array_equal(dx, 5.25 - np.tile(np.arange(16) + 0.5, 16))
  np.testing.assert_array_equal(rows.shade(table[1, :6], x, y)[0], 0)


def test_splitting_and_joining_an_image_changes_nothing():
  image = jnp.arange(HEIGHT * WIDTH * 2.0).reshape(HEIGHT, WIDTH, 2)
  planes = rows.split(image)
  assert planes.shape == (6, 2, 256)
  # The second pixel of the second row of the second tile.
  np.testing.assert_array_equal(planes[1, :, 17], image[1, 17])
  np.testing.assert_array_equal(rows.join(planes, WIDTH, HEIGHT), image)


def test_sums_of_buckets_that_were_not_drawn_are_dropped():
  sums = jnp.ones((2, rows.BUCKET, rows.LANES)).at[1].set(jnp.nan)
  slots = jnp.full((2, rows.BUCKET), 192).at[:, :3].set(jnp.array([0, 1, 2]))
  laid = rows.Rows(
    table=None, splats=None, slots=slots, starts=jnp.array([0, 1]),
    counts=jnp.array([1, 2]), first=jnp.zeros(3, jnp.int32),
    tile=jnp.zeros(2 + 2), overflow=None,
  )  # fmt: skip
  assert laid.num_slots == 192
  grads = rows.add_up(
    sums, laid, jnp.array([True, False]),
    jnp.array([[2.0, 0, 1], [1, 0, 1]]), jnp.array([0.5, 0.25]), 3,
  )  # fmt: skip
  means2d, conics, opacities, channels, absolute = map(np.asarray, grads)
  np.testing.assert_array_equal(means2d, [[2, 1], [2, 2]])
  np.testing.assert_array_equal(conics, [[0.5, 1, 0.5], [1, 2, 1]])
  np.testing.assert_array_equal(opacities, [-2, -8])
  np.testing.assert_array_equal(channels, [[1] * 3, [2] * 3])
  np.testing.assert_array_equal(absolute, [[1, 1], [2, 2]])


def test_places_of_a_splat_are_neighbours():
  spec = scene()
  size = {'width': WIDTH, 'height': HEIGHT, 'capacity': CAPACITY}
  laid = jax.jit(functools.partial(rows.make, **size))(
    *map(jnp.asarray, spec.splats)
  )
  laid = jax.tree.map(np.asarray, laid)
  used = laid.splats < NUM
  slots, splats = laid.slots[used], laid.splats[used]
  assert len(np.unique(slots)) == len(slots)
  assert (laid.slots[~used] == laid.num_slots).all()
  assert laid.num_slots >= CAPACITY
  place = slots - laid.starts[splats]
  assert (place >= 0).all() and (place < laid.counts[splats]).all()


def test_runs_are_summed_each_by_itself():
  counts = np.array([0, 1, rows.GROUP, rows.GROUP + 1, 0, 700, 2])
  starts = np.array([0, 8, 9, 30, 0, 50, 760])
  values = np.random.default_rng(0).normal(size=(800, 3)).astype(np.float32)
  values[761] = np.nan  # stays in its run
  sum_runs = jax.jit(rows._sum_runs, static_argnums=3)
  got = sum_runs(values, starts, counts, 800)
  for i, (start, count) in enumerate(zip(starts, counts)):
    wanted = values[start : start + count].astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(got[i], wanted, rtol=1e-5, atol=1e-5)
