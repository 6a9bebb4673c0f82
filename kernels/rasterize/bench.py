"""Times every backend that serves: python -m sr3d_kernels.rasterize.bench

On the garden's points where `SR3D_DATA` holds them, else on random ellipses;
`--quick` leaves out all but one shape. The definition is left out too: it would
take minutes. Rounds are interleaved, so that what else the machine does meets
all backends alike, and ratios are of one run.
"""

import argparse
import functools
import resource
import statistics
import time

import jax
import jax.numpy as jnp
from sr3d_kernels import native
from sr3d_kernels.rasterize import (
  BACKENDS,
  count_slots,
  next_capacity,
  rasterize,
  specs,
)

ROUNDS = 15
SHAPES = [(50_000, 0.5), (50_000, 1), (None, 1), (50_000, 2), (None, 2)]


def make_calls(spec: specs.Spec, backend: str, capacity: int):
  """The forward and the forward+backward call of one backend."""
  draw = functools.partial(
    rasterize, **spec.options, capacity=capacity, backend=backend
  )
  weights = jax.random.normal(
    jax.random.key(0), (spec.height, spec.width, len(spec.background) + 1)
  )

  def loss(*splats):
    raster = draw(*splats)
    planes = raster.image, raster.alpha[..., None]
    return (jnp.concatenate(planes, axis=-1) * weights).sum()

  pull = jax.value_and_grad(loss, argnums=tuple(range(5)))
  return {'forward': jax.jit(draw), 'forward+backward': jax.jit(pull)}


def time_calls(calls: dict, arrays: tuple) -> dict[str, list[float]]:
  """Milliseconds of `ROUNDS` calls of each, compilation excluded."""
  for call in calls.values():
    jax.block_until_ready(call(*arrays))
  times = {name: [] for name in calls}
  for _ in range(ROUNDS):
    for name, call in calls.items():
      start = time.perf_counter()
      jax.block_until_ready(call(*arrays))
      times[name].append(1e3 * (time.perf_counter() - start))
  return times


def report(spec: specs.Spec) -> None:
  """Prints a line a call: times, throughput and speed against `xla`."""
  splats = tuple(map(jnp.asarray, spec.splats))
  means2d, conics, opacities, _, depths = splats
  size = {'width': spec.width, 'height': spec.height}
  num_slots = int(count_slots(means2d, conics, opacities, depths, **size))
  print(f'{len(depths):,} splats, {spec.width} x {spec.height}')
  capacity = next_capacity(num_slots)
  calls = {}
  for backend, module in BACKENDS.items():
    reason = module.unsupported(**size, dtype=jnp.float32)
    if reason is None and backend != 'reference':
      for kind, call in make_calls(spec, backend, capacity).items():
        calls[backend, kind] = call
  times = time_calls(calls, splats)
  work = len(depths) * spec.width * spec.height
  for (backend, kind), samples in times.items():
    median = statistics.median(samples)
    ratio = statistics.median(times['xla', kind]) / median
    print(
      f'  {backend:4s} {kind:17s} median {median:7.1f} ms, '
      f'min {min(samples):7.1f} ms, {work / median / 1e9:7.1f} T splat-px/s, '
      f'{ratio:5.1f} x xla'
    )


def main() -> None:
  """Prints the machine, then every shape."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true', help='one shape alone')
  quick = parser.parse_args().quick
  print(f'jax {jax.__version__} on {jax.devices()[0].device_kind}')
  if native.missing() is None:
    simd, peak = native.processor()
    print(f'{simd}, {peak:.0f} GFLOP/s a thread')
  path = specs.garden_path()
  for num_splats, scale in SHAPES[1:2] if quick else SHAPES:
    if path is None:
      size = round(648 * scale), round(420 * scale)
      report(specs.make_random(0, num_splats or 138_766, *size))
    else:
      report(specs.load_garden(path, num_splats, scale=scale))
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  print(f'peak memory {peak / 2**20:.1f} GiB, all backends together')


if __name__ == '__main__':
  main()
