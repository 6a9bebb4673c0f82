"""Times whole pictures: the exact network, and the released one as it is run.

    python -m experiments.bench_fields
    python -m experiments.bench_fields --shapes 1020x678,2 510x339,4 170x113,12

A shape is the coarse picture, WIDTHxHEIGHT, and the scale. The ways are

  exact     `fields.enlarge` of the exact network, tile by tile
  released  the released network, all pixels in one pass
  chunks    the same as its evaluation does: 30,000 pixels at once, and the
            splat and both convolutions of the fine grid anew each time; one
            chunk is timed and the whole computed from it, marked ~

Each runs in a process of its own. A line has the shorter of two calls after a
first one, the memory of the whole process at its peak, and what of that the
first call took beyond what was there. Where XLA plans more than `--limit`, only
its plan is printed. Weights are noise, which costs the same.
"""

import argparse
import functools
import importlib
import json
import math
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels.rasterize import bench, timing

from sr3d_jax import fields
from sr3d_jax.models import gaussian_design, gaussian_sr
from sr3d_jax.priors import continuous
from sr3d_jax.types import FieldNetwork, Params, Queries

SHAPES = ('256x256,2', '256x256,4', '256x256,8')
CHUNK = 30_000
ROUNDS = 2  # after the first call


class Shape(NamedTuple):
  """A coarse picture and the fine one that is made of it, px."""

  height: int
  width: int
  new_height: int
  new_width: int
  scale: float


class Way(NamedTuple):
  """Calls that make a picture.

  Attributes:
    calls: each with the number of times that a picture needs it.
    planned: bytes that XLA sets aside for the largest of them, if that grows.
  """

  calls: list[tuple[Callable, int]]
  planned: int = 0


def parse_shape(text: str) -> Shape:
  """Reads 'WIDTHxHEIGHT,scale'; what is wrong is an error of the flag's."""
  found = re.fullmatch(r'(\d+)x(\d+),(\d+(?:\.\d+)?)', text)
  width, height, scale = map(float, found.groups()) if found else (0, 0, 0)
  if min(width, height, scale) < 1:
    raise argparse.ArgumentTypeError(
      'a shape is WIDTHxHEIGHT,scale as in 256x256,4, all at least 1, got '
      f'{text}'
    )
  finer = (round(scale * side) for side in (height, width))
  return Shape(int(height), int(width), *finer, scale)


def trained_sizes(size: str) -> dict[str, Any]:
  """Keywords of the network's `make` as the training of that size has them."""
  module = importlib.import_module('configs.train.field_networks')
  network = module.sized(size).network.to_dict()
  return {key: network[key] for key in network.keys() - {'name'}}


def exact(shape: Shape, sizes: dict[str, Any]) -> Way:
  """Tile by tile."""
  network = gaussian_sr.make(**sizes)
  params = _weights(network)
  image = _image(shape)

  def call():
    fields.enlarge(network, params, image, shape.new_height, shape.new_width)

  return Way([(call, 1)])


def released(
  shape: Shape, sizes: dict[str, Any], chunk: int | None = None
) -> Way:
  """All pixels at once, or chunk by chunk."""
  network = gaussian_sr.make(**gaussian_design.RELEASED | sizes)
  params = _weights(network)
  image = jnp.asarray(_image(shape)[None])
  encode = jax.jit(network.encode).lower(params, image).compile()
  features = encode(params, image)
  grid = fields.grid(*shape[:4], scale=shape.scale)
  queries = grid if chunk is None else first_of(grid, chunk)
  decode = jax.jit(network.decode).lower(params, features, queries).compile()
  num = shape.new_height * shape.new_width
  times = 1 if chunk is None else -(-num // chunk)

  def call():
    return np.asarray(decode(params, features, queries))

  def look():
    jax.block_until_ready(encode(params, image))

  plan = decode.memory_analysis().temp_size_in_bytes
  return Way([(look, 1), (call, times)], plan)


WAYS = {
  'exact': exact,
  'released': released,
  'chunks': functools.partial(released, chunk=CHUNK),
}
SIZES = {
  'published': {},
  'tiny': trained_sizes('tiny'),
  'smoke': continuous.TINY['sizes'],
}


def first_of(grid: Queries, num: int) -> Queries:
  """The first pixels of a grid, row by row, one by one."""
  rows, columns = (
    x.reshape(1, -1)[:, :num]
    for x in np.broadcast_arrays(grid.rows, grid.columns)
  )
  return Queries(
    rows=rows,
    columns=columns,
    footprint=grid.footprint[:, 0],
    height=grid.height,
    width=grid.width,
    scale=grid.scale,
  )


def measure(way: Way, limit: float) -> dict[str, float | None]:
  """Seconds of a picture and bytes of this process, where the plan permits."""
  found = {'planned': way.planned, 'seconds': None}
  if way.planned < limit:
    found['first'] = timing.peak_memory(
      lambda: [call() for call, _ in way.calls]
    )
    found['seconds'] = sum(
      number * min(_seconds(call) for _ in range(ROUNDS))
      for call, number in way.calls
    )
  found['peak'] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return found


def report(shape: Shape, costs: dict[str, dict]) -> None:
  """Prints a line a way; ratios are to the exact network of the same run."""
  print(
    f'{shape.width} x {shape.height} px x{shape.scale:g}: '
    f'{shape.new_width} x {shape.new_height}'
  )
  base = costs.get('exact', {}).get('seconds')
  for name, cost in costs.items():
    if cost['seconds'] is None:
      print(f'  {name:9s} XLA plans {cost["planned"] / 2**20:.0f} MiB')
      continue
    mark = '~' if name == 'chunks' else ''
    ratio = f'{cost["seconds"] / base:.1f}' if base else '-'
    print(
      f'  {name:9s} {mark + format(cost["seconds"], ".2f"):>9s} s  '
      f'x exact {ratio:>6s}  peak {cost["peak"] / 2**20:6.0f} MiB  '
      f'first call {cost["first"] / 2**20:6.0f} MiB',
      flush=True,
    )


def run(argv: list[str] | None = None) -> None:
  """Prints the machine, then every shape; or one cost, for `_alone`."""
  args = _parse(argv)
  if args.alone:
    way = WAYS[args.ways[0]](args.shapes[0], SIZES[args.size])
    print(json.dumps(measure(way, args.limit * 2**30)))
    return
  bench.describe()
  for shape in args.shapes:
    report(shape, {way: _alone(shape, way, args) for way in args.ways})


def _alone(shape: Shape, way: str, args: argparse.Namespace) -> dict:
  """The cost of one way, in a process that has done nothing else."""
  command = [
    sys.executable, '-m', 'experiments.bench_fields', '--alone',
    '--shapes', f'{shape.width}x{shape.height},{shape.scale}',
    '--ways', way, '--size', args.size, '--limit', str(args.limit),
  ]  # fmt: skip
  done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
  return json.loads(done.stdout.splitlines()[-1])


def _weights(network: FieldNetwork) -> Params:
  """Noise, since to initialise a network compiles for longer than it draws.

  Of the size that initial weights have: sines of huge numbers cost more.
  """
  generator = np.random.default_rng(0)

  def draw(like):
    fan_in = math.prod(like.shape[:-1]) if like.ndim > 1 else like.size
    noise = generator.standard_normal(like.shape) / math.sqrt(3 * fan_in)
    return jnp.asarray(noise, like.dtype)

  shapes = jax.eval_shape(network.init, jax.random.key(0))
  return jax.tree.map(draw, shapes)


def _image(shape: Shape) -> np.ndarray:
  generator = np.random.default_rng(0)
  size = (shape.height, shape.width, 3)
  return generator.random(size, dtype=np.float32)


def _seconds(call: Callable) -> float:
  start = time.perf_counter()
  call()
  return time.perf_counter() - start


def _parse(argv: list[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument(
    '--shapes',
    nargs='+',
    type=parse_shape,
    default=[parse_shape(text) for text in SHAPES],
    help='such as 256x256,4',
  )
  parser.add_argument('--ways', nargs='+', default=list(WAYS), choices=WAYS)
  parser.add_argument('--size', default='published', choices=SIZES)
  parser.add_argument(
    '--limit', type=float, default=12, help='GiB that XLA may plan'
  )
  parser.add_argument('--alone', action='store_true', help=argparse.SUPPRESS)
  return parser.parse_args(argv)


if __name__ == '__main__':
  run()
