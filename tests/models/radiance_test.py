"""The radiance field: what it looks up, draws and learns."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sr3d_jax import geometry, rays, train
from sr3d_jax.models import radiance
from sr3d_jax.types import Camera, Views

KEYS = dict(
  low=(-1.0, -1, -1),
  high=(1.0, 1, 1),
  resolution=5,
  density_channels=2,
  color_channels=3,
  hidden=8,
  proposal=4,
  num_coarse=16,
  num_fine=8,
)


def _slow_look_up(table, place):
  """Multilinear interpolation [C] of a table [R, ..., C], corner by corner."""
  at = np.asarray(place) * (table.shape[0] - 1)
  cell = np.minimum(np.floor(at).astype(int), table.shape[0] - 2)
  total = 0.0
  for corner in itertools.product((0, 1), repeat=len(at)):
    shares = np.where(corner, at - cell, 1 - (at - cell))
    total = total + np.prod(shares) * table[tuple(cell + corner)]
  return total


def test_looking_up_is_multilinear_and_knows_its_axes():
  rng = np.random.default_rng(0)
  planes, lines = rng.normal(size=(3, 4, 4, 5)), rng.normal(size=(3, 4, 5))
  places = np.concatenate([rng.random((6, 3)), [[0, 0.5, 1], [1, 1, 1]]])
  found = radiance.look_up(*map(jnp.asarray, (planes, lines, places)))
  for n, place in enumerate(places):
    for i in range(3):
      across = _slow_look_up(planes[i], place[list(radiance.PLANE_AXES[i])])
      along = _slow_look_up(lines[i], place[[radiance.LINE_AXES[i]]])
      np.testing.assert_allclose(found[0][i, n], across, atol=1e-5)
      np.testing.assert_allclose(found[1][i, n], along, atol=1e-5)


def test_gradients_of_looking_up_are_the_shares_of_the_corners():
  rng = np.random.default_rng(1)
  planes, lines = rng.normal(size=(3, 4, 4, 2)), rng.normal(size=(3, 4, 2))
  places = jnp.asarray(rng.random((20, 3)), jnp.float32)
  pattern = [rng.normal(size=(3, 20, 2)) for _ in range(2)]

  def value(planes, lines):
    found = radiance.look_up(planes, lines, places)
    return sum(jnp.sum(a * b) for a, b in zip(found, pattern))

  args = jnp.asarray(planes, jnp.float32), jnp.asarray(lines, jnp.float32)
  slopes = jax.grad(value, (0, 1))(*args)
  for which, index in ((0, (1, 2, 0, 1)), (0, (2, 3, 3, 0)), (1, (0, 1, 1))):
    unit = jnp.zeros_like(args[which]).at[index].set(1.0)
    alone = [jnp.zeros_like(x) for x in args]
    alone[which] = unit  # it is linear in the tables
    np.testing.assert_allclose(
      slopes[which][index], value(*alone), rtol=1e-4, atol=1e-5
    )


def _init(network):
  return jax.jit(network.init)(jax.random.key(0))


def _block(**keys):
  """A field that is opaque all through its box, and its parameters."""
  keys = {**KEYS, **keys}
  network = radiance.make(**keys)
  params = _init(network)
  solid = {'planes': 2.0, 'lines': 2.0, 'coarse': 9.0}
  return network, params | {
    name: jnp.full_like(params[name], value) for name, value in solid.items()
  }


def test_a_solid_box_has_its_depth_and_what_misses_it_the_background():
  network, params = _block(
    background=(0.2, 0.5, 0.7), num_coarse=64, num_fine=64
  )
  origins = jnp.array([[0.0, 0, -3], [0, 0.3, -3], [0, 3, -3]])
  directions = jnp.array([[0.0, 0, 2], [0.1, 0, 1], [0, 0, 1]])
  drawn = jax.jit(network.apply)(
    params, {'origins': origins, 'directions': directions}
  )
  np.testing.assert_allclose(drawn['alpha'], [1, 1, 0], atol=1e-4)
  np.testing.assert_allclose(drawn['depth'], [1, 2, 0], atol=0.03)
  np.testing.assert_allclose(drawn['image'][2], [0.2, 0.5, 0.7], atol=1e-6)


def test_a_box_moved_and_enlarged_with_its_rays_looks_the_same():
  rays_at = {
    'origins': jnp.array([[0.2, 0.1, -3], [3, 0.5, 0.1]]),
    'directions': jnp.array([[0.05, 0, 1], [-1, 0.1, 0.02]]),
  }
  params = _init(radiance.make(**KEYS))
  first = jax.jit(radiance.make(**KEYS).apply)(params, rays_at)
  shift = np.array([5.0, -2, 1])
  moved = {
    **KEYS,
    'low': tuple(3 * np.array(KEYS['low']) + shift),
    'high': tuple(3 * np.array(KEYS['high']) + shift),
  }
  second = jax.jit(radiance.make(**moved).apply)(
    params,
    {
      'origins': 3 * rays_at['origins'] + shift,
      'directions': 3 * rays_at['directions'],
    },
  )
  assert first['alpha'].min() > 0.05 and first['alpha'].max() < 0.99
  for name, values in first.items():
    np.testing.assert_allclose(second[name], values, rtol=1e-3)


def test_what_nothing_trusts_changes_neither_loss_nor_gradient():
  network = radiance.make(**KEYS, excess=0.0)
  params = _init(network)
  batch = {
    'origins': jnp.array([[0.0, 0, -3]] * 2),
    'directions': jnp.array([[0.0, 0.1, 1], [0.1, 0, 1]]),
    'colors': jnp.array([[0.3, 0.2, 0.9], [0.5, 0.5, 0.1]]),
    'weights': jnp.array([1.0, 0.0]),
  }
  loss = jax.jit(jax.value_and_grad(network.loss, has_aux=True))
  key = jax.random.key(1)
  (value, _), slopes = loss(params, key, batch)
  other = batch | {'colors': batch['colors'].at[1].set(0.0)}
  (same, _), again = loss(params, key, other)
  assert value == same > 0
  jax.tree.map(np.testing.assert_array_equal, slopes, again)
  assert float(optax.tree.norm(slopes)) > 0


def test_the_gradient_of_the_loss_is_that_of_differences():
  network = radiance.make(**KEYS)
  params = _init(network)
  key = jax.random.key(2)
  batch = {
    'origins': jnp.array([[0.1, 0, -3]] * 4),
    'directions': jax.random.normal(key, (4, 3)) * 0.1 + jnp.array([0, 0, 1.0]),
    'colors': jnp.full((4, 3), 0.9),
    'weights': jnp.ones(4),
  }
  loss = jax.jit(lambda p: network.loss(p, key, batch)[0])
  slopes = jax.jit(jax.grad(loss))(params)
  # `coarse` moves the samples too, which its own gradient leaves out
  for name in ('planes', 'lines', 'mix', 'last'):
    way = jax.tree.map(jnp.zeros_like, params) | {name: slopes[name]}
    size = 0.01 / float(optax.tree.norm(way))
    ends = [
      loss(jax.tree.map(lambda p, w, s=s: p + s * w, params, way))
      for s in (size, -size)
    ]
    slope = float(ends[0] - ends[1]) / (2 * size)
    np.testing.assert_allclose(
      slope, float(optax.tree.norm(way)) ** 2, rtol=0.05
    )


def _cameras(num_views, size):
  turn = np.linspace(0, 2 * np.pi, num_views, endpoint=False)
  eyes = np.stack(
    [3 * np.cos(turn), 3 * np.sin(turn), np.linspace(-1, 2, num_views)], -1
  )
  return Camera(
    world_to_cam=np.asarray(
      geometry.look_at(eyes, np.zeros(3), np.array([0.0, 0, 1]))
    ),
    focal=np.full((num_views, 2), 1.3 * size, np.float32),
    center=np.full((num_views, 2), size / 2, np.float32),
    width=size,
    height=size,
  )


def _ball(cameras):
  """Views of a ball off centre whose colour is its surface's place."""
  index = np.arange(len(cameras.focal) * cameras.width * cameras.height)
  way = rays.through(cameras, index)
  start = way['origins'] - [0.3, 0, -0.2]
  a = (way['directions'] ** 2).sum(-1)
  b = (start * way['directions']).sum(-1)
  c = (start**2).sum(-1) - 0.6**2
  is_hit = b * b > a * c
  t = (-b - np.sqrt(np.where(is_hit, b * b - a * c, 0))) / a
  place = start + t[:, None] * way['directions']
  colors = np.where(is_hit[:, None], 0.5 + 0.7 * place, 0.0)
  shape = (len(cameras.focal), cameras.height, cameras.width)
  views = Views(
    images=colors.reshape(*shape, 3).astype(np.float32), cameras=cameras
  )
  return views, is_hit.reshape(shape), t.reshape(shape)


def test_a_ball_is_learnt_from_views_and_seen_from_elsewhere():
  views, _, _ = _ball(_cameras(12, 24))
  network = radiance.make(
    **{**KEYS, 'resolution': 24, 'proposal': 16, 'num_coarse': 32, 'hidden': 16}
  )
  optimizer = train.adam(
    learning_rate=0.03,
    num_steps=150,
    rates={'coarse': 10.0, 'mix|layers|last': 0.2},
  )
  key = jax.random.key(0)
  states = train.train(
    key, network, rays.batches(views, batch_size=256, seed=0), optimizer,
    train.init(key, network, optimizer), num_steps=150, ema_decay=0.9,
  )  # fmt: skip
  *_, (state, _) = states
  turned = _cameras(7, 24)
  truth, is_hit, depth = _ball(turned)
  drawn = radiance.render_views(network, state.ema, turned, chunk=1000)
  error = np.mean((drawn['image'] - truth.images) ** 2, axis=(1, 2, 3))
  assert -10 * np.log10(error.mean()) > 21
  mirrored = np.mean((drawn['image'][:, :, ::-1] - truth.images) ** 2)
  assert mirrored > 3 * error.mean()
  np.testing.assert_allclose(drawn['alpha'][is_hit].mean(), 1, atol=0.08)
  gap = drawn['depth'] / np.maximum(drawn['alpha'], 1e-3) - depth
  assert np.median(np.abs(gap[is_hit])) < 0.1


def test_chunks_of_any_size_draw_the_same():
  network, params = _block()
  cameras = _cameras(2, 6)
  whole = radiance.render_views(network, params, cameras)
  parts = radiance.render_views(network, params, cameras, chunk=25)
  assert whole['image'].shape == (2, 6, 6, 3)
  assert whole['depth'].shape == (2, 6, 6)
  for name, values in whole.items():
    np.testing.assert_allclose(parts[name], values, atol=1e-5)


@pytest.mark.parametrize(
  'keys, told',
  [
    ({'high': (1.0, -1.0, 1.0)}, 'second beyond the first'),
    ({'low': (0.0, 0.0)}, 'two corners of 3 numbers'),
    ({'num_fine': 1}, 'at least 2 .* num_fine 1'),
    ({'near': 0.0}, 'near should be more than 0'),
  ],
)
def test_a_field_that_cannot_be_is_told(keys, told):
  with pytest.raises(ValueError, match=told):
    radiance.make(**{**KEYS, **keys})
