"""LPIPS: the published sizes, a hand-made case, and PyTorch where it is."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax.io import paths, pth, weights
from sr3d_jax.models import lpips

# torchvision's features and the weights of the layers
COUNTS = {'alex': (2_469_696, 1152), 'vgg': (14_714_688, 1472)}


@pytest.fixture(scope='module', params=lpips.BACKBONES)
def network(request):
  return request.param, lpips.make(backbone=request.param)


def _random(init, seed=0):
  """Parameters of about the size that keeps activations; no head below 0."""
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(init, jax.random.key(0))

  def draw(leaf):
    std = np.sqrt(2 / max(np.prod(leaf.shape[:-1]), 1))
    return jnp.asarray(std * rng.standard_normal(leaf.shape), jnp.float32)

  params = jax.tree.map(draw, shapes)
  heads = {
    k: jax.tree.map(jnp.abs, v) for k, v in params.items() if 'head' in k
  }
  return params | heads


def test_it_holds_as_many_numbers_as_published(network):
  name, net = network
  params = jax.eval_shape(net.init, jax.random.key(0))
  features = params.pop('features')
  counts = [
    sum(leaf.size for leaf in jax.tree.leaves(part))
    for part in (features, params)
  ]
  assert tuple(counts) == COUNTS[name]


def test_a_picture_is_no_distance_from_itself(network):
  _, net = network
  params = _random(net.init)
  images = jax.random.uniform(jax.random.key(1), (2, 40, 36, 3))
  apply = jax.jit(net.apply)
  # the two halves of a batch may round apart
  np.testing.assert_allclose(apply(params, (images, images)), 0, atol=1e-12)
  noisy = images.at[1].add(0.1 * jnp.sin(jnp.arange(36.0))[:, None])
  found = apply(params, (noisy, images))
  assert found.shape == (2,)
  assert found[0] < 1e-12 and found[1] > 1e-3
  # which is which makes no difference
  np.testing.assert_allclose(
    apply(params, (images, noisy)), found, rtol=1e-5, atol=1e-12
  )


def test_it_agrees_with_pytorch(network):
  torch = pytest.importorskip('torch', reason='torch-parity is not installed')
  name, net = network
  params = _random(net.init)
  rng = np.random.default_rng(2)
  pair = rng.random((2, 1, 45, 52, 3), np.float32)
  named = {
    weights.published_name(key, lpips.NAMES): np.asarray(leaf)
    for key, leaf in weights.flatten(params).items()
  }
  functional = torch.nn.functional
  x = torch.from_numpy(pair[:, 0]).permute(0, 3, 1, 2).double()
  x = ((2 * x - 1) - _column(torch, lpips.SHIFT)) / _column(torch, lpips.SCALE)
  pool, layers = lpips.BACKBONES[name]
  total, seen = 0.0, 0
  for layer in layers:
    if layer.is_pooled:
      x = functional.max_pool2d(x, pool, 2)
    kernel, bias = (
      torch.from_numpy(named[f'features.{layer.place}.{last}']).double()
      for last in ('weight', 'bias')
    )
    x = functional.conv2d(
      x, kernel.permute(3, 2, 0, 1), bias, layer.stride, layer.padding
    ).relu()
    if layer.is_seen:
      unit = x / (x.norm(dim=1, keepdim=True) + lpips.EPS)
      head = torch.from_numpy(named[f'lin{seen}.model.1.weight']).double()
      gap = (unit[0] - unit[1]) ** 2
      total += (gap * head.reshape(-1, 1, 1)).sum(0).mean()
      seen += 1
  found = net.apply(params, (jnp.asarray(pair[0]), jnp.asarray(pair[1])))
  np.testing.assert_allclose(found, float(total), rtol=1e-5)


def _column(torch, values):
  return torch.from_numpy(values).double().reshape(3, 1, 1)


def test_the_published_heads_fit(network):
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no weights of others here')
  name, net = network
  heads = pth.load(paths.data_path(f'weights/lpips_heads/{name}.pth'))

  def init(key):
    return {k: v for k, v in net.init(key).items() if 'head' in k}

  params = weights.convert(heads, init, lpips.NAMES)
  assert all(leaf.min() >= 0 for leaf in jax.tree.leaves(params))


def test_what_cannot_be_compared_is_refused(network):
  name, net = network
  small = jax.ShapeDtypeStruct((1, lpips.MIN_SIZE[name] - 1, 64, 3), 'float32')
  params = jax.eval_shape(net.init, jax.random.key(0))
  with pytest.raises(ValueError, match=r'one size, .* px at least'):
    jax.eval_shape(net.apply, params, (small, small))
  with pytest.raises(ValueError, match='choose from alex, vgg'):
    lpips.make(backbone='squeeze')
