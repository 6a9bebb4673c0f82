"""What the feed-forward image priors add to the contract."""

import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sr3d_jax import image, metrics
from sr3d_jax.io import images, paths
from sr3d_jax.models import rrdbnet
from sr3d_jax.priors import bicubic, own, published
from sr3d_jax.types import Views

KEY = jax.random.key(0, impl='unsafe_rbg')  # draws without much to compile
FIXTURES = pathlib.Path(__file__).parents[1] / 'fixtures' / 'image_networks'
RRDBNET = dict(
  network='rrdbnet',
  weights=str(FIXTURES / 'rrdbnet.pth'),
  sizes=dict(scale=2, channels=4, num_blocks=1, growth=2),
)


def _enlarge(prior, lr, params=None):
  params = prior.init(KEY) if params is None else params
  state = prior.begin(params, KEY, Views(images=lr, cameras=None))
  return prior.step(params, KEY, state, 0)[1]


def _disc(size=96):
  """A soft disc on a ramp: an edge that bicubic blurs; [1, size, size, 3]."""
  rows, columns = jnp.mgrid[:size, :size] + 0.5
  radius = jnp.hypot(rows - 0.55 * size, columns - 0.4 * size)
  disc = jax.nn.sigmoid(0.3 * size - radius)
  picture = 0.2 + 0.2 * rows / size + 0.5 * disc
  return jnp.repeat(picture[None, ..., None], 3, axis=-1)


@pytest.mark.parametrize('prior', [bicubic, own])
def test_a_row_alone_equals_that_row_in_a_batch(prior):
  prior = prior.make(scale=4.0)
  images = jax.random.uniform(KEY, (3, 16, 18, 3))
  together = _enlarge(prior, images)
  np.testing.assert_array_equal(together[1:2], _enlarge(prior, images[1:2]))


@pytest.mark.parametrize('prior', [bicubic, own])
@pytest.mark.parametrize('scale', [1.0, 2.5, 4.0])
def test_shrinking_the_enlargement_nearly_returns_the_input(prior, scale):
  lr = image.shrink(_disc(), 4)
  hr = _enlarge(prior.make(scale=scale), lr)
  back = image.resize(hr, *lr.shape[1:3])
  assert metrics.psnr(back, lr)[0] > 40


def test_the_shipped_network_keeps_a_constant_image():
  lr = jnp.full((1, 16, 16, 3), 0.5)
  hr = _enlarge(own.make(scale=4.0), lr)
  # zero padding is seen near the border
  np.testing.assert_allclose(hr[:, 16:-16, 16:-16], 0.5, atol=0.02)


def test_the_shipped_network_beats_bicubic_on_an_edge():
  hr = _disc()
  lr = image.to_float(image.to_uint8(image.shrink(hr, 4)))
  ours, plain = (
    float(metrics.psnr_y(_enlarge(p.make(scale=4.0), lr), hr, shave=4)[0])
    for p in (own, bicubic)
  )
  assert ours > plain + 2


def test_the_shipped_weights_are_small():
  assert own.SHIPPED.stat().st_size < 300_000


def test_an_unknown_network_is_told_the_right_ones():
  with pytest.raises(ValueError, match="'rcan': choose from edsr, imdn, pan"):
    published.make(scale=4.0, network='rcan', weights=None)


@pytest.mark.parametrize('scale', [1.0, 2.0, 2.5])
def test_a_network_whose_own_factor_is_2_serves_any_scale(scale):
  prior = published.make(scale=scale, section='params_ema', **RRDBNET)
  lr = jax.random.uniform(KEY, (2, 11, 12, 3))
  params = prior.init(KEY)
  by_two = jax.jit(rrdbnet.make(**RRDBNET['sizes']).apply)(params, lr)
  size = round(11 * scale), round(12 * scale)
  expected = by_two if scale == 2 else image.resize(by_two, *size)
  found = _enlarge(prior, lr, params)
  assert found.shape == (2, *size, 3)
  np.testing.assert_allclose(found, jnp.clip(expected, 0, 1), atol=1e-5)


def test_weights_that_their_file_wraps_want_their_section():
  prior = published.make(scale=2.0, **RRDBNET)
  with pytest.raises(ValueError, match='name the section'):
    prior.init(KEY)


def test_missing_weights_say_which_and_where(monkeypatch, tmp_path):
  monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
  prior = published.make(scale=4.0, weights='weights/rlfn/none.pth')
  with pytest.raises(FileNotFoundError, match=f'none.pth.*{tmp_path}'):
    prior.init(KEY)


@pytest.mark.parametrize(
  'network, file, expected',
  [
    ('rlfn', 'team04_rlfn.pth', 32.91),
    ('imdn', 'IMDN_x4.pth', 32.91),
    ('pan', 'PANx4_DF2K.pth', 32.96),
  ],
)
def test_published_weights_reach_their_score_on_head(network, file, expected):
  if not os.environ.get(paths.VARIABLE):
    pytest.skip(f'{paths.VARIABLE} is not set: no published weights here')
  hr = jnp.asarray(images.load(paths.data_path('dev/images/set5/head.png')))
  prior = published.make(
    scale=4.0, network=network, weights=f'weights/{network}/{file}'
  )
  lr = image.to_float(image.to_uint8(image.shrink(hr, 4)))
  found = _enlarge(prior, lr[None])[0]
  assert abs(float(metrics.psnr_y(found, hr, shave=4)) - expected) < 0.02
