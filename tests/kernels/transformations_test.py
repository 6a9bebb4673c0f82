"""`rasterize` under the transformations of JAX, on the backends of a CPU."""

import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rasterize_test as contract
from sr3d_kernels.rasterize import cpu, rasterize, specs

ROOT = pathlib.Path(__file__).parents[2]
FAST = pytest.mark.parametrize('backend', contract.FAST)
SPEC = specs.make_random(10, 30, 20, 20)


def loss(means2d, *others, backend=None, spec=SPEC):
  """Of an image; `others` default to those of the scene."""
  splats = (means2d, *others, *spec.splats[1 + len(others) :])
  options = spec.options | {'backend': backend, 'capacity': 2048}
  return (rasterize(*map(jnp.asarray, splats), **options).image ** 2).sum()


@functools.cache
def gradient(backend):
  return jax.jit(jax.grad(functools.partial(loss, backend=backend)))


@FAST
def test_what_is_drawn_again_for_its_gradient_is_the_same(backend):
  again = jax.checkpoint(functools.partial(loss, backend=backend))
  means2d = jnp.asarray(SPEC.splats[0])
  got, wanted = jax.jit(jax.grad(again))(means2d), gradient(backend)(means2d)
  np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


@FAST
def test_a_batch_is_its_members(backend):
  batch = jnp.stack([SPEC.splats[0], SPEC.splats[0] + 1])
  wanted = np.stack([gradient(backend)(x) for x in batch])
  for many in (jax.vmap(gradient(backend)), scanned(gradient(backend))):
    np.testing.assert_allclose(many(batch), wanted, rtol=1e-4, atol=1e-5)


def scanned(run):
  return functools.partial(jax.lax.map, run)


@FAST
def test_a_mapped_argument_may_be_any_of_them(backend):
  # An image a background, and a drawing an opacity: the others are not mapped.
  scales = jnp.asarray([1.0, 0.5])
  opacities = jnp.asarray(SPEC.splats[2])

  @jax.jit
  def shaded(scale):
    others = SPEC.splats[1], opacities * scale
    return loss(SPEC.splats[0], *others, backend=backend)

  got = jax.vmap(shaded)(scales)
  np.testing.assert_allclose(got, [shaded(x) for x in scales], rtol=1e-5)


@FAST
def test_shapes_are_known_without_drawing(backend):
  @jax.jit
  def draw(*splats):
    return rasterize(*splats, **SPEC.options, backend=backend, capacity=2048)

  shapes = jax.eval_shape(draw, *SPEC.splats)
  drawn = draw(*SPEC.splats)
  for shape, array in zip(shapes, drawn, strict=True):
    assert (shape.shape, shape.dtype) == (array.shape, array.dtype)


@FAST
def test_donated_arrays_are_drawn_before_they_are_overwritten(backend):
  wanted = gradient(backend)(jnp.asarray(SPEC.splats[0]))
  step = jax.jit(lambda x: x - gradient(backend)(x), donate_argnums=0)
  given = jnp.array(SPEC.splats[0])
  np.testing.assert_allclose(
    step(given), SPEC.splats[0] - wanted, rtol=1e-6, atol=1e-6
  )
  assert given.is_deleted()


@FAST
def test_single_precision_is_the_same_where_double_is_allowed(backend):
  wanted = gradient(backend)(SPEC.splats[0])
  with jax.enable_x64(True):
    got = gradient(backend)(SPEC.splats[0])
  assert got.dtype == np.float32
  np.testing.assert_array_equal(got, wanted)


def test_double_precision_is_drawn_in_double_precision():
  with jax.enable_x64(True):
    exact = contract.in_double(SPEC)

    @functools.partial(jax.jit, static_argnames='backend')
    def draw(splats, backend=None):
      spec = exact._replace(splats=splats)
      return contract.draw(spec, backend=backend, capacity=2048)

    got, wanted = draw(exact.splats), draw(exact.splats, backend='reference')
    assert got.image.dtype == np.float64
    np.testing.assert_allclose(got.image, wanted.image, atol=1e-12)
    if cpu.unsupported(dtype=np.float32) is None:
      with pytest.raises(ValueError, match='cpu: it computes in float32'):
        contract.draw(exact, backend='cpu')


@FAST
def test_second_derivatives_are_refused(backend):
  slope = jax.grad(functools.partial(loss, backend=backend))
  with pytest.raises(ValueError, match='differentiat'):
    jax.make_jaxpr(jax.grad(lambda x: slope(x).sum()))(SPEC.splats[0])


SHARDED = """
import sys
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
sys.path.insert(0, 'tests/kernels')
import transformations_test as test
mesh = jax.sharding.Mesh(jax.devices(), ('views',))
batch = np.stack([test.SPEC.splats[0] + i for i in range(8)])
for backend in sys.argv[1:]:
  one = test.gradient(backend)
  def mine(batch):
    slopes = jax.lax.map(one, batch)
    return slopes, jax.lax.psum(slopes.sum(0), 'views')
  many = jax.jit(jax.shard_map(
    mine, mesh=mesh, in_specs=P('views'), out_specs=(P('views'), P()),
    check_vma=False,
  ))
  wanted = np.stack([one(x) for x in batch])
  batch = jax.device_put(batch, NamedSharding(mesh, P('views')))
  for _ in range(5):
    slopes, total = many(batch)
    np.testing.assert_allclose(slopes, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(total, wanted.sum(0), rtol=1e-4, atol=1e-4)
  print(backend)
"""


def test_devices_that_share_the_views_draw_what_one_draws():
  names = [
    name for name in ('cpu', 'xla')
    if contract.BACKENDS[name].unsupported(dtype=np.float32) is None
  ]  # fmt: skip
  flags = '--xla_force_host_platform_device_count=4'
  done = subprocess.run(
    [sys.executable, '-c', SHARDED, *names],
    env=os.environ | {'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'},
    cwd=ROOT, capture_output=True, text=True,
  )  # fmt: skip
  assert done.stdout.split() == names, done.stderr
