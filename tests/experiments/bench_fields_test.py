"""The benchmark's ways make what they say, and are told of in one table."""

import json

import jax
import numpy as np

from experiments import bench_fields
from sr3d_jax import fields
from sr3d_jax.models import gaussian_design, gaussian_sr

SMOKE = bench_fields.SIZES['smoke']


def test_a_chunk_is_the_first_pixels_of_the_whole():
  network = gaussian_sr.make(**gaussian_design.RELEASED | SMOKE)
  params = jax.jit(network.init)(jax.random.key(0))
  image = np.full((1, 8, 8, 3), 0.4, np.float32)
  features = jax.jit(network.encode)(params, image)
  grid = fields.grid(8, 8, 16, 16, scale=2.0)
  decode = jax.jit(network.decode)
  whole = decode(params, features, grid)
  chunk = decode(params, features, bench_fields.first_of(grid, 40))
  np.testing.assert_allclose(
    chunk[0], whole.reshape(-1, 3)[:40], rtol=1e-5, atol=1e-6
  )


def test_every_way_is_timed(capsys):
  shape = bench_fields.parse_shape('12x8,2')
  assert shape == (8, 12, 16, 24, 2.0)
  argv = ['--alone', '--size=smoke', '--shapes=12x8,2', '--ways']
  costs = {}
  for way in bench_fields.WAYS:
    bench_fields.run([*argv, way])
    costs[way] = json.loads(capsys.readouterr().out)
    assert costs[way]['seconds'] > 0 and costs[way]['peak'] > 2**20
  bench_fields.report(shape, costs)
  lines = capsys.readouterr().out.splitlines()
  assert lines[0] == '12 x 8 px x2: 24 x 16'
  assert [line.split()[0] for line in lines[1:]] == list(bench_fields.WAYS)
  assert lines[3].split()[1].startswith('~')


def test_chunks_are_computed_from_one():
  way = bench_fields.released(
    bench_fields.parse_shape('12x8,2'), SMOKE, chunk=100
  )
  assert [number for _, number in way.calls] == [1, 4]


def test_what_does_not_fit_is_not_run():
  def fail():
    raise AssertionError('it ran')

  cost = bench_fields.measure(bench_fields.Way([(fail, 1)], 2**40), 2**30)
  assert cost['seconds'] is None and cost['planned'] == 2**40
