"""Attention by blocks is attention; modules attend within one picture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from sr3d_jax.models import attention

KEY = jax.random.key(0, impl='unsafe_rbg')  # draws without much to compile


def _plain(q, k, v):
  """Each query by itself, in float64."""
  q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
  scores = np.einsum('bqhd,bkhd->bhqk', q, k) / np.sqrt(q.shape[-1])
  weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
  weights /= weights.sum(axis=-1, keepdims=True)
  return np.einsum('bhqk,bkhd->bqhd', weights, v)


def _drawn(*shapes):
  keys = jax.random.split(KEY, len(shapes))
  return [3 * jax.random.normal(k, s) for k, s in zip(keys, shapes)]


@pytest.fixture(scope='module')
def attend():
  return jax.jit(attention.attend, static_argnums=3)


@pytest.mark.parametrize(
  'num_queries, num_keys, block', [(13, 22, 8), (3, 9, 4)]
)
def test_attention_by_blocks_is_attention(attend, num_queries, num_keys, block):
  keys = (2, num_keys, 3, 4)
  q, k, v = _drawn((2, num_queries, 3, 4), keys, keys)
  for each in (block, None):
    np.testing.assert_allclose(
      attend(q, k, v, each), _plain(q, k, v), atol=1e-5
    )


def test_scores_that_are_far_apart_stay_finite(attend):
  q, k, v = _drawn((2, 3, 3, 4), (2, 9, 3, 4), (2, 9, 3, 4))
  found = attend(1e3 * q, k, v, 4)
  np.testing.assert_allclose(found, _plain(1e3 * q, k, v), atol=1e-4)


def test_the_gradient_is_the_same_by_blocks():
  inputs = _drawn((1, 7, 2, 4), (1, 10, 2, 4), (1, 10, 2, 4))

  @jax.jit
  def gradients(inputs):
    def loss(inputs, block):
      return jnp.sum(jnp.sin(attention.attend(*inputs, block)))

    return [jax.grad(loss)(inputs, block) for block in (4, None)]

  for parts, whole in zip(*gradients(inputs)):
    np.testing.assert_allclose(parts, whole, atol=1e-4)


def _largest(function, *inputs):
  """Elements of the largest array that a function makes on its way."""

  def sizes(jaxpr):
    for equation in jaxpr.eqns:
      yield from (variable.aval.size for variable in equation.outvars)
    for inner in core.subjaxprs(jaxpr):
      yield from sizes(inner)

  return max(sizes(jax.make_jaxpr(function)(*inputs).jaxpr))


@pytest.mark.parametrize('is_gradient', [False, True])
def test_the_mid_attention_of_a_whole_picture_holds_few_scores(is_gradient):
  tokens = jax.ShapeDtypeStruct((1, 189 * 252, 1, 512), jnp.float32)

  def run(q, k, v):
    function = lambda q: attention.attend(q, k, v).sum()  # noqa: E731
    return jax.grad(function)(q) if is_gradient else function(q)

  assert 30 * attention.MAX_SCORES < (189 * 252) ** 2
  assert _largest(run, tokens, tokens, tokens) <= attention.MAX_SCORES


def test_few_scores_are_held_at_once():
  shape = (35, 256, 20, 64)
  tokens = jax.ShapeDtypeStruct(shape, jnp.float32)
  jaxpr = str(jax.make_jaxpr(attention.attend)(tokens, tokens, tokens))
  assert 'scan' not in jaxpr
  shape = (35, 4096, 5, 64)
  tokens = jax.ShapeDtypeStruct(shape, jnp.float32)
  largest = _largest(attention.attend, tokens, tokens, tokens)
  assert largest <= attention.MAX_SCORES


def test_softmax_is_in_float32_whatever_comes_in(attend):
  q, k, v = (x.astype(jnp.bfloat16) for x in _drawn(*3 * [(1, 64, 2, 16)]))
  for block in (None, 16):
    found = attend(q, k, v, block)
    assert found.dtype == jnp.bfloat16
    # values and weights in bfloat16 have 8 bits
    np.testing.assert_allclose(
      np.asarray(found, np.float32), _plain(q, k, v), atol=0.1
    )


@pytest.mark.parametrize(
  'kind', [attention.PixelAttention, attention.FusedAttention]
)
def test_a_picture_attends_to_itself_alone_and_to_all_of_it(kind):
  module = kind(heads=2, groups=2)
  x = jax.random.normal(KEY, (2, 3, 5, 8))
  generator = np.random.default_rng(0)
  params = jax.tree.map(
    lambda a: generator.normal(0, 0.5, a.shape).astype(np.float32),
    jax.eval_shape(module.init, KEY, x),
  )
  apply = jax.jit(module.apply)
  whole = apply(params, x)
  # no pixel knows where it lies
  turned = apply(params, x[:, ::-1])
  np.testing.assert_allclose(turned, whole[:, ::-1], atol=1e-5)
  moved = apply(params, x.at[0, 0, 0].add(1)) - whole
  assert jnp.abs(moved[0]).min() > 1e-4
  assert jnp.abs(moved[1]).max() == 0
