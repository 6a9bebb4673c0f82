"""Rows in bounded batches are what they are all at once."""

import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.batched import in_batches


def _twice(params, x, y):
  return {'sum': params * x + y.sum(axis=-1), 'rows': x.shape[0] + 0 * x}


@pytest.mark.parametrize('rows', [1, 3, 8])
def test_any_number_of_rows_comes_back_in_order(rows):
  x, y = np.arange(5.0), np.ones((5, 2))
  found = in_batches(_twice, rows_per_device=rows)(jnp.float32(3), x, y)
  np.testing.assert_allclose(found['sum'], 3 * x + 2)
  assert isinstance(found['sum'], np.ndarray)


def test_all_batches_have_one_size():
  x, y = np.arange(5.0), np.ones((5, 2))
  found = in_batches(_twice, rows_per_device=3)(jnp.float32(3), x, y)
  np.testing.assert_array_equal(found['rows'], np.full(5, 3.0))
