"""UNets by config: sizes, kinds of blocks, types, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from diffusion_cases import compiled

from sr3d_jax.models import unet, unet_config

KEY = jax.random.key(0, impl='unsafe_rbg')  # draws without much to compile
TINY = dict(
  in_channels=3,
  block_out_channels=(8, 16),
  layers_per_block=1,
  down_block_types=('DownBlock2D', 'AttnDownBlock2D'),
  mid_block_type='UNetMidBlock2D',
  up_block_types=('AttnUpBlock2D', 'UpBlock2D'),
  attention_head_dim=2,
  norm_num_groups=4,
)
SMALL = TINY | dict(  # quick to compile
  block_out_channels=(8,),
  down_block_types=('AttnDownBlock2D',),
  mid_block_type=None,
  up_block_types=('UpBlock2D',),
)
TIMES = jnp.array([7, 800])


def _params(network):
  generator = np.random.default_rng(0)
  return jax.tree.map(
    lambda a: generator.normal(0, 0.2, a.shape).astype(np.float32),
    jax.eval_shape(network.init, KEY),
  )


@pytest.fixture(scope='module')
def tiny():
  network = unet.make(**TINY)
  return compiled(network.apply), _params(network)


def _counts(network):
  leaves = jax.tree.leaves(jax.eval_shape(network.init, KEY))
  return len(leaves), sum(leaf.size for leaf in leaves)


def test_the_default_is_stable_diffusion_2():
  assert _counts(unet.make()) == (686, 865_910_724)


@pytest.mark.parametrize('height, width', [(8, 8), (7, 10), (1, 3)])
def test_any_size_serves_without_a_context(tiny, height, width):
  apply, params = tiny
  x = jax.random.normal(KEY, (2, height, width, 3))
  eps = apply(params, x, TIMES)
  assert eps.shape == (2, height, width, 4)
  other = apply(params, x.at[1].set(0), TIMES.at[1].set(1))
  np.testing.assert_allclose(other[0], eps[0], atol=1e-5)
  later = apply(params, x, TIMES + 100)
  assert jnp.abs(later - eps).max() > 1e-3


def test_a_fresh_network_returns_zeros():
  network = unet.make(**SMALL)
  x = jnp.ones((2, 4, 4, 3))
  eps = compiled(lambda x: network.apply(network.init(KEY), x, TIMES))(x)
  assert jnp.all(eps == 0)


def test_bfloat16_keeps_parameters_and_results_in_float32():
  network = unet.make(**SMALL, dtype='bfloat16')
  types = {a.dtype for a in jax.tree.leaves(jax.eval_shape(network.init, KEY))}
  assert types == {jnp.dtype('float32')}
  params = _params(network)
  x = jax.random.normal(KEY, (2, 8, 8, 3))
  found, wanted = (
    compiled(apply)(params, x, TIMES)
    for apply in (network.apply, unet.make(**SMALL).apply)
  )
  assert found.dtype == jnp.float32
  # products have 8 bits
  assert jnp.abs(found - wanted).max() < 0.05 * wanted.std()
  assert jnp.abs(found - wanted).max() > 0


def test_remat_changes_what_is_kept_and_not_the_gradient():
  x = jax.random.normal(KEY, (2, 8, 8, 3))
  batch = dict(x=x, timesteps=TIMES, target=x[..., :1])
  params = _params(unet.make(**SMALL))

  def gradient(remat):
    network = unet.make(**SMALL, remat=remat)
    function = jax.grad(network.loss, has_aux=True)
    forward = str(jax.make_jaxpr(network.loss)(params, KEY, batch))
    assert ('prevent_cse' in forward) == remat  # what marks it, by any name
    return compiled(function)(params, KEY, batch)[0]

  kept, anew = gradient(False), gradient(True)
  for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(anew)):
    np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


def test_labels_and_contexts_are_told_apart():
  network = unet.make(
    **SMALL
    | dict(
      down_block_types=('CrossAttnDownBlock2D',),
      num_class_embeds=5,
      cross_attention_dim=6,
    )
  )
  params = _params(network)
  x = jax.random.normal(KEY, (1, 4, 4, 3))
  context = jax.random.normal(KEY, (1, 2, 6))
  apply = compiled(network.apply)
  base = apply(params, x, TIMES[:1], context, jnp.array([1]))
  for other in (
    apply(params, x, TIMES[:1], context + 1, jnp.array([1])),
    apply(params, x, TIMES[:1], context, jnp.array([4])),
  ):
    assert jnp.abs(other - base).max() > 1e-4
  # tokens of a context have no order
  turned = apply(params, x, TIMES[:1], context[:, ::-1], jnp.array([1]))
  np.testing.assert_allclose(turned, base, atol=1e-5)


@pytest.mark.parametrize(
  'given, message',
  [
    (dict(context=jnp.zeros((2, 1, 4))), 'takes no context, got some'),
    (dict(class_labels=TIMES), 'takes no class_labels, got some'),
    (dict(maps={8: jnp.zeros((2, 8, 8, 4))}), 'takes no maps, got some'),
  ],
)
def test_what_a_network_was_not_made_for_is_refused(tiny, given, message):
  apply, params = tiny
  with pytest.raises(ValueError, match=message):
    apply(params, jnp.zeros((2, 8, 8, 3)), TIMES, **given)


@pytest.mark.parametrize(
  'change, message',
  [
    (dict(up_block_types=('UpBlock2D',)), 'up_block_types has 1 entries'),
    (dict(mid_block_type='Mid'), "unknown mid_block_type 'Mid'"),
    (dict(down_block_types=('A', 'B')), 'choose from DownBlock2D'),
    (dict(attention_head_dim=(1, 2, 3)), 'attention_head_dim has 3'),
    (dict(norm_num_groups=5), 'norm_num_groups 5'),
    (dict(attention_head_dim=3), 'attention_head_dim 3'),
  ],
)
def test_a_network_that_cannot_be_is_refused(change, message):
  with pytest.raises(ValueError, match=message):
    unet.make(**TINY | change)


def test_a_config_gives_the_keywords_of_make():
  config = {
    '_class_name': 'UNet2DConditionModel',
    'act_fn': 'silu',
    'block_out_channels': [320, 640, 1280, 1280],
    'attention_head_dim': [5, 10, 20, 20],
    'cross_attention_dim': 1024,
    'norm_eps': 1e-5,
    'sample_size': 96,
    'upcast_attention': True,
  }
  keywords = unet_config.options(config)
  assert keywords == {
    'block_out_channels': [320, 640, 1280, 1280],
    'attention_head_dim': [5, 10, 20, 20],
    'cross_attention_dim': 1024,
    'use_linear_projection': False,  # where a config does not say
  }
  unet.make(**keywords)


@pytest.mark.parametrize(
  'key, value', [('act_fn', 'gelu'), ('dual_cross_attention', True)]
)
def test_a_config_for_another_network_is_refused(key, value):
  with pytest.raises(ValueError, match=f'{key} = {value!r}: this UNet only'):
    unet_config.options({key: value})
  with pytest.raises(
    ValueError, match='remat = True, which this UNet does not'
  ):
    unet_config.options({'remat': True})
