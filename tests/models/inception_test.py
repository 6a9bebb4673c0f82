"""Inception: the published layout, its ways to resize, and PyTorch."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.io import weights
from sr3d_jax.models import inception

SIDE = 107  # px: an odd number of everything, few of them
# torchvision's own count without the classes; 1008 of them without a bias; and
# the means and variances of 17,216 channels, which it does not count
COUNT = 21_785_568 + 2048 * 1008 + 2 * 17_216


@pytest.fixture(scope='module')
def shapes():
  init = inception.make().init
  return weights.flatten(jax.eval_shape(init, jax.random.key(0)))


@pytest.fixture(scope='module')
def params(shapes):
  """Weights that keep activations of about one size, and no norm that is 1."""
  rng = np.random.default_rng(0)

  def draw(name, shape):
    last = name.rsplit('.', 1)[-1]
    if last == 'kernel':
      return rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
    if last in ('scale', 'running_var'):
      return rng.uniform(0.5, 1.5, shape)
    return 0.2 * rng.standard_normal(shape)

  return weights.unflatten(
    (name, draw(name, leaf.shape)) for name, leaf in shapes.items()
  )


def test_it_holds_as_many_numbers_as_published(shapes):
  assert sum(leaf.size for leaf in shapes.values()) == COUNT
  assert len(shapes) == 94 * 5 + 1


def test_names_and_shapes_are_the_published_ones(shapes):
  published = {weights.published_name(n, inception.NAMES): n for n in shapes}
  for name, shape in {
    'Conv2d_1a_3x3.conv.weight': (3, 3, 3, 32),
    'Conv2d_4a_3x3.bn.running_var': (192,),
    'Mixed_5b.branch_pool.conv.weight': (1, 1, 192, 32),
    'Mixed_5d.branch5x5_2.conv.weight': (5, 5, 48, 64),
    'Mixed_6a.branch3x3.conv.weight': (3, 3, 288, 384),
    'Mixed_6c.branch7x7_2.conv.weight': (1, 7, 160, 160),
    'Mixed_6e.branch7x7dbl_2.conv.weight': (7, 1, 192, 192),
    'Mixed_7a.branch7x7x3_3.bn.weight': (192,),
    'Mixed_7b.branch3x3_2a.conv.weight': (1, 3, 384, 384),
    'Mixed_7c.branch3x3dbl_3b.conv.weight': (3, 1, 384, 384),
    'fc.weight': (2048, 1008),
  }.items():
    assert shapes[published[name]].shape == shape, name


def test_the_smallest_picture_leaves_one_pixel_of_features(params):
  side = inception.MIN_SIDE
  pictures = jax.ShapeDtypeStruct((2, side, side, 3), 'float32')
  apply = inception.make(side=side).apply
  features, logits = jax.eval_shape(apply, params, pictures)
  assert (features.shape, logits.shape) == ((2, 2048), (2, 1008))
  with pytest.raises(ValueError, match='at least 75 px, got 74'):
    inception.make(side=74)
  with pytest.raises(ValueError, match=r'\[B, 299, 299, 3\].*prepare'):
    inception.make().apply({}, np.zeros((1, 64, 64, 3)))


def test_tensorflow_resizes_from_the_corner_and_pytorch_between_borders():
  """On a ramp both say where a pixel comes from."""
  ramp = jnp.broadcast_to(jnp.arange(10.0)[None, :, None, None], (1, 10, 6, 3))
  pixels = np.arange(25)
  levels = {
    'pytorch_fid': (np.clip((pixels + 0.5) * 0.4 - 0.5, 0, 9), 0.5, 0.5),
    'tensorflow': (np.clip(pixels * 0.4, 0, 9), 128 / 255, 128 / 255),
  }
  for resize, (rows, middle, half) in levels.items():
    found = inception.prepare(ramp / 9, resize=resize, side=25)
    wanted = (rows / 9 - middle) / half
    np.testing.assert_allclose(found[0, :, 3, 1], wanted, atol=1e-6)
  columns = jnp.swapaxes(ramp, 1, 2)
  found = inception.prepare(columns / 9, resize='tensorflow', side=25)
  np.testing.assert_allclose(found[0, 3, :, 1], wanted, atol=1e-6)


def test_the_clean_resize_leaves_no_alias_and_no_overshoot():
  stripes = jnp.zeros((1, 80, 80, 3)).at[:, ::2].set(1)
  spread = {
    resize: float(jnp.std(inception.prepare(stripes, resize=resize, side=30)))
    for resize in inception.RESIZES
  }
  assert spread['clean'] < 0.1 < 0.3 < spread['pytorch_fid']
  edge = jnp.zeros((1, 20, 20, 3)).at[:, 10:].set(1)
  found = inception.prepare(edge, resize='clean', side=50)
  assert found.min() == -1 and found.max() == pytest.approx(127 / 128)
  with pytest.raises(ValueError, match='choose from pytorch_fid, tensorflow'):
    inception.prepare(edge, resize='area')


def test_it_agrees_with_pytorch(params, shapes):
  torch = pytest.importorskip('torch', reason='torch-parity is not installed')
  named = {
    weights.published_name(name): np.array(leaf)
    for name, leaf in weights.flatten(params).items()
  }
  pictures = np.random.default_rng(1).uniform(-1, 1, (1, SIDE, SIDE, 3))
  network = inception.make(side=SIDE)
  features, logits = jax.jit(network.apply)(
    params, jnp.asarray(pictures, jnp.float32)
  )
  x = torch.from_numpy(pictures.astype(np.float32)).permute(0, 3, 1, 2)
  with torch.no_grad():
    wanted = _pytorch(torch, named, x)[0].numpy()
  scale = np.abs(wanted).max()  # of float32, after 94 layers
  np.testing.assert_allclose(features[0] / scale, wanted / scale, atol=2e-5)
  wanted = wanted @ named['fc.weight']
  scale = np.abs(wanted).max()
  np.testing.assert_allclose(logits[0] / scale, wanted / scale, atol=2e-5)


def _pytorch(torch, named, x):
  """The network, written down once more."""
  functional = torch.nn.functional

  def layer(x, name, stride=1, padding=0):
    def tensor(last):
      return torch.from_numpy(named[f'{name}.{last}'])

    kernel = tensor('conv.weight').permute(3, 2, 0, 1)
    x = functional.conv2d(x, kernel, None, stride, padding)
    statistics = tensor('bn.running_mean'), tensor('bn.running_var')
    learnt = tensor('bn.weight'), tensor('bn.bias')
    return functional.batch_norm(x, *statistics, *learnt, eps=1e-3).relu()

  def mean(x):
    return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

  def chain(x, block, *names):
    """Convolutions one after another: NAME, NAME@rows,columns, NAME@half."""
    for name in names:
      name, *padding = re.split('[@,]', name)
      name = f'{block}.branch{name}'
      if padding == ['half']:
        x = layer(x, name, stride=2)
      else:
        x = layer(x, name, 1, tuple(map(int, padding)) or 0)
    return x

  def pool(x, block, how=mean):
    return layer(how(x), f'{block}.branch_pool')

  x = layer(x, 'Conv2d_1a_3x3', 2)
  x = layer(layer(x, 'Conv2d_2a_3x3'), 'Conv2d_2b_3x3', 1, 1)
  x = functional.max_pool2d(x, 3, 2)
  x = layer(layer(x, 'Conv2d_3b_1x1'), 'Conv2d_4a_3x3')
  x = functional.max_pool2d(x, 3, 2)
  for b in ('Mixed_5b', 'Mixed_5c', 'Mixed_5d'):
    x = torch.cat([
      chain(x, b, '1x1'), chain(x, b, '5x5_1', '5x5_2@2,2'),
      chain(x, b, '3x3dbl_1', '3x3dbl_2@1,1', '3x3dbl_3@1,1'), pool(x, b),
    ], 1)  # fmt: skip
  b = 'Mixed_6a'
  x = torch.cat([
    chain(x, b, '3x3@half'),
    chain(x, b, '3x3dbl_1', '3x3dbl_2@1,1', '3x3dbl_3@half'),
    functional.max_pool2d(x, 3, 2),
  ], 1)  # fmt: skip
  for b in ('Mixed_6b', 'Mixed_6c', 'Mixed_6d', 'Mixed_6e'):
    x = torch.cat([
      chain(x, b, '1x1'), chain(x, b, '7x7_1', '7x7_2@0,3', '7x7_3@3,0'),
      chain(x, b, '7x7dbl_1', '7x7dbl_2@3,0', '7x7dbl_3@0,3', '7x7dbl_4@3,0',
            '7x7dbl_5@0,3'), pool(x, b),
    ], 1)  # fmt: skip
  b = 'Mixed_7a'
  x = torch.cat([
    chain(x, b, '3x3_1', '3x3_2@half'),
    chain(x, b, '7x7x3_1', '7x7x3_2@0,3', '7x7x3_3@3,0', '7x7x3_4@half'),
    functional.max_pool2d(x, 3, 2),
  ], 1)  # fmt: skip
  for b, how in (
    ('Mixed_7b', mean),
    ('Mixed_7c', lambda x: functional.max_pool2d(x, 3, 1, 1)),
  ):
    one = chain(x, b, '3x3_1')
    two = chain(x, b, '3x3dbl_1', '3x3dbl_2@1,1')
    x = torch.cat([
      chain(x, b, '1x1'),
      chain(one, b, '3x3_2a@0,1'), chain(one, b, '3x3_2b@1,0'),
      chain(two, b, '3x3dbl_3a@0,1'), chain(two, b, '3x3dbl_3b@1,0'),
      pool(x, b, how),
    ], 1)  # fmt: skip
  return x.mean((2, 3))
