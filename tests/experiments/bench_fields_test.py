"""The benchmark's ways make what they say, and are told of in one table."""

import json

import numpy as np
import pytest

from configs.train import field_networks
from experiments import bench_fields
from sr3d_jax.models import gaussian_sr

SMOKE = bench_fields.SIZES['smoke']


def test_a_chunk_is_the_first_pixels_of_the_whole():
  shape = bench_fields.parse_shape('12x8,2')
  whole, chunk = (
    bench_fields.released(shape, SMOKE, chunk=chunk) for chunk in (None, 100)
  )
  assert [number for _, number in whole.calls] == [1, 1]
  assert [number for _, number in chunk.calls] == [1, 4]  # of 384 pixels
  colors = whole.calls[1][0]().reshape(-1, 3)
  assert np.std(colors) > 0.01
  np.testing.assert_allclose(
    chunk.calls[1][0]()[0], colors[:100], rtol=1e-5, atol=1e-6
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


@pytest.mark.parametrize(
  'text', ['256x256', '256,4', '256x256,', 'x256,4', '8x8,0.5', '0x8,4', 'a']
)
def test_a_shape_that_is_none_is_an_error_of_the_command_line(text, capsys):
  with pytest.raises(SystemExit) as stopped:
    bench_fields.run(['--shapes', '256x256,4', text])
  assert stopped.value.code == 2
  said, told = capsys.readouterr()
  assert not said
  assert told.splitlines()[-1].endswith(
    'error: argument --shapes: a shape is WIDTHxHEIGHT,scale as in 256x256,4, '
    f'all at least 1, got {text}'
  )


def test_a_shape_reaches_the_process_that_times_it(monkeypatch):
  asked = []

  def start(command, **options):
    asked.append(bench_fields._parse(command[3:]))
    raise KeyboardInterrupt

  monkeypatch.setattr(bench_fields.bench, 'describe', lambda: None)
  monkeypatch.setattr(bench_fields.subprocess, 'run', start)
  with pytest.raises(KeyboardInterrupt):
    bench_fields.run(['--shapes', '170x113,3.3', '--size', 'tiny'])
  (args,) = asked
  assert args.shapes == [(113, 170, 373, 561, 3.3)]
  assert (args.alone, args.ways, args.size) == (True, ['exact'], 'tiny')


def test_tiny_is_what_training_calls_tiny():
  network = field_networks.sized('tiny').network.to_dict()
  assert network == {'name': 'gaussian_sr', **bench_fields.SIZES['tiny']}
  for sizes in bench_fields.SIZES.values():
    gaussian_sr.make(**sizes)


def test_what_does_not_fit_is_not_run():
  def fail():
    raise AssertionError('it ran')

  cost = bench_fields.measure(bench_fields.Way([(fail, 1)], 2**40), 2**30)
  assert cost['seconds'] is None and cost['planned'] == 2**40
