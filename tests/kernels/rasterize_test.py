"""`rasterize`: every backend against the definition, values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sr3d_kernels.rasterize import (
  BACKENDS,
  count_slots,
  next_capacity,
  rasterize,
  specs,
)

NAMES = ('means2d', 'conics', 'opacities', 'features', 'depths')


def served(names):
  """Test parameters of backends, those skipped that cannot serve here."""

  def marks(name):
    reason = BACKENDS[name].unsupported(dtype=np.float32)
    yield pytest.mark.skipif(reason is not None, reason=str(reason))
    if name in ('gpu', 'tpu'):
      yield pytest.mark.gpu

  return [pytest.param(name, marks=tuple(marks(name))) for name in names]


EVERY = served(BACKENDS)
FAST = served([name for name in BACKENDS if name != 'reference'])
PLANNED = served([name for name in BACKENDS if BACKENDS[name].NEEDS_CAPACITY])


def draw(spec, **options):
  return rasterize(*map(jnp.asarray, spec.splats), **spec.options, **options)


def differentiate(spec, **options):
  """Raster, and gradients of a random linear loss by name."""
  rng = np.random.default_rng(7)
  shape = (spec.height, spec.width, len(spec.background) + 2)
  weights = rng.normal(size=shape).astype(spec.background.dtype)
  size = {'width': spec.width, 'height': spec.height}

  def loss(splats, background, probe):
    raster = rasterize(
      *splats, **size, background=background, abs_probe=probe, **options
    )
    planes = raster.image, raster.alpha[..., None], raster.depth[..., None]
    return (jnp.concatenate(planes, axis=-1) * weights).sum(), raster

  splats = tuple(map(jnp.asarray, spec.splats))
  inputs = splats, jnp.asarray(spec.background), jnp.zeros_like(splats[0])
  if options.get('capacity') is None:
    options['capacity'] = int(count_slots(*splats[:3], splats[4], **size)) or 1
  run = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))
  grads, raster = run(*inputs)
  named = dict(zip(NAMES, grads[0])) | {'background': grads[1]}
  return raster, named | {'abs_probe': grads[2]}


def replace(spec, name, index, value):
  splats = list(np.array(x) for x in spec.splats)
  splats[NAMES.index(name)][index] = value
  return spec._replace(splats=tuple(splats))


def images(raster):
  planes = raster.image, raster.alpha[..., None], raster.depth[..., None]
  return np.concatenate(planes, axis=-1)


def relative(got, wanted):
  return np.linalg.norm(got - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize(
  ('width', 'height', 'channels', 'num'),
  [(1, 1, 1, 12), (15, 17, 3, 20), (16, 16, 4, 20), (33, 47, 9, 50)],
)
def test_backends_agree_with_the_definition(
  backend, width, height, channels, num
):
  spec = specs.make_random(3, num, width, height, channels)
  wanted, wanted_grads = differentiate(spec, backend='reference')
  got, got_grads = differentiate(spec, backend=backend)
  # Depths reach 5, so their image is compared relative to that.
  scale = np.array([1] * (channels + 1) + [5])
  error = np.abs(images(got) - images(wanted)) / scale
  assert error.max() <= 2e-6
  for name, grad in wanted_grads.items():
    assert relative(got_grads[name], grad) <= 5e-6, name


@pytest.mark.parametrize('backend', EVERY)
def test_one_gaussian_has_its_closed_form(backend):
  conic = np.array([[0.3, 0.1, 0.2]], np.float32)
  spec = specs.Spec(
    splats=(
      np.array([[5.25, 9.5]], np.float32),
      conic,
      np.array([0.8], np.float32),
      np.array([[2.0, -1.0]], np.float32),
      np.array([3.0], np.float32),
    ),
    width=20,
    height=18,
    background=np.array([0.5, 0.25], np.float32),
  )
  x, y = np.meshgrid(np.arange(20) + 0.5 - 5.25, np.arange(18) + 0.5 - 9.5)
  alpha = 0.8 * np.exp(-0.15 * x**2 - 0.1 * x * y - 0.1 * y**2)
  alpha = np.where(alpha >= 1 / 255, alpha, 0)
  raster = draw(spec, backend=backend)
  image = alpha[..., None] * [2, -1] + (1 - alpha[..., None]) * [0.5, 0.25]
  np.testing.assert_allclose(raster.image, image, atol=1e-6)
  np.testing.assert_allclose(raster.alpha, alpha, atol=1e-6)
  np.testing.assert_allclose(raster.depth, 3 * alpha, atol=2e-6)


@pytest.mark.parametrize('backend', EVERY)
def test_alpha_is_clamped_and_pixels_stop_before_the_last_light(backend):
  # 0.99 leaves 1e-2, then 1e-4: the second would reach the minimum, so only the
  # first is drawn, and neither opacity has a gradient through the clamp.
  spec = specs.Spec(
    splats=(
      np.full((2, 2), 0.5, np.float32),
      np.tile(np.float32([1, 0, 1]), (2, 1)),
      np.ones(2, np.float32),
      np.array([[1.0], [100.0]], np.float32),
      np.array([1.0, 2.0], np.float32),
    ),
    width=1,
    height=1,
    background=np.zeros(1, np.float32),
  )
  raster, grads = differentiate(spec, backend=backend)
  np.testing.assert_allclose(raster.image, [[[0.99]]], rtol=1e-6)
  np.testing.assert_array_equal(grads['opacities'], 0)
  assert grads['features'][0, 0] != 0
  assert grads['features'][1, 0] == 0


def test_the_definition_agrees_with_finite_differences():
  with jax.enable_x64(True):
    spec = specs.make_random(5, 12, 9, 7, dtype=np.float64)
    # Wide and of middling opacity: far from every threshold.
    conics = spec.splats[1] / np.linalg.norm(spec.splats[1], axis=1)[:, None]
    splats = (spec.splats[0], conics * 0.01, np.full(12, 0.3), *spec.splats[3:])
    spec = spec._replace(splats=splats)
    _, grads = differentiate(spec, backend='reference')
    rng = np.random.default_rng(0)
    weights = np.random.default_rng(7).normal(size=(7, 9, 5))
    step = 1e-6
    for i, name in enumerate(NAMES):
      direction = rng.normal(size=splats[i].shape) * np.abs(splats[i])

      def loss(amount, i=i, direction=direction):
        moved = list(splats)
        moved[i] = splats[i] + amount * direction
        raster = draw(spec._replace(splats=tuple(moved)), backend='reference')
        return (images(raster) * weights).sum()

      slope = (loss(step) - loss(-step)) / (2 * step)
      np.testing.assert_allclose(
        (grads[name] * direction).sum(), slope, rtol=1e-6, err_msg=name
      )


@pytest.mark.parametrize('backend', EVERY)
def test_nothing_to_draw_gives_the_background(backend):
  full = specs.make_random(0, 5, 18, 9)
  empty = full._replace(splats=tuple(x[:0] for x in full.splats))
  culled = replace(full, 'opacities', slice(None), 1 / 255)
  for spec in (empty, culled):
    raster, grads = differentiate(spec, backend=backend)
    np.testing.assert_array_equal(
      raster.image, np.broadcast_to(full.background, (9, 18, 3))
    )
    assert int(raster.num_slots) == 0
    np.testing.assert_array_equal(raster.alpha, 0)
    for name in (*NAMES, 'abs_probe'):
      np.testing.assert_array_equal(grads[name], 0)


BAD = [
  ('means2d', np.nan),
  ('means2d', np.inf),
  ('conics', np.nan),
  ('conics', 0),
  ('conics', [1, 1, 1]),
  ('conics', [-1, 0, -1]),
  ('opacities', np.nan),
  ('opacities', 0),
  ('features', np.inf),
  ('depths', np.nan),
  ('depths', -1),
]


@pytest.mark.parametrize('backend', FAST)
def test_an_invalid_splat_changes_no_bit_of_the_others(backend):
  spec = specs.make_random(4, 20, 20, 20)
  without = replace(spec, 'opacities', 7, 0)
  options = {'backend': backend, 'capacity': 1024}
  run = jax.jit(functools.partial(_run, spec, options))
  wanted, wanted_grads = run(without.splats)
  for name, value in BAD:
    got, got_grads = run(replace(spec, name, 7, value).splats)
    np.testing.assert_array_equal(got, wanted, err_msg=f'{name} {value}')
    for key, grad in got_grads.items():
      np.testing.assert_array_equal(grad, wanted_grads[key])
      if key != 'background':
        np.testing.assert_array_equal(grad[7], 0)


def _run(spec, options, splats):
  raster, grads = differentiate(spec._replace(splats=splats), **options)
  planes = raster.image, raster.alpha[..., None], raster.depth[..., None]
  return jnp.concatenate(planes, axis=-1), grads


@pytest.mark.parametrize('backend', PLANNED)
def test_capacity_changes_nothing_or_poisons_everything(backend):
  spec = specs.make_random(6, 60, 40, 30)
  needed = int(draw(spec, backend=backend).num_slots)
  wanted, wanted_grads = differentiate(spec, backend=backend, capacity=needed)
  assert not wanted.overflow
  got, got_grads = differentiate(spec, backend=backend, capacity=4 * needed)
  np.testing.assert_array_equal(images(got), images(wanted))
  for name, grad in wanted_grads.items():
    np.testing.assert_array_equal(got_grads[name], grad, err_msg=name)
  got, got_grads = differentiate(spec, backend=backend, capacity=needed - 1)
  assert got.overflow
  assert int(got.num_slots) == needed
  assert np.isnan(images(got)).all()
  for name, grad in got_grads.items():
    assert np.isnan(grad).all(), name


@pytest.mark.parametrize('backend', FAST)
def test_the_order_of_splats_does_not_matter(backend):
  spec = specs.make_random(8, 50, 33, 20)
  order = np.random.default_rng(0).permutation(50)
  shuffled = spec._replace(splats=tuple(x[order] for x in spec.splats))
  wanted, wanted_grads = differentiate(spec, backend=backend)
  got, got_grads = differentiate(shuffled, backend=backend)
  np.testing.assert_array_equal(images(got), images(wanted))
  for name in NAMES:
    np.testing.assert_array_equal(got_grads[name], wanted_grads[name][order])


@pytest.mark.parametrize('backend', EVERY)
def test_coincident_depths_are_drawn_in_index_order(backend):
  spec = specs.make_random(9, 30, 20, 20)
  tied = replace(spec, 'depths', slice(None), 2)
  spread = replace(spec, 'depths', slice(None), 2 + np.arange(30) * 1e-6)
  got, wanted = draw(tied, backend=backend), draw(spread, backend=backend)
  np.testing.assert_array_equal(got.image, wanted.image)


def test_it_works_under_transformations():
  spec = specs.make_random(10, 30, 20, 20)
  splats = tuple(map(jnp.asarray, spec.splats))

  def loss(means2d):
    raster = rasterize(means2d, *splats[1:], capacity=2048, **spec.options)
    return (raster.image**2).sum()

  wanted = jax.grad(loss)(splats[0])
  batch = jnp.stack([splats[0], splats[0] + 1])
  for run in (jax.jit(jax.grad(loss)), jax.checkpoint(jax.grad(loss))):
    np.testing.assert_allclose(run(splats[0]), wanted, rtol=1e-5, atol=1e-6)
  mapped = jax.lax.map(jax.grad(loss), batch)
  np.testing.assert_allclose(mapped[0], wanted, rtol=1e-5, atol=1e-6)
  batched = jax.vmap(jax.grad(loss))(batch)
  np.testing.assert_allclose(batched, mapped, rtol=1e-4, atol=1e-5)


def test_errors_say_what_to_do():
  spec = specs.make_random(0, 5, 8, 8)
  with pytest.raises(ValueError, match=r'unknown backend .*reference.*xla'):
    draw(spec, backend='cuda')
  with pytest.raises(ValueError, match='next_capacity'):
    jax.jit(lambda: rasterize(*_traced(spec), **spec.options, backend='xla'))()
  with pytest.raises(ValueError, match='8 x 0 px has no pixels'):
    draw(spec._replace(height=0))
  with pytest.raises(ValueError, match='background must have shape'):
    draw(spec._replace(background=np.zeros(4)))
  with pytest.raises(ValueError, match=r'conics must have shape \(5, 3\)'):
    rasterize(*(x[:, :2] for x in (spec.splats[0], spec.splats[1])),
              *spec.splats[2:], **spec.options)  # fmt: skip


def _traced(spec):
  one = jax.lax.optimization_barrier(jnp.ones(()))
  return tuple(x * one for x in spec.splats)


def test_the_ladder_holds_what_is_asked_in_few_rungs():
  assert next_capacity(0) == 16384
  asked = range(1, 10_000_000, 9_973)
  rungs = {next_capacity(n) for n in asked}
  assert all(next_capacity(n) >= n for n in asked)
  assert all(next_capacity(rung) == rung and rung % 1024 == 0 for rung in rungs)
  assert len(rungs) < 20


def test_the_count_is_what_rasterize_reports():
  spec = specs.make_random(2, 40, 40, 20)
  means2d, conics, opacities, _, depths = map(jnp.asarray, spec.splats)
  counted = count_slots(means2d, conics, opacities, depths, width=40, height=20)
  assert int(counted) == int(draw(spec, backend='xla').num_slots) > 40


def window(spec, left, top, size):
  """A square part of a scene: pixels outside it are not drawn at all.

  Splats that cannot reach it are left out, which changes no pixel and lets the
  dense definition draw what remains.
  """
  means2d, conics, opacities, features, depths = spec.splats
  a, b, c = np.moveaxis(conics.astype(np.float64), -1, 0)
  with np.errstate(all='ignore'):
    reach = 3.4 * np.sqrt(np.stack([c, a], -1) / (a * c - b * b)[:, None])
  local = means2d - np.array([left, top], np.float32)
  near = ((local + reach > 0) & (local - reach < size)).all(-1)
  splats = (local, conics, opacities, features, depths)
  splats = tuple(x[near].astype(np.float32) for x in splats)
  return specs.Spec(splats, size, size, spec.background)


needs_garden = pytest.mark.skipif(
  specs.garden_path() is None,
  reason='the garden points are not under $SR3D_DATA or ./data',
)


def assert_few_flips(got, wanted, got_grads, wanted_grads):
  """A pair on the other side of a threshold moves a pixel by up to 1/255."""
  off = np.abs(images(got) - images(wanted))[..., :4].max(-1) > 1e-4
  assert off.mean() <= 1e-4
  for name, gradient in wanted_grads.items():
    assert relative(got_grads[name], gradient) <= 5e-4, name


@needs_garden
@pytest.mark.parametrize('left, top', [(300, 180), (520, 340)])
def test_the_garden_agrees_with_the_definition_in_windows(left, top):
  # All 138,766 splats take part; 64 x 64 windows keep the definition, which
  # is O(pixels x splats), affordable.
  garden = specs.load_garden(specs.garden_path())
  part = window(garden, left, top, 64)
  wanted, wanted_grads = differentiate(part, backend='reference')
  got, got_grads = differentiate(part, backend='xla')
  assert_few_flips(got, wanted, got_grads, wanted_grads)


@needs_garden
@pytest.mark.parametrize('backend', served(['cpu']))
def test_the_whole_garden_agrees_with_xla(backend):
  garden = specs.load_garden(specs.garden_path())
  wanted, wanted_grads = differentiate(garden, backend='xla')
  got, got_grads = differentiate(garden, backend=backend)
  assert_few_flips(got, wanted, got_grads, wanted_grads)
