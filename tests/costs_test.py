"""Operations counted from shapes: by hand, by the paper's, and 3DSR's bill."""

import jax
import jax.numpy as jnp
import pytest

from sr3d_jax import costs

FERN = (1512, 2016)  # px of LLFF at half size
UNTILED = (1024, 1280)
TERA = 1e12


def _shape(*shape):
  return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_products_of_matrices_are_counted():
  def run(x, y):
    return jnp.einsum('bij,bjk->bik', x, y) + 1

  assert costs.flops(run, _shape(2, 3, 5), _shape(2, 5, 7)) == 2 * 2 * 3 * 5 * 7


def test_convolutions_are_counted_where_they_are_evaluated():
  def run(x, kernel):
    return jax.lax.conv_general_dilated(
      x,
      kernel,
      (2, 2),
      'SAME',
      feature_group_count=2,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )

  found = costs.flops(run, _shape(1, 8, 10, 6), _shape(3, 5, 3, 4))
  assert found == 2 * (4 * 5 * 4) * (3 * 5 * 3)


def test_loops_count_as_often_as_they_run_and_branches_once():
  matrix = _shape(4, 4)
  one = 2 * 4**3

  def loop(x):
    return jax.lax.fori_loop(0, 5, lambda i, y: jax.jit(jnp.dot)(y, x), x)

  def branch(x):
    return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, x)

  def search(x):
    return jax.lax.while_loop(lambda y: y[0, 0] > 0, lambda y: y @ x, x)

  assert costs.flops(loop, matrix) == 5 * one
  assert costs.flops(branch, matrix) == 2 * one
  assert costs.flops(jax.remat(loop), matrix) == 5 * one
  with pytest.raises(ValueError, match='a loop of unknown length'):
    costs.flops(search, matrix)


def test_calls_cost_what_others_counted():
  # 0.876 for the UNet and 0.089 for the encoder, others' count, in 10^12
  assert costs.unet_tile() / TERA == pytest.approx(0.965, abs=1e-3)
  assert costs.encode(512, 512) / TERA == pytest.approx(1.12, abs=5e-3)
  assert costs.decode(512, 512) / TERA == pytest.approx(5.00, abs=5e-3)
  assert costs.decode(512, 512, is_fused=False) / TERA == pytest.approx(
    2.52, abs=6e-3
  )


def test_the_corrected_way_costs_a_third_of_the_released_one():
  released, corrected = costs.released(*FERN), costs.corrected(*FERN)
  assert released[:3] == (4 * 16 * 7, 4 * 11, 4 * 4)
  assert corrected[:3] == (35 * 4, 4, 4)
  assert corrected.total <= 0.35 * released.total


def test_a_view_that_needs_no_cutting_saves_passes_and_encodes():
  released, corrected = costs.released(*UNTILED), costs.corrected(*UNTILED)
  assert 7 * corrected.unet_passes <= 4 * released.unet_passes
  num_renders = 3
  assert corrected.encodes == num_renders + 1
  assert released.encodes == 11
