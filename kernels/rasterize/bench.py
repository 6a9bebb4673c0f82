"""Times every backend that serves: python -m sr3d_kernels.rasterize.bench

On the garden's points where `SR3D_DATA` holds them, else on random ones.
`--peer gsplat` times gsplat as well, on a CUDA device: from Gaussians in space,
so with its projection. `experiments.bench_render` does the same from Gaussians
for the backends. The definition is left out: it would take minutes.

A line has the median of interleaved rounds, the shortest time, the median of a
steady loop (see `timing`), how many times as fast as `xla` in the same run,
splats times pixels per second, the share of what the device's arithmetic allows
(see `work`; the steady loop against the peak that `native.processor` measures
on all threads at once; of the GPUs in `PEAKS`), and, with its gradient, the
memory that a call takes in a process of its own.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent import futures

import jax
import jax.numpy as jnp
from sr3d_kernels import native
from sr3d_kernels.rasterize import (
  BACKENDS,
  count_slots,
  next_capacity,
  peers,
  rasterize,
  specs,
  timing,
  work,
)

CPU_SHAPES = (
  '50000,324x210', '50000,648x420', '138766,648x420', '50000,1296x840',
  '138766,1296x840',
)  # fmt: skip
GPU_SHAPES = ('138766,648x420', '138766,1296x840', '1000000,1920x1080')
QUICK = '138766,648x420'

# 1e9 operations a second in single precision, from the makers' data sheets.
PEAKS = {'NVIDIA H100 80GB HBM3': 66_900, 'NVIDIA H200': 66_900}

HEADER = (
  f'  {"":26s} median, ms     min  steady   x xla  G splat-px/s  limit  memory'
)

Calls = dict[str, Callable]  # of `timing.both_ways`


def make_calls(cloud: specs.Cloud, backend: str) -> dict[str, Calls]:
  """The calls of `rasterize` alone, on what the camera of a cloud sees."""
  spec = specs.project(cloud)
  splats = tuple(map(jnp.asarray, spec.splats))
  means2d, conics, opacities, _, depths = splats
  size = {'width': spec.width, 'height': spec.height}
  num_slots = int(count_slots(means2d, conics, opacities, depths, **size))

  def draw(*splats):
    raster = rasterize(
      *splats,
      **spec.options,
      capacity=next_capacity(num_slots),
      backend=backend,
    )
    return raster.image, raster.alpha

  shape = (spec.height, spec.width, len(spec.background))
  return {'rasterize': timing.both_ways(draw, splats, shape)}


def run(make: Callable = make_calls, module: str = __spec__.name) -> None:
  """Prints the machine, then every shape.

  Args:
    make: a cloud and a backend's name -> named calls.
    module: what `python -m` starts to get here, for processes of their own.
  """
  args = _parse()
  if args.memory:
    cloud = load(args.shapes[0])
    call = make(cloud, args.backend[0])[args.memory][timing.GRADIENT]()
    print(timing.peak_memory(call))
    return
  peak = describe()
  for shape in args.shapes:
    cloud = load(shape)
    calls = {}
    for backend in args.backend:
      for what, both in make(cloud, backend).items():
        calls |= {(what, backend, kind): x() for kind, x in both.items()}
    for peer in args.peer:
      both = peers.PEERS[peer](cloud)
      calls |= {('render', peer, kind): x() for kind, x in both.items()}
    report(shape, cloud, calls, peak, module)


def report(
  shape: str, cloud: specs.Cloud, calls: dict, peak: float | None, module: str
) -> None:
  """Prints a line a call."""
  todo = work.count(specs.project(cloud))
  print(
    f'{len(cloud.means):,} splats, {cloud.width} x {cloud.height}: '
    f'{todo.lanes / 1e6:.1f} M lanes, {todo.pairs / 1e6:.1f} M pairs'
  )
  print(HEADER)
  times = timing.measure(calls)
  size = len(cloud.means) * cloud.width * cloud.height
  for what, backend, kind in sorted(times, key=lambda key: key[0]):
    taken = times[what, backend, kind]
    base = times.get((what, 'xla', kind))
    ratio = f'{base.median / taken.median:.1f}' if base else '-'
    share = '-'
    if peak:
      gflop = todo.gflop(with_gradient=kind == timing.GRADIENT)
      share = f'{gflop / peak / taken.steady * 1e5:.1f}%'
    memory = ''
    if backend in BACKENDS and kind == timing.GRADIENT:
      memory = _memory(module, shape, what, backend)
    print(
      f'  {what:9s} {backend:6s} {kind:13s} {taken.median:6.1f} '
      f'{taken.best:7.1f} {taken.steady:7.1f} {ratio:>7s} '
      f'{size / taken.steady / 1e6:13.0f} {share:>6s} {memory:>7s}',
      flush=True,
    )


def load(shape: str) -> specs.Cloud:
  """The cloud of 'splats,WIDTHxHEIGHT'."""
  num, _, size = shape.partition(',')
  size = tuple(map(int, size.split('x')))
  path = specs.garden_path()
  if path is None:
    return specs.make_cloud(0, int(num), size)
  return specs.load_cloud(path, int(num), size=size)


def num_threads() -> int:
  """How many processors this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count()


def describe() -> float | None:
  """Prints the machine; 1e9 operations a second that it can make, if known."""
  device = jax.devices()[0]
  print(f'jax {jax.__version__} on {device.device_kind}')
  if device.platform != 'cpu' or native.missing():
    return PEAKS.get(device.device_kind)
  # What else runs can only lower the measured peaks.
  rounds, threads = 5, num_threads()
  simd, alone = max(native.processor() for _ in range(rounds))
  with futures.ThreadPoolExecutor(threads) as pool:
    together = max(
      sum(peak for _, peak in pool.map(_processor, range(threads)))
      for _ in range(rounds)
    )
  print(
    f'{simd}, {alone:.0f} GFLOP/s on one thread, {together:.0f} on {threads} '
    'at once'
  )
  return together


def _processor(_) -> tuple[str, float]:
  return native.processor()


def _memory(module, shape, what, backend) -> str:
  """MiB that a call takes in a process of its own."""
  command = [
    sys.executable, '-m', module, '--shapes', shape, '--backend', backend,
    '--memory', what,
  ]  # fmt: skip
  # This process may hold what memory there is on a GPU.
  env = {**os.environ, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
  done = subprocess.run(
    command, check=True, stdout=subprocess.PIPE, text=True, env=env
  )
  peak = done.stdout.split()[-1]
  return '-' if peak == 'None' else f'{int(peak) / 2**20:.0f}M'


def _parse() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--quick', action='store_true', help='one shape alone')
  parser.add_argument(
    '--shapes', nargs='+', help='such as 50000,324x210: splats, px'
  )
  parser.add_argument('--backend', nargs='+', choices=list(BACKENDS))
  parser.add_argument(
    '--peer', nargs='+', default=[], choices=list(peers.PEERS)
  )
  parser.add_argument('--memory', help=argparse.SUPPRESS)
  args = parser.parse_args()
  on_gpu = jax.default_backend() == 'gpu'
  shapes = GPU_SHAPES if on_gpu else CPU_SHAPES
  args.shapes = args.shapes or ([QUICK] if args.quick else shapes)
  args.backend = args.backend or _serving()
  return args


def _serving() -> list[str]:
  """Backends that draw here, but for the definition."""
  return [
    name
    for name, module in BACKENDS.items()
    if name != 'reference'
    and module.unsupported(width=1, height=1, dtype=jnp.float32) is None
  ]


if __name__ == '__main__':
  run()
