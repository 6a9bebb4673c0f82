"""StableSR: its size, its table of names, and maps that must fit."""

import jax
import jax.numpy as jnp
import pytest

from sr3d_jax.io import weights
from sr3d_jax.models import diffusion_blocks, stablesr

KEY = jax.random.key(0, impl='unsafe_rbg')  # draws without much to compile
SPADE_BLOCKS = 22


def _shapes(params, names):
  """The shapes of parameters by their published names."""
  template = weights.flatten(params)
  found = {weights.published_name(n, names): a for n, a in template.items()}
  assert len(found) == len(template)
  return found


def _size(shapes):
  return sum(shape.size for shape in shapes.values())


def test_the_unet_has_the_published_size_and_names():
  params = jax.eval_shape(stablesr.make_unet().init, KEY)
  shapes = _shapes(params, stablesr.UNET_NAMES)
  assert (len(shapes), _size(shapes)) == (862, 918_930_884)
  spade = {name: a for name, a in shapes.items() if '.spade.' in name}
  assert (len(spade), _size(spade)) == (8 * SPADE_BLOCKS, 53_020_160)
  for name in (
    'time_embed.2.bias',
    'input_blocks.0.0.weight',
    'input_blocks.4.0.skip_connection.weight',
    'input_blocks.9.0.op.weight',
    'input_blocks.11.0.spade.mlp_shared.0.weight',
    'middle_block.1.transformer_blocks.0.ff.net.0.proj.weight',
    'middle_block.2.spade.param_free_norm.weight',
    'output_blocks.2.1.conv.weight',
    'output_blocks.8.2.conv.weight',
    'output_blocks.11.1.transformer_blocks.0.attn2.to_out.0.bias',
    'out.2.weight',
  ):
    assert name in shapes
  # what the skips add to each block of the way up
  widths = [
    shapes[f'output_blocks.{i}.0.in_layers.0.weight'].size for i in range(12)
  ]
  assert widths == 5 * [2560] + 2 * [1920] + [1280, 960, 960, 640, 640]


@pytest.fixture(scope='module')
def encoder_params():
  return jax.eval_shape(stablesr.make_encoder().init, KEY)


def test_the_encoder_has_the_published_size_and_names(encoder_params):
  shapes = _shapes(encoder_params, stablesr.ENCODER_NAMES)
  assert (len(shapes), _size(shapes)) == (200, 52_494_080)
  for name in (
    'input_blocks.8.1.qkv.weight',
    'middle_block.1.proj_out.weight',
    'fea_tran.3.skip_connection.bias',
  ):
    assert name in shapes


def test_the_encoder_gives_each_level_its_map(encoder_params):
  latents = jax.ShapeDtypeStruct((2, 48, 64, 4), jnp.float32)
  times = jax.ShapeDtypeStruct((2,), jnp.int32)
  maps = jax.eval_shape(
    stablesr.make_encoder().apply, encoder_params, latents, times
  )
  assert {w: a.shape for w, a in maps.items()} == {
    w: (2, w * 3 // 4, w, 256) for w in (64, 32, 16, 8)
  }


def test_a_block_is_modulated_by_the_map_of_its_width():
  block = diffusion_blocks.ResBlock(8, groups=4)
  x, time = jnp.zeros((1, 16, 16, 4)), jnp.zeros((1, 6))
  maps = {w: jnp.zeros((1, w, w, w)) for w in (8, 16, 32)}
  params = jax.eval_shape(block.init, KEY, x, time, maps)['params']
  assert params['spade']['mlp_shared']['kernel'].shape == (3, 3, 16, 128)
  del maps[16]
  with pytest.raises(ValueError, match=r'16 px wide.* maps .* 8, 32:'):
    jax.eval_shape(block.init, KEY, x, time, maps)
