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


def weights_of(spec):
  """[H, W, C + 2] of a linear loss on image, alpha and depth."""
  shape = (spec.height, spec.width, len(spec.background) + 2)
  return np.random.default_rng(7).normal(size=shape)


def differentiate(spec, **options):
  """Raster, and gradients of a random linear loss by name."""
  weights = weights_of(spec).astype(spec.background.dtype)
  size = {'width': spec.width, 'height': spec.height}

  def loss(splats, background, probe):
    raster = rasterize(
      *splats, **size, background=background, abs_probe=probe, **options
    )
    return (planes_of(raster) * weights).sum(), raster

  splats = tuple(map(jnp.asarray, spec.splats))
  inputs = splats, jnp.asarray(spec.background), jnp.zeros_like(splats[0])
  if options.get('capacity') is None:
    options['capacity'] = int(count_slots(*splats[:3], splats[4], **size)) or 1
  run = jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))
  grads, raster = run(*inputs)
  named = dict(zip(NAMES, grads[0])) | {'background': grads[1]}
  return raster, named | {'abs_probe': grads[2]}


def make_smooth(seed, num_splats, width, height):
  """At most 16 splats that no threshold touches, so that images are smooth.

  They are as wide as the image and of middling opacity: everywhere brighter
  than 1/255, and together too thin to stop a pixel. Depths are far apart.
  """
  spec = specs.make_random(seed, num_splats, width, height)
  rng = np.random.default_rng(seed)
  means2d, conics, _, features, _ = spec.splats
  conics = conics / np.linalg.norm(conics, axis=1)[:, None]
  splats = (
    means2d,
    conics * 4 / (width**2 + height**2),
    rng.uniform(0.2, 0.4, num_splats),
    features,
    rng.permutation(np.linspace(1, 5, num_splats)),
  )
  return spec._replace(splats=tuple(x.astype(np.float32) for x in splats))


def in_double(spec):
  splats = tuple(x.astype(np.float64) for x in spec.splats)
  background = spec.background.astype(np.float64)
  return spec._replace(splats=splats, background=background)


def define(spec):
  """`differentiate` by the definition, in double precision."""
  with jax.enable_x64(True):
    drawn = differentiate(in_double(spec), backend='reference')
    return jax.tree.map(np.asarray, drawn)


def replace(spec, name, index, value):
  splats = list(np.array(x) for x in spec.splats)
  splats[NAMES.index(name)][index] = value
  return spec._replace(splats=tuple(splats))


def planes_of(raster):
  """[H, W, C + 2] image, alpha and depth."""
  planes = raster.image, raster.alpha[..., None], raster.depth[..., None]
  return jnp.concatenate(planes, axis=-1)


def images(raster):
  planes = raster.image, raster.alpha[..., None], raster.depth[..., None]
  return np.concatenate(planes, axis=-1)


def relative(got, wanted):
  return np.linalg.norm(got - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize(
  ('width', 'height', 'channels', 'num'),
  [
    (1, 1, 1, 12),
    (15, 17, 3, 20),
    (16, 16, 4, 20),
    (33, 47, 9, 50),
    (333, 77, 32, 60),
  ],
)
def test_backends_agree_with_the_definition(
  backend, width, height, channels, num
):
  spec = specs.make_random(3, num, width, height, channels)
  wanted, wanted_grads = define(spec)
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
    spec = in_double(make_smooth(0, 12, 9, 7))
    weights = weights_of(spec)

    @jax.jit
    def loss(inputs):
      *splats, background = inputs
      raster = rasterize(
        *splats, width=9, height=7, background=background, backend='reference'
      )
      return (planes_of(raster) * weights).sum()

    gradient, step = jax.jit(jax.grad(loss)), 1e-6
    for seed in range(10):
      spec = in_double(make_smooth(seed, 12, 9, 7))
      inputs = [*spec.splats, spec.background]
      grads = gradient(inputs)
      rng = np.random.default_rng(seed)
      for i, name in enumerate((*NAMES, 'background')):
        direction = rng.normal(size=inputs[i].shape) * np.abs(inputs[i])
        ahead, behind = (
          loss([*inputs[:i], inputs[i] + t * direction, *inputs[i + 1 :]])
          for t in (step, -step)
        )
        slope, measured = (grads[i] * direction).sum(), (ahead - behind) / 2
        error = abs(measured / step - slope)
        assert error <= 1e-6 * np.linalg.norm(grads[i] * direction), name


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
  assert off.sum() <= max(1, 1e-4 * off.size)
  for name, gradient in wanted_grads.items():
    assert relative(got_grads[name], gradient) <= 5e-4, name


@functools.cache
def garden_window(left, top):
  """A part of the garden, and how the definition draws it."""
  part = window(specs.load_garden(specs.garden_path()), left, top, 64)
  return part, *define(part)


@needs_garden
@pytest.mark.parametrize('left, top', [(300, 180), (520, 340)])
@pytest.mark.parametrize('backend', FAST)
def test_the_garden_agrees_with_the_definition_in_windows(backend, left, top):
  # All 138,766 splats take part; 64 x 64 windows keep the definition, which
  # is O(pixels x splats), affordable.
  part, wanted, wanted_grads = garden_window(left, top)
  got, got_grads = differentiate(part, backend=backend)
  assert_few_flips(got, wanted, got_grads, wanted_grads)


@needs_garden
@pytest.mark.parametrize('backend', served(['cpu']))
def test_the_whole_garden_agrees_with_xla(backend):
  garden = specs.load_garden(specs.garden_path())
  wanted, wanted_grads = differentiate(garden, backend='xla')
  got, got_grads = differentiate(garden, backend=backend)
  assert_few_flips(got, wanted, got_grads, wanted_grads)
  for name, gradient in wanted_grads.items():
    error = np.abs(got_grads[name] - gradient)
    assert np.quantile(error, 0.999) <= 1e-5 * np.abs(gradient).max(), name
