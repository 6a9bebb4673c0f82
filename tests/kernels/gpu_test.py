"""The kernels for GPUs: interpreted on a CPU, and lowered for a device."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rasterize_test as contract
import rows_test
from sr3d_kernels.rasterize import gpu, specs


@pytest.fixture
def drawing(monkeypatch):
  """Draws on a GPU where there is one, else in the interpreter."""
  if gpu.unsupported(dtype=jnp.float32) is not None:
    monkeypatch.setattr(gpu, 'INTERPRET', True)
    monkeypatch.setattr(gpu, 'STEP', 2)  # half as long to compile


@pytest.mark.parametrize(
  'spec',
  [
    rows_test.scene(),
    rows_test.opaque(),
    rows_test.only(1),
    rows_test.scene(channels=11),
  ],
  ids=['random', 'saturated', 'one', 'channels'],
)
def test_it_agrees_with_the_definition(drawing, spec):
  rows_test.assert_agrees('gpu', spec)


def test_nothing_to_draw_gives_the_background(drawing):
  rows_test.assert_background('gpu')


def test_too_small_a_capacity_poisons_everything(drawing):
  rows_test.assert_poisoned('gpu')


def test_the_kernels_as_launched_agree_with_the_definition(monkeypatch):
  # The interpreter above runs their bodies, this one all that a GPU is given.
  plgpu = pytest.importorskip('jax.experimental.pallas.mosaic_gpu')
  if not hasattr(plgpu, 'force_gpu_interpret_mode'):
    pytest.skip(f'jax {jax.__version__} has no interpreter for GPU kernels')
  monkeypatch.setattr(gpu, 'unsupported', lambda **_: None)
  spec = specs.make_random(3, 12, 16, 15)
  wanted, wanted_grads = contract.differentiate(spec, backend='reference')
  with plgpu.force_gpu_interpret_mode():
    got, grads = contract.differentiate(spec, backend='gpu')
  np.testing.assert_allclose(got.image, wanted.image, atol=2e-6)
  for name, grad in wanted_grads.items():
    assert contract.relative(grads[name], grad) <= 5e-6, name


def both_ways(channels, with_abs):
  """Forward and backward as a function of arrays, and its arguments."""
  size = {'width': 40, 'height': 24}
  spec = specs.make_random(3, 20, **size, channels=channels)
  splats = tuple(map(jnp.asarray, spec.splats))

  def run(splats, cotangents):
    outputs, residuals = gpu.forward(*splats, **size, capacity=600)
    grads = gpu.backward(residuals, cotangents, **size, with_abs=with_abs)
    return outputs, grads

  cotangents = jnp.zeros((24, 40, channels)), jnp.zeros((24, 40))
  return run, (splats, cotangents)


def abstract_h100():
  """Makes jax lower for a device that need not be there."""
  if not hasattr(jax.sharding, 'AbstractDevice'):
    pytest.skip(f'jax {jax.__version__} knows no abstract device')
  device = jax.sharding.AbstractDevice(
    device_kind='NVIDIA H100', num_cores=132, platform='cuda'
  )
  mesh = jax.sharding.AbstractMesh((), (), abstract_device=device)
  return jax.sharding.use_abstract_mesh(mesh)


@pytest.mark.parametrize('channels, with_abs', [(4, True), (21, False)])
def test_both_kernels_lower_for_cuda(channels, with_abs):
  run, args = both_ways(channels, with_abs)
  with abstract_h100():
    traced = jax.jit(run).trace(*args)
    text = traced.lower(lowering_platforms=('cuda',)).as_text()
  assert text.count('custom_call @mosaic_gpu') == 2
  # On a GPU, XLA has a radix sort for 32-bit integers, and none for wider keys.
  sorts = re.findall(r'stablehlo\.sort.*?\}\) : \((.*?)\) ->', text, re.DOTALL)
  assert len(sorts) == 2
  for types in sorts:
    assert set(re.findall(r'x(\w+)>', types)) == {'i32'}


@pytest.mark.gpu
@pytest.mark.skipif(
  jax.default_backend() != 'gpu', reason='only a GPU compiles for a GPU'
)
def test_both_sorts_are_radix_sorts():
  run, args = both_ways(channels=4, with_abs=False)
  text = jax.jit(run).lower(*args).compile().as_text()
  assert text.count('custom_call_target="__cub$DeviceRadixSort') == 2
  assert ' sort(' not in text


def test_it_says_what_it_needs():
  assert 'float64' in gpu.unsupported(dtype=jnp.float64)
  if jax.default_backend() == 'cpu':
    assert gpu.unsupported(dtype=jnp.float32) == (
      'it draws on a GPU, and the device is a cpu'
    )
