"""SwinIR's windows: any size, no wrapping, constants that are checked."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.io import pth, weights
from sr3d_jax.models import swinir

FILE = (
  pathlib.Path(__file__)
  .parents[1]
  .joinpath('fixtures', 'image_networks', 'swinir_light.pth')
)
SIZES = dict(
  scale=2,
  channels=6,
  num_groups=1,
  num_blocks=2,
  num_heads=2,
  window=4,
  upsampler='pixelshuffledirect',
)
KEY = jax.random.key(0, impl='unsafe_rbg')  # draws without much to compile
BLOCKS = 'layers.0.residual_group.blocks'


@pytest.fixture(scope='module')
def checkpoint():
  return pth.load(FILE, section='params')


@pytest.fixture(scope='module')
def apply(checkpoint):
  network = swinir.make(**SIZES)
  params = weights.convert(
    checkpoint, network.init, swinir.NAMES, swinir.CONSTANTS
  )
  return jax.jit(lambda images: network.apply(params, images))


@pytest.mark.parametrize('height, width', [(4, 8), (9, 6), (1, 3)])
def test_images_of_any_size_are_reflected_up_to_whole_windows(
  apply, height, width
):
  images = jax.random.uniform(KEY, (1, height, width, 3))
  found = apply(images)
  assert found.shape == (1, 2 * height, 2 * width, 3)
  # edges repeat, as in the published script
  pad = [(0, 0), (0, -height % 4), (0, -width % 4), (0, 0)]
  whole = apply(np.pad(images, pad, mode='symmetric'))
  np.testing.assert_allclose(
    found, whole[:, : 2 * height, : 2 * width], atol=1e-6
  )


def test_rolled_windows_do_not_join_opposite_edges(apply):
  def corner(images):
    return apply(images)[0, -4:, -4:].sum()

  gradient = jax.grad(corner)(jax.random.uniform(KEY, (1, 24, 24, 3)))[0]
  assert jnp.max(jnp.abs(gradient[-4:, -4:])) > 1e-3
  # two blocks and four convolutions reach 12 px; attention leaves e^-100
  far = jnp.abs(gradient).at[11:, 11:].set(0)
  assert jnp.max(far) < 1e-30


@pytest.mark.parametrize('buffer', ['1.attn_mask', '0.attn.relative_position'])
def test_a_buffer_is_left_out_only_if_it_is_what_we_compute(checkpoint, buffer):
  network = swinir.make(**SIZES)
  name = next(n for n in checkpoint if n.startswith(f'{BLOCKS}.{buffer}'))
  changed = checkpoint | {name: checkpoint[name][::-1]}
  with pytest.raises(ValueError, match=f'{name} should be a constant'):
    weights.convert(changed, network.init, swinir.NAMES, swinir.CONSTANTS)


def test_weights_without_buffers_are_as_good(checkpoint):
  network = swinir.make(**SIZES)
  bare = {
    name: array
    for name, array in checkpoint.items()
    if not name.endswith(('attn_mask', 'relative_position_index'))
  }
  assert len(bare) == len(checkpoint) - 3
  found, expected = (
    weights.convert(c, network.init, swinir.NAMES, swinir.CONSTANTS)
    for c in (bare, checkpoint)
  )
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_heads_share_channels_evenly():
  with pytest.raises(ValueError, match='6 heads cannot share 64 channels'):
    swinir.make(channels=64)


def test_wrong_upsamplers_are_told_the_right_ones():
  with pytest.raises(ValueError, match="'nearest': choose from pixelshuffle,"):
    swinir.make(upsampler='nearest')
  with pytest.raises(ValueError, match=r'nearest\+conv enlarges by 4, got 2'):
    swinir.make(upsampler='nearest+conv', scale=2)
