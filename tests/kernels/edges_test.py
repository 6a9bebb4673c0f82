"""Splats at the edge of what can be drawn: the same scenes for every backend.

All have the shape of `rows_test.scene`, so that a backend is compiled once.
"""

import itertools

import numpy as np
import pytest
import rasterize_test as contract
import rows_test
from rasterize_test import NAMES
from rows_test import HEIGHT, NUM, WIDTH
from sr3d_kernels.rasterize import BACKENDS, gpu, specs

LEAST = np.float32(1 / 255)  # opacity


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
  """Every backend; an interpreter stands in for an absent GPU or TPU."""
  module = BACKENDS[request.param]
  reason = module.unsupported(dtype=np.float32)
  if reason is not None and not hasattr(module, 'INTERPRET'):
    pytest.skip(reason)
  if reason is not None:
    monkeypatch.setattr(module, 'INTERPRET', True)
    monkeypatch.setattr(gpu, 'STEP', 2)  # half as long to compile
  return request.param


def put(spec=None, **fields):
  """A scene whose first splats have these fields."""
  spec = spec or rows_test.scene()
  for name, values in fields.items():
    spec = contract.replace(spec, name, slice(len(values)), values)
  return spec


def lone(spec, num):
  """A smaller scene, filled up with splats too faint to draw."""
  full = rows_test.only(num)
  return put(full, **{k: v[:num] for k, v in zip(NAMES, spec.splats)})


def ellipses(*rows):
  """A scene with these: x, y, two standard deviations, px, and the angle."""
  x, y, a, b, angles = np.array(rows).T
  conics = specs.conics_of(np.stack([a, b], -1), angles)
  return put(means2d=np.stack([x, y], -1), conics=conics)


def depths_apart(step):
  """A scene of depths about 1, as many steps of a float apart."""
  steps = np.random.default_rng(0).permutation(NUM).astype(np.int32) * step
  return put(
    depths=(np.ones(NUM, np.float32).view(np.int32) + steps).view('f4')
  )


SCENES = {
  'as wide as the image': ellipses((25, 14, 1e4, 1e4, 0), (3, 4, 300, 90, 1)),
  'centres far outside': ellipses(
    (1e5, -2e5, 1e5, 2e5, 0), (-4e4, 3, 4e4, 9, 0), (16, 1e6, 5, 1e6, 0)
  ),
  'upright needles': ellipses(
    (12.3, 9, 0.3, 3e4, 0), (17, 5.6, 3e4, 0.3, 0), (9, 900, 0.5, 5e4, 0)
  ),
  'specks': ellipses((4.5, 4.5, 0.1, 0.1, 0), (9.2, 4.3, 0.1, 0.2, 0)),
  'in one place': put(
    means2d=[[17.2, 9.1]] * 30, conics=[[0.1, 0.02, 0.1]] * 30, depths=[2] * 30
  ),
  'depths equal': put(depths=[2] * NUM),
  'depths an ulp apart': depths_apart(1),
  'opaque': put(opacities=[1] * NUM),
  'two': rows_test.only(2),
}


def assert_same(backend, got, wanted):
  """Bit for bit, but for the definition: it adds up what is hidden, too."""
  if backend == 'reference':
    size = max(1, np.abs(wanted).max())
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-6 * size)
  else:
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize('name', SCENES)
def test_extreme_splats_are_drawn_as_defined(backend, name):
  rows_test.assert_agrees(backend, SCENES[name])


def test_slanted_needles_are_drawn_up_to_rounding(backend):
  # 1 : 1e5. Terms of up to 1e4 cancel in the exponent, which leaves 1e-3.
  spec = ellipses(
    (12, 9, 0.5, 5e4, 0.3), (500, -370, 0.5, 5e4, -0.6), (3, 3, 5e4, 0.5, 1)
  )
  wanted, _ = rows_test.draw('reference', spec)
  got, grads = rows_test.draw(backend, spec)
  assert (np.abs(got - wanted).max(-1) > 5e-3).mean() <= 0.01
  for name, grad in grads.items():
    assert np.isfinite(grad).all(), name


def test_gradients_agree_with_differences_in_single_precision(backend):
  spec = lone(contract.make_smooth(0, 12, WIDTH, HEIGHT), 12)
  weights, step = contract.weights_of(spec), 0.01
  _, grads = rows_test.draw(backend, spec)
  rng = np.random.default_rng(1)
  for i, name in enumerate(NAMES):
    direction = rng.uniform(-1, 1, spec.splats[i].shape) * spec.splats[i]
    direction[12:] = 0

    def loss(amount, i=i, direction=direction):
      moved = [*spec.splats]
      moved[i] = (moved[i] + amount * direction).astype(np.float32)
      planes, _ = rows_test.draw(backend, spec._replace(splats=tuple(moved)))
      return np.vdot(planes.astype(np.float64), weights)

    near, far = (loss(t) - loss(-t) for t in (step, 2 * step))
    slope = (8 * near - far) / (12 * step)
    size = np.linalg.norm(grads[name] * direction)
    assert abs(np.vdot(grads[name], direction) - slope) <= 1e-3 * size, name


def test_opacity_is_seen_from_the_least_alpha_on(backend):
  opacities = [0, np.nextafter(LEAST, 0), LEAST, np.nextafter(LEAST, 1), 1]
  for opacity in opacities:
    spec = rows_test.only(1)
    spec = put(spec, means2d=[[8.5, 4.5]], opacities=[opacity])
    planes, grads = rows_test.draw(backend, spec)
    alpha = planes[..., 3]
    assert alpha[4, 8] == alpha.max()
    if opacity <= LEAST:
      np.testing.assert_array_equal(alpha, 0)
      for name in NAMES:
        np.testing.assert_array_equal(grads[name], 0)
    elif opacity < 1:  # either side of the threshold, by rounding
      assert not alpha[4, 8] or alpha[4, 8] == pytest.approx(LEAST)
      assert np.isfinite(grads['opacities']).all()
    else:
      np.testing.assert_allclose(alpha[4, 8], 0.99, rtol=1e-6)


def test_hidden_splats_change_no_bit(backend):
  drawn = rows_test.scene()
  rng = np.random.default_rng(2)
  chosen = np.sort(rng.permutation(NUM)[: NUM // 2])
  hidden = np.setdiff1d(np.arange(NUM), chosen)
  wanted, wanted_grads = rows_test.draw(
    backend, contract.replace(drawn, 'opacities', hidden, 0)
  )
  away, behind, faint = np.array_split(hidden, 3)
  spec = contract.replace(drawn, 'means2d', away, [-300, 1e6])
  spec = contract.replace(spec, 'depths', behind, -1)
  spec = contract.replace(spec, 'opacities', faint, LEAST)
  got, grads = rows_test.draw(backend, spec)
  assert_same(backend, got, wanted)
  for name, grad in grads.items():
    assert_same(backend, grad, wanted_grads[name])
    if name != 'background':
      np.testing.assert_array_equal(grad[hidden], 0)


def test_what_is_behind_a_wall_changes_no_bit(backend):
  wanted, wanted_grads = rows_test.draw(backend, rows_test.opaque())
  spec = contract.replace(
    rows_test.opaque(), 'features', slice(8, None), [9, -7, 1e3]
  )
  spec = contract.replace(spec, 'depths', slice(8, None), 50)
  got, grads = rows_test.draw(backend, spec)
  np.testing.assert_array_equal(got, wanted)
  for name, grad in grads.items():
    np.testing.assert_array_equal(grad[:8], wanted_grads[name][:8])
    if name != 'background':
      np.testing.assert_array_equal(grad[8:], 0)


def test_padding_changes_no_bit(backend):
  spec = rows_test.only(100)
  slots = np.sort(np.random.default_rng(3).permutation(NUM)[:100])
  splats = [np.zeros_like(x) for x in spec.splats]  # zeros are no ellipses
  for padded, x in zip(splats, spec.splats):
    padded[slots] = x[:100]
  wanted, wanted_grads = rows_test.draw(backend, spec)
  got, grads = rows_test.draw(backend, spec._replace(splats=tuple(splats)))
  assert_same(backend, got, wanted)
  for name in NAMES:
    assert_same(backend, grads[name][slots], wanted_grads[name][:100])


BAD = [
  ('conics', 0),
  ('conics', [1, 1, 1]),
  ('conics', [-1, 0, -1]),
  ('depths', 0),
  ('depths', -1),
]


def each_not_finite():
  """(name, index, value) of one splat: NaN and infinities in every number."""
  values = np.nan, np.inf, -np.inf
  for name, x in zip(NAMES, rows_test.scene().splats):
    for place in itertools.product(*map(range, x.shape[1:])):
      yield from ((name, (7, *place), value) for value in values)


def test_an_invalid_splat_changes_no_bit_of_the_others(backend):
  wanted, wanted_grads = rows_test.draw(
    backend, contract.replace(rows_test.scene(), 'opacities', 7, 0)
  )
  cases = [*each_not_finite(), *((name, 7, value) for name, value in BAD)]
  assert len(cases) == 35
  for name, index, value in cases:
    spec = contract.replace(rows_test.scene(), name, index, value)
    got, grads = rows_test.draw(backend, spec)
    np.testing.assert_array_equal(got, wanted, err_msg=f'{name} {value}')
    for key, grad in grads.items():
      np.testing.assert_array_equal(grad, wanted_grads[key])
      if key != 'background':
        np.testing.assert_array_equal(grad[7], 0)


@pytest.mark.parametrize('backend', contract.FAST)
def test_ten_thousand_splats_on_one_pixel(backend):
  rng = np.random.default_rng(0)
  num = 10_000
  splats = (
    rng.uniform(0.3, 0.7, (num, 2)),
    specs.conics_of(rng.uniform(0.3, 2, (num, 2)), rng.uniform(0, 3, num)),
    rng.uniform(1e-3, 6e-3, num),  # the faint half of them is not drawn
    rng.normal(size=(num, 3)),
    rng.uniform(1, 5, num),
  )
  splats = tuple(x.astype(np.float32) for x in splats)
  spec = specs.Spec(splats, 1, 1, np.ones(3, np.float32))
  wanted, wanted_grads = contract.define(spec)
  got, grads = contract.differentiate(spec, backend=backend)
  np.testing.assert_allclose(got.image, wanted.image, atol=2e-6)
  for name, grad in grads.items():
    allowed = 5e-4 if (backend, name) == ('xla', 'conics') else 1e-5
    assert contract.relative(grad, wanted_grads[name]) <= allowed, name
