"""GaussianSR: what the exact splat keeps, and the released one does not."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import fields
from sr3d_jax.kernel_bank import Shapes
from sr3d_jax.models import gaussian_design, gaussian_sr, heads
from sr3d_jax.types import Queries

KEY = jax.random.key(0, impl='unsafe_rbg')  # draws without much to compile
SMALL = {
  'encoder': {'name': 'edsr', 'channels': 12, 'num_blocks': 1},
  'num_kernels': 9,
  'gaussian_channels': 4,
  'width': 16,
  'hidden': (16,),
}
EXACT = {}
DEFECT = pytest.mark.xfail(
  strict=True, reason='defects D1 to D8 of the released splat, kept on purpose'
)
ENDS = [
  pytest.param(EXACT, id='exact'),
  pytest.param(gaussian_design.RELEASED, id='released', marks=DEFECT),
]
ends = pytest.mark.parametrize('end', ENDS)


def _field(end, values, sigma, height, width, scale):
  """The splatted stream alone, all kernels round and alike: [h, w, C].

  The exact sigma is in coarse pixels; the released one is what its bank starts
  with, whatever the scale.
  """
  is_released = bool(end)
  design = gaussian_design.Design(**SMALL, **end)
  shape = (*values.shape[:2], 1)
  deviation = jnp.full(shape, 1.76 if is_released else sigma)[None]
  shapes = Shapes(
    deviation, deviation, 0 * deviation, jnp.full_like(deviation, 0.7)
  )
  features = {
    'image': jnp.zeros((1, *values.shape[:2], 3)),
    'plain': jnp.zeros((1, *values.shape[:2], 0)),
    'values': values[None],
    'shapes': shapes,
  }
  queries = fields.grid(*values.shape[:2], height, width, scale=scale)
  return _apply(design, features, queries, method='field')[0]


def _apply(design, features, queries, method):
  module = gaussian_sr._GaussianSR(design)
  return jax.jit(functools.partial(module.apply, {}, method=method))(
    features, queries
  )


def _network(end):
  network = gaussian_sr.make(**SMALL | end)
  network = network._replace(
    encode=jax.jit(network.encode, static_argnames='train'),
    decode=jax.jit(network.decode),
  )
  params = network.init(KEY)
  # an opinionated selector and a lively head: defects show
  if 'selector' in params:
    params['selector'] = jax.tree.map(lambda x: 8 * x, params['selector'])
  params['dec'] = jax.tree.map(lambda x: 3 * x, params['dec'])
  return network, params


def _enlarge(network, params, images, height, width, key=None):
  queries = fields.grid(*images.shape[1:3], height, width)
  return network.decode(params, network.encode(params, images, key), queries)


# 1
@ends
@pytest.mark.parametrize('scale', [1.5, 2.0, 3.0, 3.7, 4.0, 8.0])
def test_an_impulse_stays_where_it_is(end, scale):
  row, column, size = 11, 15, 28
  height = round(size * scale)
  values = jnp.zeros((size, size, 1)).at[row, column].set(1.0)
  found = np.asarray(_field(end, values, 0.6, height, height, scale))[..., 0]
  places = np.arange(height) + 0.5
  rows, columns = found.sum(axis=1), found.sum(axis=0)
  step = height / size
  assert abs(places @ rows / rows.sum() - (row + 0.5) * step) < 1e-3
  assert abs(places @ columns / columns.sum() - (column + 0.5) * step) < 1e-3


# 2
@ends
@pytest.mark.parametrize('scale', [1.0, 2.0, 3.3, 8.0])
def test_a_constant_stays_constant(end, scale):
  size = round(14 * scale)
  found = _field(end, jnp.full((14, 14, 2), 0.8), 0.4, size, size, scale)
  np.testing.assert_allclose(found, 0.8, atol=1e-5)


# 3
@ends
@pytest.mark.parametrize('scale', [4.0, 12.0, 30.0])
def test_no_place_is_without_weight(end, scale):
  size = round(7 * scale)
  end = end or {'blend': 'sum'}  # which shows the weight itself
  found = _field(end, jnp.ones((7, 7, 1)), 0.4, size, size, scale)
  assert found.min() > 1e-3


@pytest.mark.parametrize('blend', ['sum', 'norm'])
@pytest.mark.parametrize('scale', [4.0, 30.0])
def test_the_thinnest_kernels_of_a_bank_leave_no_hole(scale, blend):
  # one picture for each corner of what a bank may hold
  (low, high), rho = (design := gaussian_design.Design()).sigmas, design.max_rho
  corners = itertools.product((low, high), (low, high), (-rho, rho), (0.7,))
  bank = np.array(list(corners), np.float32)[:, None, None, None]
  bank = np.broadcast_to(bank, (8, 5, 5, 1, 4))
  features = {
    'values': jnp.full((8, 5, 5, 1), 0.8),
    'shapes': Shapes(*np.moveaxis(bank, -1, 0)),
  }
  size = round(5 * scale)
  queries = fields.grid(5, 5, size, size, scale=scale)
  # kappa, which would widen them, is left out
  chosen = gaussian_design.choose(**SMALL, blend=blend, kappa=0.0)
  found = _apply(chosen, features, queries, method='exact')
  if blend == 'norm':
    np.testing.assert_allclose(found, 0.8, rtol=1e-5)
  else:
    inner = found[:, size // 10 : -size // 10, size // 10 : -size // 10]
    assert found.min() > 1e-5 and inner.min() > 1e-3


# 4
@ends
def test_tiles_meet_without_a_seam(end):
  network, params = _network(end)
  images = jax.random.uniform(KEY, (1, 21, 40, 3))
  whole = _enlarge(network, params, images, 42, 80)
  part = _enlarge(network, params, images[:, :, 3:30], 42, 54)
  halo = 2 * (4 + 1 + 4)
  np.testing.assert_allclose(
    part[:, :, halo:-halo], whole[:, :, 6 + halo : 60 - halo], atol=1e-5
  )


# 5
@ends
def test_a_picture_alone_is_as_in_a_batch(end):
  network, params = _network(end)
  images = jax.random.uniform(KEY, (3, 14, 14, 3))
  together = _enlarge(network, params, images, 35, 35)
  alone = _enlarge(network, params, images[1:2], 35, 35)
  np.testing.assert_allclose(together[1:2], alone, atol=1e-5)


# 6 is in tests/kernels/accumulate_test.py
# 7: with respect to the kernels there too; here through the whole network
def test_gradients_match_differences_along_a_direction():
  network, params = _network({'offsets': True})
  queries = Queries(
    rows=jnp.asarray([[3.3, 8.7]]),
    columns=jnp.asarray([[5.2, 10.4]]),
    footprint=jnp.asarray([[[0.1, 0.0, 0.1]]]),
  )
  with jax.enable_x64(True):
    params, queries, images = jax.tree.map(
      lambda x: jnp.asarray(x, jnp.float64),
      (params, queries, jax.random.uniform(KEY, (1, 14, 14, 3))),
    )

    def total(params, rows):
      asked = dataclasses.replace(queries, rows=rows)
      return jnp.sum(
        network.decode(params, network.encode(params, images), asked)
      )

    grads = jax.jit(jax.grad(total, argnums=(0, 1)))(params, queries.rows)
    rng = np.random.default_rng(0)
    way = jax.tree.map(lambda g: rng.standard_normal(g.shape), grads)
    step = 1e-4  # the encoder computes in float32

    def beside(step):
      start = params, queries.rows
      return total(*jax.tree.map(lambda x, w: x + step * w, start, way))

    ahead, behind = beside(step), beside(-step)
    slope = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, grads, way)))
  np.testing.assert_allclose((ahead - behind) / 2 / step, slope, rtol=2e-2)


# 8
@ends
def test_two_evaluations_are_identical(end):
  network, params = _network(end)
  images = jax.random.uniform(KEY, (1, 14, 14, 3))
  once, again = (
    _enlarge(network, params, images, 35, 35, jax.random.key(i)) for i in (1, 2)
  )
  np.testing.assert_array_equal(once, again)


# 9
def test_a_place_has_one_colour_whatever_grid_it_is_of():
  network, params = _network(EXACT)
  images = jax.random.uniform(KEY, (1, 14, 14, 3))
  # pixel (1, 1) of 42 and (4, 4) of 126 have their centres at 1/2
  coarse = fields.grid(14, 14, 42, 42)
  fine = dataclasses.replace(
    fields.grid(14, 14, 126, 126), footprint=coarse.footprint
  )
  features = network.encode(params, images)
  np.testing.assert_allclose(
    network.decode(params, features, fine)[:, 1::3, 1::3],
    network.decode(params, features, coarse),
    atol=1e-6,
  )


# 10
@pytest.mark.parametrize('ensemble, is_smooth', [
  ('waves', True), ('colors', True), ('none', False)
])  # fmt: skip
def test_colours_do_not_step_between_pixels(ensemble, is_smooth):
  network, params = _network({'ensemble': ensemble})
  features = network.encode(params, jax.random.uniform(KEY, (1, 14, 14, 3)))
  before, after = (
    network.decode(
      params, features, Queries(
        rows=7 + shift + jnp.zeros((1, 40)),
        columns=jnp.linspace(2, 12, 40)[None],
        footprint=jnp.full((1, 1, 3), 1 / 16) * jnp.asarray([1.0, 0.0, 1.0]),
      )
    )
    for shift in (-1e-4, 1e-4)
  )  # fmt: skip
  assert (jnp.max(jnp.abs(after - before)) < 2e-3) == is_smooth


def test_at_a_pixel_s_centre_the_others_say_nothing():
  _, params = _network({})
  images = jax.random.uniform(KEY, (1, 14, 14, 3))
  found = [
    _enlarge(_network({'ensemble': word})[0], params, images, 14, 14)
    for word in ('none', 'waves', 'colors')
  ]
  np.testing.assert_allclose(found[1], found[0], atol=1e-5)
  np.testing.assert_allclose(found[2], found[0], atol=1e-5)


def test_half_way_between_pixels_their_waves_count_alike():
  network, params = _network({'skip': False, 'gaussian_channels': 0})
  # features alike everywhere: what differs are the offsets from the pixels
  features = {
    'plain': jnp.ones((1, 4, 4, 12)),
    'image': jnp.zeros((1, 4, 4, 3)),
  }
  queries = Queries(
    rows=jnp.asarray([[2.0]]),
    columns=jnp.asarray([[1.5]]),
    footprint=jnp.asarray([[[0.25, 0.0, 0.25]]]),
  )
  coef, freq = (
    params[name]['kernel'].sum(axis=0) + params[name]['bias']
    for name in ('coef', 'freq')
  )
  phase = jnp.ones(2) @ params['phase']['kernel']  # a query of half a pixel
  turns = [freq[::2] * offset + phase for offset in (1.0, -1.0)]
  waves = sum(
    jnp.concatenate([jnp.cos(jnp.pi * x), jnp.sin(jnp.pi * x)]) for x in turns
  )
  mlp = heads.MLP((16, 3), heads.gelu)
  expected = mlp.apply({'params': params['dec']}, coef * waves / 2)
  found = network.decode(params, features, queries)[0, 0]
  np.testing.assert_allclose(found, (expected + 1) / 2, atol=1e-5)


def test_one_compilation_serves_every_scale():
  network, params = _network(EXACT)
  decode = network.decode
  features = network.encode(params, jax.random.uniform(KEY, (1, 14, 14, 3)))
  for scale in (1.5, 2.0, 4.0):
    queries = Queries(
      rows=(np.arange(20) / scale).reshape(1, 20, 1).astype(np.float32),
      columns=(np.arange(20) / scale).reshape(1, 1, 20).astype(np.float32),
      footprint=np.asarray([[[[scale**-2, 0, scale**-2]]]], np.float32),
    )
    decode(params, features, queries)
  assert decode._cache_size() == 1


@pytest.mark.parametrize('select', ['soft', 'st', 'mixture', 'argmax'])
def test_every_selection_learns(select):
  network = gaussian_sr.make(**SMALL, select=select, noise=select == 'st')
  params = network.init(KEY)
  batch = {
    'lr': jax.random.uniform(KEY, (2, 14, 14, 3)),
    'rgb': jnp.full((2, 5, 3), 0.3),
    'queries': Queries(
      rows=jnp.linspace(1, 12, 5)[None],
      columns=jnp.linspace(2, 9, 5)[None],
      footprint=jnp.asarray([[[0.1, 0.0, 0.1]]]),
    ),
  }
  slope = jax.jit(jax.value_and_grad(network.loss, has_aux=True))
  (loss, scalars), grads = slope(params, KEY, batch)
  assert loss == scalars['l1'] > 0
  assert all(jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(grads))
  moved = [jnp.any(g != 0) for g in jax.tree.leaves(grads['selector'])]
  # the most probable shape is chosen without a gradient
  assert all(moved) == (select != 'argmax')


@pytest.mark.parametrize('option, word', [
  ('splat', 'tiles'), ('average', True), ('centre', 'released'),
  ('units', 'hr'), ('blend', 'sum'), ('clamp', True), ('head', 'grid'),
  ('skip', False), ('ensemble', 'none'), ('ensemble', 'colors'),
  ('offsets', True),
  ('gaussian_channels', 0), ('gaussian_channels', 12), ('select', 'mixture'),
])  # fmt: skip
def test_every_switch_alone_changes_the_picture(option, word):
  params, images, before = _exact_picture()
  other, fresh = _network({option: word})
  # what both have is the same; nothing is averaged away by what is new
  changed = jax.tree_util.tree_map_with_path(
    lambda path, new: _at(params, path, new), fresh
  )
  assert jax.tree.map(jnp.shape, changed) == jax.tree.map(jnp.shape, fresh)
  found = _enlarge(other, changed, images, 35, 35)
  assert found.shape == before.shape and jnp.all(jnp.isfinite(found))
  assert jnp.max(jnp.abs(found - before)) > 1e-3


@functools.cache
def _exact_picture():
  network, params = _network(EXACT)
  images = jax.random.uniform(KEY, (1, 14, 14, 3))
  return params, images, _enlarge(network, params, images, 35, 35)


def _at(params, path, new):
  """The old parameter of this name where there is one of the same shape."""
  for entry in path:
    params = params.get(entry.key, {})
  return params if getattr(params, 'shape', None) == new.shape else new


@pytest.mark.parametrize(
  'sigmas', [(0.25, 1.0), (1.0, 2.0), (0.1, 0.25), (0.05, 0.3), (0.95, 1.5)]
)
def test_a_bank_starts_inside_of_its_bounds(sigmas):
  network = gaussian_sr.make(**SMALL, sigmas=sigmas)
  bank = network.init(KEY)['bank']
  # of weak types: a training step would compile again after the first
  assert not any(jax.typeof(leaf).weak_type for leaf in jax.tree.leaves(bank))
  assert all(jnp.all(jnp.abs(leaf) < 5) for leaf in jax.tree.leaves(bank))


def test_a_grid_network_wants_batches_of_one_scale():
  network, params = _network(gaussian_design.RELEASED)
  features = network.encode(params, jnp.zeros((1, 14, 14, 3)))
  queries = Queries(
    rows=jnp.ones((1, 3)),
    columns=jnp.ones((1, 3)),
    footprint=jnp.ones((1, 1, 3)),
  )
  with pytest.raises(ValueError, match='give batches of one scale each'):
    network.decode(params, features, queries)
