"""What the benchmark counts, times and prints, and how it calls a peer."""

import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest
from sr3d_kernels.rasterize import bench, peers, specs, timing, work

SIZE = (48, 32)  # whole tiles: at others' edges lists are a little longer


def count_slowly(spec):
  """Lanes and pairs by the definition, a splat at a time."""
  means2d, conics, opacities, _, depths = map(np.float64, spec.splats)
  y, x = np.mgrid[: spec.height, : spec.width] + 0.5
  light = np.ones(y.shape)
  lanes = pairs = 0
  for i in np.argsort(depths, kind='stable'):
    a, b, c = conics[i]
    dx, dy = means2d[i, 0] - x, means2d[i, 1] - y
    form = a * dx * dx + 2 * b * dx * dy + c * dy * dy
    level = 2 * np.log(255 * opacities[i])
    reach = np.sqrt(level * a / (a * c - b * b))
    for left in range(0, spec.width, 16):
      for top in range(0, spec.height, 16):
        tile = np.s_[top : top + 16, left : left + 16]
        is_met = (form[tile] <= level).any()
        rows = (np.abs(dy[tile][:, 0]) <= reach) & (light[tile] > 0).any(1)
        lanes += 16 * rows.sum() * is_met
    alpha = np.minimum(opacities[i] * np.exp(-form / 2), 0.99)
    alpha = np.where(form <= level, alpha, 0)
    goes_on = light * (1 - alpha) > 1e-4
    pairs += ((alpha > 0) & goes_on).sum()
    light = np.where(goes_on, light * (1 - alpha), 0)
  return work.Work(lanes, pairs)


def test_lanes_and_pairs_are_those_of_the_definition():
  means2d, conics, opacities, features, depths = specs.make_random(
    2, 60, *SIZE
  ).splats
  # Walls in front of the left half: what is behind is not counted.
  means2d[:6], conics[:6] = [5, 10], [0.02, 0, 1e-4]
  opacities[:6], depths[:6] = 0.95, 0.5
  splats = means2d, conics, opacities, features, depths
  spec = specs.Spec(splats, *SIZE, np.zeros(3))
  counted, wanted = work.count(spec), count_slowly(spec)
  assert counted.pairs == wanted.pairs
  # An ellipse may reach into a tile between the centres of pixels.
  assert wanted.lanes <= counted.lanes <= 1.02 * wanted.lanes


def test_work_of_a_gradient_is_that_of_both_walks():
  taken = work.Work(lanes=3_000_000_000, pairs=1_000_000_000)
  assert taken.gflop(with_gradient=False) == pytest.approx(2 * 14 + 25)
  assert taken.gflop(with_gradient=True) == pytest.approx(4 * 14 + 100)


def test_rounds_are_interleaved_and_a_loop_is_steady(monkeypatch):
  now, order = [0.0], []

  def call(name, seconds):
    order.append(name)
    # The first of a row of the same is slow: its caches are cold.
    now[0] += seconds if order[-2:-1] == [name] else 3 * seconds

  monkeypatch.setattr(timing.time, 'perf_counter', lambda: now[0])
  monkeypatch.setattr(timing, 'ROUNDS', 3)
  calls = {name: lambda name=name: call(name, 1) for name in 'ab'}
  times = timing.measure(calls)
  assert order[:8] == list('abababab')
  assert order[8:] == ['a'] * timing.FEW + ['b'] * timing.FEW
  assert times['b'] == (3000, 1000, 1000)


def test_memory_is_what_a_call_takes():
  assert timing.peak_memory(lambda: np.ones(2**25)) > 0.9 * 2**28


def test_a_line_for_every_call(monkeypatch, capsys):
  def make(cloud, backend):
    both = {kind: lambda: lambda: None for kind in ('forward', timing.GRADIENT)}
    return {'render': both, 'rasterize': both}

  monkeypatch.setattr(timing, 'ROUNDS', 2)
  monkeypatch.setattr(bench, '_memory', lambda *_: '7M')
  monkeypatch.setattr(bench.specs, 'garden_path', lambda: None)
  monkeypatch.setattr(bench, 'describe', lambda: 100.0)
  argv = ['bench', '--shapes', '50,20x18', '--backend', 'cpu', 'xla']
  monkeypatch.setattr(sys, 'argv', argv)
  bench.run(make)
  title, header, *lines = capsys.readouterr().out.splitlines()
  assert title.startswith('50 splats, 20 x 18')
  assert header == bench.HEADER
  names = [line[:32].split() for line in lines]
  kinds = (['forward'], ['with', 'gradient'])
  assert names == [
    [what, backend, *kind]
    for what in ('rasterize', 'render')
    for backend in ('cpu', 'xla')
    for kind in kinds
  ]
  assert lines[2].split()[6] == '1.0'
  assert lines[2].endswith('%        ') and lines[3].endswith('7M')


def test_a_larger_garden_repeats_its_points_moved_a_little(tmp_path):
  path = tmp_path / 'garden.npz'
  means = np.arange(12, dtype=np.float32).reshape(4, 3)
  intrinsics = np.array([[[30, 0, 20], [0, 30, 10], [0, 0, 1]]])
  np.savez(
    path, means3d=means, colors=np.zeros((4, 3), np.uint8), width=40, height=20,
    viewmats=np.eye(4)[None], Ks=intrinsics,
  )  # fmt: skip
  cloud = specs.load_cloud(path, 10, size=(80, 60))
  assert cloud.means.shape == (10, 3)
  np.testing.assert_array_equal(np.sort(cloud.means[:4], axis=0), means)
  moved = np.abs(cloud.means[4:8] - cloud.means[:4])
  assert 0 < moved.max() < 0.1
  # Twice as fine, and 20 px more above and below.
  np.testing.assert_array_equal(
    cloud.intrinsics, [[60, 0, 40], [0, 60, 30], [0, 0, 1]]
  )


class Tensor(np.ndarray):
  """As much of torch's as the peer uses."""

  def requires_grad_(self, value):
    assert value


def fake_torch(log):
  def tensor(array, device):
    assert device == 'cuda'
    return np.asarray(array).view(Tensor)

  class Nothing:
    __enter__ = __exit__ = lambda *_: None

  return types.SimpleNamespace(
    tensor=tensor,
    manual_seed=lambda seed: None,
    randn=lambda *shape, device: np.ones(shape),
    no_grad=Nothing,
    cuda=types.SimpleNamespace(
      is_available=lambda: True, synchronize=lambda: log.append('synchronize')
    ),
    autograd=types.SimpleNamespace(
      grad=lambda images, arrays, given: log.append(
        ([x.shape for x in images], [x.shape for x in given], len(arrays))
      )
    ),
  )


def test_gsplat_gets_the_same_gaussians_and_gives_the_same_gradients(
  monkeypatch,
):
  log = []

  def rasterization(
    means, quats, scales, opacities, colors, viewmats, Ks, width, height, **rest
  ):
    assert means.shape == scales.shape == colors.shape == (7, 3)
    assert quats.shape == (7, 4) and opacities.shape == (7,)
    assert viewmats.shape == (1, 4, 4) and Ks.shape == (1, 3, 3)
    assert rest.pop('backgrounds').shape == (1, 3)
    assert rest == {'packed': False, 'eps2d': 0.3, 'near_plane': 0.01}
    size = (1, height, width)
    return np.ones((*size, 3)), np.ones((*size, 1)), {}

  module = types.SimpleNamespace(rasterization=rasterization)
  monkeypatch.setitem(sys.modules, 'gsplat', module)
  monkeypatch.setitem(sys.modules, 'torch', fake_torch(log))
  cloud = specs.make_cloud(0, 7, (20, 10))
  calls = {kind: x() for kind, x in peers.PEERS['gsplat'](cloud).items()}
  assert calls.keys() == {timing.FORWARD, timing.GRADIENT}
  calls[timing.FORWARD]()
  assert log == ['synchronize']
  calls[timing.GRADIENT]()
  shapes = [(1, 10, 20, 3), (1, 10, 20, 1)]
  assert log[1:] == [(shapes, shapes, 5), 'synchronize']


def test_a_missing_peer_says_how_to_get_it(monkeypatch):
  monkeypatch.setitem(sys.modules, 'gsplat', None)
  monkeypatch.setitem(sys.modules, 'torch', fake_torch([]))
  with pytest.raises(RuntimeError, match='pip install torch gsplat'):
    peers.gsplat_calls(specs.make_cloud(0, 1, (2, 2)))


def test_cotangents_pull_on_image_and_alpha():
  arrays = (jnp.ones(3),)

  def draw(x):
    return x[0] * jnp.ones((4, 5, 3)), x[1] * jnp.ones((4, 5))

  calls = timing.both_ways(draw, arrays, (4, 5, 3))
  image, alpha = calls[timing.FORWARD]()()
  assert image.shape == (4, 5, 3) and alpha.shape == (4, 5)
  _, (grad,) = calls[timing.GRADIENT]()()
  assert grad[0] != 0 and grad[1] != 0 and grad[2] == 0
