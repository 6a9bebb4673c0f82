"""Moments: backends against the definition, the definition against autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sr3d_kernels import moments as operation
from sr3d_kernels import native
from sr3d_kernels.moments import BACKENDS, POWERS, blocks
from sr3d_kernels.rasterize import rasterize, specs

WIDTH, HEIGHT = 37, 29
BUILT = pytest.mark.skipif(
  native.missing() is not None, reason=str(native.missing())
)
FAST = ['xla', pytest.param('cpu', marks=BUILT)]
EVERY = [*FAST, 'reference']

# Compiled once for arrays of one shape.
_compiled = jax.jit(
  operation.moments, static_argnames=('width', 'height', 'capacity', 'backend')
)


def moments(*splats, capacity=16384, **given):
  return _compiled(*splats, capacity=capacity, **given)


def labels(seed=0, width=WIDTH, height=HEIGHT, channels=3):
  rng = np.random.default_rng(seed)
  residual = rng.normal(size=(height, width, channels))
  weights = rng.uniform(0, 2, (height, width))
  return {
    'residual': residual.astype(np.float32),
    'weights': weights.astype(np.float32),
  }


def define(spec, **given):
  """The definition in double precision."""
  with jax.enable_x64(True):
    double = jax.tree.map(
      lambda x: np.asarray(x, np.float64), (spec.splats, spec.options, given)
    )
    splats, _, given = double
    options = spec.options | {'background': np.float64(spec.background)}
    found = moments(*splats, **options, **given, backend='reference')
    return jax.tree.map(np.asarray, found)


def sums_of(found):
  alone = [np.asarray(x)[:, None] for x in (found.color, found.blend)]
  return np.concatenate([found.squared, found.signed, *alone], axis=1)


def centered(opacity, color, depth=1.0, conic=(0.3, 0.1, 0.2)):
  """One splat between pixels, near the middle of 20 x 18 px."""
  splats = ((9.25, 8.5),), (conic,), (opacity,), (color,), (depth,)
  return tuple(np.array(x, np.float32) for x in splats)


def small(splats, background=(0.5, 0.25, 0.0), **given):
  return moments(
    *splats, width=20, height=18, background=np.float32(background), **given
  )


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('channels', [1, 3])
def test_moments_of_backends_are_those_of_the_definition(backend, channels):
  spec = specs.make_random(3, 40, WIDTH, HEIGHT, channels)
  given = labels(channels=channels)
  wanted = sums_of(define(spec, **given))
  found = moments(*spec.splats, **spec.options, **given, backend=backend)
  error = np.linalg.norm(sums_of(found) - wanted, axis=0)
  # Single precision; what is left behind a splat is a difference.
  assert (error <= 5e-6 * np.linalg.norm(wanted, axis=0)).all()
  plain = moments(*spec.splats, **spec.options, backend=backend)
  wanted = sums_of(define(spec))
  error = np.linalg.norm(sums_of(plain) - wanted, axis=0)
  assert (error <= 5e-6 * np.linalg.norm(wanted, axis=0)).all()
  assert not np.any(plain.signed)


@pytest.mark.parametrize('backend', EVERY)
def test_signed_moments_are_the_gradients_of_rasterize(backend):
  # A wrong sign, a swapped axis or half a pixel is another gradient.
  spec = specs.make_random(5, 20, WIDTH, HEIGHT)
  means2d, conics, opacities, features, depths = map(jnp.asarray, spec.splats)
  residual = labels(1)['residual']

  def draw(means2d, conics, opacities, features):
    return rasterize(
      means2d, conics, opacities, features, depths, **spec.options,
      backend='reference',
    ).image  # fmt: skip

  _, pull = jax.vjp(draw, means2d, conics, opacities, features)
  v_means, v_conics, v_opacities, _ = pull(jnp.asarray(residual))
  blend = pull(jnp.ones_like(residual))[3][:, 0]
  found = moments(
    *spec.splats, **spec.options, residual=residual, backend=backend
  )
  _, _, got = blocks.on_screen(found.squared, found.signed, conics, opacities)
  wanted = jnp.concatenate([v_means, v_conics, v_opacities[:, None]], axis=1)
  for i in range(6):
    scale = np.linalg.norm(wanted[:, i])
    assert np.linalg.norm(got[:, i] - wanted[:, i]) <= 1e-5 * scale
  np.testing.assert_allclose(found.blend, blend, rtol=1e-5, atol=1e-5)


def test_squares_are_summed_over_pixels_and_channels():
  spec = specs.make_random(7, 6, 16, 12)
  means2d, conics, opacities, features, depths = map(jnp.asarray, spec.splats)

  def draw(means2d, opacities):
    return rasterize(
      means2d, conics, opacities, features, depths, **spec.options,
      backend='reference',
    ).image  # fmt: skip

  jacobians = jax.jacrev(draw, (0, 1))(means2d, opacities)
  slopes = jnp.concatenate([jacobians[0], jacobians[1][..., None]], axis=-1)
  wanted = jnp.einsum('hwcns,hwcnt->nst', slopes, slopes)
  found = moments(*spec.splats, **spec.options, backend='reference')
  got, _, _ = blocks.on_screen(found.squared, found.signed, conics, opacities)
  chosen = np.ix_(range(6), [0, 1, 5], [0, 1, 5])
  error = np.linalg.norm(got[chosen] - wanted)
  assert error <= 1e-5 * np.linalg.norm(wanted)
  # Summed first and squared then, it would be another matrix.
  pooled = slopes.sum((0, 1, 2))
  pooled = jnp.einsum('ns,nt->nst', pooled, pooled)
  assert np.linalg.norm(pooled - wanted) > 0.1 * np.linalg.norm(wanted)


@pytest.mark.parametrize('backend', EVERY)
def test_one_splat_has_its_closed_form(backend):
  splats = centered(0.8, (0.9, 0.4, 0.2))
  x, y = np.meshgrid(np.arange(20) + 0.5 - 9.25, np.arange(18) + 0.5 - 8.5)
  alpha = 0.8 * np.exp(-0.15 * x**2 - 0.1 * x * y - 0.1 * y**2)
  alpha = np.where(alpha >= 1 / 255, alpha, 0)
  contrast = 0.4**2 + 0.15**2 + 0.2**2
  found = small(splats, backend=backend)
  for got, (k, l) in zip(found.squared[0], POWERS):
    wanted = np.sum(contrast * alpha**2 * x**k * y**l)
    scale = np.sum(contrast * alpha**2 * np.abs(x) ** k * np.abs(y) ** l)
    assert abs(got - wanted) <= 3e-6 * scale
  np.testing.assert_allclose(found.color[0], np.sum(alpha**2), rtol=1e-5)
  np.testing.assert_allclose(found.blend[0], np.sum(alpha), rtol=1e-5)

  move = np.float32([[[0.5, 0.2, -0.3], [0.1, 0.7, 0.4]]])
  got = blocks.bending(found.squared, splats[1], jnp.asarray(move))
  conic = np.array([[0.3, 0.1], [0.1, 0.2]])
  q = np.einsum('ij,jyx->yxi', conic, np.stack([x, y]))
  hess = alpha[..., None, None] * (q[..., None] * q[..., None, :] - conic)
  hess = np.einsum('ia,yxij,jb->yxab', move[0], hess, move[0])
  np.testing.assert_allclose(got[0], contrast * np.sum(hess**2), rtol=1e-4)


@pytest.mark.parametrize('backend', EVERY)
def test_where_alpha_is_clamped_it_has_no_derivative(backend):
  # On the centre of a pixel alpha is 1 before the clamp: there alone nothing.
  splats = centered(1.0, (1.0, 1.0, 1.0), conic=(0.01, 0, 0.01))
  at = (np.array([[9.5, 8.5]], np.float32), *splats[1:])
  x, y = np.meshgrid(np.arange(20) - 9, np.arange(18) - 8)
  raw = np.exp(-0.005 * (x**2 + y**2))
  free = np.where(raw < 0.99, raw, 0)
  found = small(at, (0, 0, 0), backend=backend)
  np.testing.assert_allclose(found.squared[0, 0], 3 * np.sum(free**2), 1e-5)
  np.testing.assert_allclose(found.blend[0], np.minimum(raw, 0.99).sum(), 1e-5)


@pytest.mark.parametrize('backend', EVERY)
def test_contrast_counts_squared_and_a_wall_hides(backend):
  one = centered(0.7, (0.9, 0.4, 0.2), depth=2.0)
  plain = small(one, backend=backend)
  bright = (*one[:3], 3 * one[3], one[4])
  bright = small(bright, (1.5, 0.75, 0.0), backend=backend)
  # Odd moments of a symmetric splat are rounding.
  np.testing.assert_allclose(
    bright.squared, 9 * plain.squared, rtol=1e-4, atol=1e-4
  )
  same = small(
    (*one[:3], np.float32([[0.5, 0.25, 0]]), one[4]), backend=backend
  )
  assert np.abs(same.squared).max() < 1e-6
  wall = centered(1.0, (0.0, 0.0, 0.0), conic=(1e-6, 0, 1e-6))
  pair = [np.concatenate(x) for x in zip(one, wall)]
  hidden = small(pair, backend=backend)
  share = hidden.squared[0, 0] / plain.squared[0, 0]
  assert share == pytest.approx(1e-4, rel=0.01)
  swapped = small([x[::-1] for x in pair], backend=backend)
  np.testing.assert_array_equal(swapped.squared[1], hidden.squared[0])
  # Two walls would leave 1e-4 of the light: there the pixel stops.
  triple = [np.concatenate(x) for x in zip(one, wall, wall)]
  assert not small(triple, backend=backend).squared[0].any()


@pytest.mark.parametrize('backend', EVERY)
def test_what_is_no_splat_has_no_moments(backend):
  spec = specs.make_random(3, 6, WIDTH, HEIGHT)
  broken = [x.copy() for x in spec.splats]
  broken[0][1], broken[4][2], broken[2][3] = np.nan, -1, 0
  found = moments(*broken, **spec.options, **labels(), backend=backend)
  sums = sums_of(found)
  assert np.isfinite(sums).all()
  assert not sums[1:4].any() and sums[[0, 4, 5]].any(axis=1).all()


def test_too_few_slots_are_told_by_nan():
  spec = specs.make_random(3, 40, WIDTH, HEIGHT)
  found = moments(*spec.splats, **spec.options, capacity=8, backend='xla')
  assert found.overflow and np.isnan(found.squared).all()


def test_nothing_at_all_has_no_moments():
  spec = specs.make_random(3, 0, WIDTH, HEIGHT)
  assert moments(*spec.splats, **spec.options).squared.shape == (0, 15)


def test_shapes_that_do_not_fit_are_named():
  spec = specs.make_random(3, 4, WIDTH, HEIGHT)
  wrong = np.zeros((WIDTH, HEIGHT, 3), np.float32)
  with pytest.raises(ValueError, match='residual must have shape'):
    moments(*spec.splats, **spec.options, residual=wrong)


@BUILT
def test_cpp_says_how_many_channels_it_knows():
  reason = BACKENDS['cpu'].unsupported(dtype=jnp.float32, channels=4)
  assert reason is None or '3 channels' in reason
