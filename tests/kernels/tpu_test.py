"""The kernels for TPUs: interpreted on a CPU, and lowered for a device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rows_test
from sr3d_kernels.rasterize import specs, tpu


@pytest.fixture
def drawing(monkeypatch):
  """Draws on a TPU where there is one, else in the interpreter."""
  if tpu.unsupported(dtype=jnp.float32) is not None:
    monkeypatch.setattr(tpu, 'INTERPRET', True)


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
  rows_test.assert_agrees('tpu', spec)


def test_nothing_to_draw_gives_the_background(drawing):
  rows_test.assert_background('tpu')


def test_too_small_a_capacity_poisons_everything(drawing):
  rows_test.assert_poisoned('tpu')


@pytest.mark.parametrize('channels, with_abs', [(4, True), (21, False)])
def test_both_kernels_lower_for_a_tpu(channels, with_abs):
  size = {'width': 40, 'height': 24}
  spec = specs.make_random(3, 20, **size, channels=channels)

  def run(splats, cotangents):
    outputs, residuals = tpu.forward(*splats, **size, capacity=600)
    grads = tpu.backward(residuals, cotangents, **size, with_abs=with_abs)
    return outputs, grads

  cotangents = jnp.zeros((24, 40, channels)), jnp.zeros((24, 40))
  traced = jax.jit(run).trace(tuple(map(jnp.asarray, spec.splats)), cotangents)
  text = traced.lower(lowering_platforms=('tpu',)).as_text()
  assert text.count('custom_call @tpu_custom_call') == 2


def test_it_says_what_it_needs():
  assert 'float64' in tpu.unsupported(dtype=np.float64)
  if jax.default_backend() == 'cpu':
    assert tpu.unsupported(dtype=np.float32) == (
      'it draws on a TPU, and the device is a cpu'
    )
