"""LIIF and LTE against PyTorch (tests/fixtures/field_networks/make_fields.py).

The published sizes are compared too, where the data has their fixtures.
"""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from sr3d_jax import image
from sr3d_jax.io import paths, pth, weights
from sr3d_jax.models import ensemble, liif, lte
from sr3d_jax.types import Queries

FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures' / 'field_networks'
KEY = jax.random.key(0, impl='unsafe_rbg')  # draws without much to compile
ENCODER = {'channels': 4, 'num_blocks': 1, 'mean_shift': True}
NARROW = {
  'liif': (liif, dict(encoder=ENCODER, hidden=(8, 6))),
  'liif_nearest': (liif, dict(encoder=ENCODER, hidden=(8, 6), ensemble=False)),
  'lte': (lte, dict(encoder=ENCODER, hidden=(6,), width=8)),
}
PUBLISHED = {
  'liif': (liif, {}, 'rgb_'),
  'liif_nearest': (liif, {'ensemble': False}, 'rgb_noens_'),
  'lte': (lte, {}, 'rgb_'),
}
SIZE, FINE_SIZE = (5, 7), (9, 16)  # of the narrow fixture


@pytest.fixture(params=NARROW)
def narrow(request):
  return _narrow(request.param)


def _narrow(case, **options):
  """Network, parameters, images and their colours."""
  module, sizes = NARROW[case]
  network = module.make(**sizes, **options)
  file = FIXTURES / f'{case.split("_")[0]}.pth'
  checkpoint = pth.load(file, section='model.sd')
  params = weights.convert(checkpoint, network.init, module.NAMES)
  with np.load(FIXTURES / 'io.npz') as arrays:
    return network, params, arrays['images'], (arrays[case] + 1) / 2


def _published(case):
  """Network, parameters, and all arrays of one of the data's fixtures."""
  module, options, _ = PUBLISHED[case]
  try:
    path = paths.data_path(f'fixtures/{case.split("_")[0]}_edsr.npz')
  except FileNotFoundError as error:
    pytest.skip(str(error))
  with np.load(path) as file:
    arrays = dict(file)
  checkpoint = {k[2:]: a for k, a in arrays.items() if k.startswith('w/')}
  network = module.make(**options)
  params = weights.convert(checkpoint, network.init, module.NAMES)
  return network, params, arrays


def _grid():
  """The queries of the narrow fixture."""
  rows, columns = (
    (np.arange(fine) + 0.5) * n / fine for n, fine in zip(SIZE, FINE_SIZE)
  )
  (y, x), (fine_y, fine_x) = SIZE, FINE_SIZE
  footprint = np.array([(y / fine_y) ** 2, 0, (x / fine_x) ** 2])
  return _queries(
    rows[None, :, None], columns[None, None], footprint[None, None, None]
  )


def _queries(*arrays):
  rows, columns, footprint = (jnp.asarray(a, jnp.float32) for a in arrays)
  return Queries(rows=rows, columns=columns, footprint=footprint)


def _images(arrays):
  return (np.moveaxis(arrays['in/image'], 1, -1) + 1) / 2


def _asked(arrays, scale):
  """Queries of coordinates (y, x) in [-1, 1] and cells, both [B, Q, 2]."""
  size = np.array(arrays['in/image'].shape[2:], np.float64)
  places = (arrays[f'in/coord_{scale}'] + np.float64(1)) / 2 * size
  extents = (arrays[f'in/cell_{scale}'] / 2 * size) ** 2
  footprint = np.insert(extents, 1, 0, axis=-1)
  return _queries(places[..., 0], places[..., 1], footprint)


def _tolerance(arrays, name):
  """The reference's own float32 error, some times over."""
  noise = json.loads(str(arrays['meta']))['noise'][name]
  return 12 * noise['max_abs_f32_minus_f64']


def _run(network, params, images, queries):
  features = jax.jit(network.encode)(params, images)
  return jax.jit(network.decode)(params, features, queries)


def _scattered(queries):
  """A grid as scattered queries, [B, h w]."""
  rows, columns = (
    x.reshape(len(x), -1)
    for x in jnp.broadcast_arrays(queries.rows, queries.columns)
  )
  footprint = jnp.broadcast_to(queries.footprint[:, 0], (1, rows.size, 3))
  return Queries(rows=rows, columns=columns, footprint=footprint)


def test_narrow_networks_compute_what_pytorch_does(narrow):
  network, params, images, expected = narrow
  found = _run(network, params, images, _grid())
  assert np.std(expected) > 0.04  # or half a pixel would go unseen
  # float32 sums of tens of terms, against float64
  np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize('case', PUBLISHED)
def test_published_networks_compute_what_pytorch_does(case):
  network, params, arrays = _published(case)
  features = jax.jit(network.encode)(params, _images(arrays))
  for scale in ('s2', 's3p3', 's6'):
    found = jax.jit(network.decode)(params, features, _asked(arrays, scale))
    name = f'out/{PUBLISHED[case][2]}{scale}'
    np.testing.assert_allclose(
      2 * found - 1, arrays[name], atol=_tolerance(arrays, name), rtol=0
    )


@pytest.mark.parametrize('case', ['liif', 'lte'])
def test_published_corners_predict_what_pytorch_does(case, monkeypatch):
  network, params, arrays = _published(case)
  features = jax.jit(network.encode)(params, _images(arrays))
  if case == 'lte':
    for name in ('coef', 'freq'):
      expected = np.moveaxis(arrays[f'mid/{name}_ch0_256_16'], 1, -1)
      # float32 through 35 layers; values reach 4
      np.testing.assert_allclose(features[name][..., ::16], expected, atol=2e-5)
    features['image'] = jnp.zeros_like(features['image'])
  queries = _asked(arrays, 's6')
  for i, corner in enumerate(ensemble.corners(queries, 21, 28)):
    alone = corner._replace(weights=jnp.ones_like(corner.weights))
    monkeypatch.setattr(
      PUBLISHED[case][0], 'corners', lambda *_, found=alone, **__: [found]
    )
    found = network.decode(params, features, queries)
    # one prediction's error is not averaged over four
    atol = 2 * _tolerance(arrays, 'out/rgb_s6')
    expected = arrays['mid/corner_preds_s6'][i]
    np.testing.assert_allclose(2 * found - 1, expected, atol=atol, rtol=0)


@pytest.mark.parametrize('module, count', [(liif, 1_567_323), (lte, 1_714_267)])
def test_it_holds_as_many_numbers_as_published(module, count):
  shapes = jax.eval_shape(module.make().init, KEY)
  assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


def test_a_row_alone_equals_that_row_in_a_batch(narrow):
  network, params, images, _ = narrow
  together = _run(network, params, images, _grid())
  alone = _run(network, params, images[1:], _grid())
  np.testing.assert_allclose(together[1:], alone, atol=1e-6)


def test_scattered_queries_say_what_the_grid_says(narrow):
  network, params, images, expected = narrow
  queries = _scattered(_grid())
  order = jax.random.permutation(KEY, queries.rows.size)
  queries = jax.tree.map(lambda a: a[:, order], queries)
  found = _run(network, params, images, queries)
  expected = expected.reshape(2, -1, 3)[:, order]
  np.testing.assert_allclose(found, expected, atol=2e-6)


def test_each_picture_and_each_query_may_be_asked_for_itself(narrow):
  network, params, images, _ = narrow
  queries = _scattered(_grid())
  other = dataclasses.replace(
    queries, rows=queries.rows + 0.3, footprint=2.5 * queries.footprint
  )
  both = jax.tree.map(lambda *a: jnp.concatenate(a), queries, other)
  found = _run(network, params, images, both)
  assert found.shape == (2, 9 * 16, 3)
  for i, asked in enumerate((queries, other)):
    alone = _run(network, params, images[i : i + 1], asked)
    np.testing.assert_allclose(found[i : i + 1], alone, atol=1e-6)
  assert (
    np.abs(found[1] - _run(network, params, images, queries)[1]).max() > 0.03
  )


def test_the_footprint_matters(narrow):
  network, params, images, expected = narrow
  queries = _grid()
  for factor in ([4, 1, 1], [1, 1, 4]):
    wider = queries.footprint * jnp.asarray(factor, jnp.float32)
    wider = dataclasses.replace(queries, footprint=wider)
    found = _run(network, params, images, wider)
    assert np.abs(found - expected).max() > 0.01


def test_rounding_at_a_centre_changes_next_to_nothing(narrow):
  network, params, images, _ = narrow
  centers = jnp.arange(5) + 0.5  # the first and the last among them

  def near(shift):
    rows, columns = centers[None, :, None] + shift, centers[None, None]
    return _queries(rows, columns, np.ones((1, 1, 1, 3)))

  found = [_run(network, params, images, near(e)) for e in (-1e-5, 0, 1e-5)]
  np.testing.assert_allclose(found[0], found[1], atol=1e-4)
  np.testing.assert_allclose(found[2], found[1], atol=1e-4)


def test_the_loss_is_the_mean_absolute_error_and_its_gradient_right(narrow):
  network, params, images, expected = narrow
  queries = _scattered(_grid())
  # below all colours and above all: where the error has no kinks
  sides = jnp.where(jnp.arange(2) == 0, -2.0, 3.0)[:, None, None]
  rgb = jnp.broadcast_to(sides, (2, 9 * 16, 3))
  batch = {'lr': images, 'rgb': rgb, 'queries': queries}
  loss = jax.jit(lambda params: network.loss(params, KEY, batch)[0])
  wanted = np.mean(np.abs(expected.reshape(rgb.shape) - rgb))
  np.testing.assert_allclose(loss(params), wanted, rtol=1e-5)
  # ReLUs turn within the step here and there
  check_grads(loss, (params,), order=1, modes='rev', eps=1e-3, rtol=0.02)


def test_gradients_are_finite_on_a_flat_image_at_its_centres(narrow):
  network, params, images, _ = narrow
  places = jnp.array([[0.5, 1.5, 2.5]])
  queries = _queries(places, places, np.zeros((1, 1, 3)))
  batch = {
    'lr': jnp.zeros_like(images),
    'rgb': jnp.ones((2, 3, 3)),
    'queries': queries,
  }

  def loss(params, queries):
    return network.loss(params, KEY, batch | {'queries': queries})[0]

  grads = jax.jit(jax.grad(loss, argnums=(0, 1)))(params, queries)
  assert all(jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(grads))


def test_an_answer_depends_on_the_halo_and_on_nothing_beyond(narrow):
  network, params, _, _ = narrow
  params = jax.tree.map(jnp.abs, params)  # so that no path is cut or cancels
  size, middle = 2 * network.halo + 7, network.halo + 3
  images = jnp.full((1, size, size, 3), 0.8)

  def total(images, place):
    places = jnp.full((1, 1), place)
    queries = _queries(places, places, np.ones((1, 1, 3)))
    features = network.encode(params, images)
    return jnp.sum(network.decode(params, features, queries))

  inputs = jnp.array([middle + 0.1, middle + 0.9])  # of one pixel
  grads = jax.jit(jax.vmap(jax.grad(total), (None, 0)))(images, inputs)
  met = np.any(grads, axis=(0, 1, 4))  # over queries, batch, colours
  expected = np.zeros((size, size), bool)
  near = slice(middle - network.halo, middle + network.halo + 1)
  expected[near, near] = True
  for axis in (0, 1):
    np.testing.assert_array_equal(met.any(axis), expected.any(axis))


@pytest.mark.parametrize('case', ['liif', 'lte'])
def test_half_precision_is_near(case):
  network, params, images, expected = _narrow(case, dtype='bfloat16')
  found = _run(network, params, images, _grid())
  assert found.dtype == jnp.float32
  assert 1e-4 < np.abs(found - expected).max() < 0.05  # 8 bits, a few times


def test_lte_that_says_nothing_is_bilinear():
  network = lte.make(**NARROW['lte'][1])
  params = jax.eval_shape(network.init, KEY)
  params = jax.tree.map(lambda a: jnp.zeros(a.shape), params)
  images = jax.random.uniform(KEY, (2, *SIZE, 3))
  found = _run(network, params, images, _grid())
  expected = image.resize(images, *FINE_SIZE, method='bilinear')
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_lte_wants_cosines_and_sines():
  with pytest.raises(ValueError, match=r'width must be even.*got 7'):
    lte.make(width=7)


def test_corners_weigh_as_bilinear_does_and_stop_at_the_border():
  # from the centre of pixel 3: 0.2 down; left of the first centre by 0.25
  queries = _queries([[3.7]], [[0.25]], np.ones((1, 1, 3)))
  found = list(ensemble.corners(queries, 5, 7))
  np.testing.assert_array_equal([c.rows[0, 0] for c in found], [3, 3, 4, 4])
  np.testing.assert_array_equal([c.columns[0, 0] for c in found], [0] * 4)
  offsets = [[0.2, -0.25]] * 2 + [[-0.8, -0.25]] * 2
  np.testing.assert_allclose(
    [c.offsets[0, 0] for c in found], offsets, atol=1e-6
  )
  np.testing.assert_allclose(
    [c.weights[0, 0, 0] for c in found], [0.2, 0.6, 0.05, 0.15], atol=1e-6
  )
  (nearest,) = ensemble.corners(queries, 5, 7, only_nearest=True)
  assert (nearest.rows, nearest.columns, nearest.weights) == (3, 0, 1)
