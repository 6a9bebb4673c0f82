"""What heads compute with: waves and their activation."""

import jax
import jax.numpy as jnp
import numpy as np

from sr3d_jax.models import heads


def test_waves_are_cosines_and_sines():
  turns = np.linspace(-40, 40, 4001, dtype=np.float32)
  exact = np.pi * turns.astype(np.float64)
  expected = np.stack([np.cos(exact), np.sin(exact)], axis=-1)
  # twice what rounding a number near 1 costs
  np.testing.assert_allclose(heads.waves(turns[:, None]), expected, atol=3e-7)


def test_waves_of_many_lie_side_by_side():
  found = heads.waves(jnp.asarray([[0.0, 0.5, 1.0]]))
  np.testing.assert_allclose(found, [[1, 0, -1, 0, 1, 0]], atol=1e-7)


def test_waves_have_the_slope_of_waves():
  turns = np.linspace(-3, 3, 61, dtype=np.float32)[:, None]
  _, slope = jax.jvp(heads.waves, (turns,), (jnp.ones_like(turns),))
  expected = np.pi * np.concatenate(
    [-np.sin(np.pi * turns), np.cos(np.pi * turns)], axis=-1
  )
  np.testing.assert_allclose(slope, expected, atol=3e-6)


def test_gelu_is_the_exact_one():
  x = jnp.linspace(-9, 9, 1001)
  expected = jax.nn.gelu(x, approximate=False)
  np.testing.assert_allclose(heads.gelu(x), expected, atol=1.5e-6)
  slope = jax.vmap(jax.grad(heads.gelu))(x)
  expected = jax.vmap(jax.grad(lambda x: jax.nn.gelu(x, False)))(x)
  np.testing.assert_allclose(slope, expected, atol=1.5e-6)
