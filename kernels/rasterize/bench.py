"""Times every backend: python -m sr3d_kernels.rasterize.bench

On the garden's points (50,000 of them, then all) where `SR3D_DATA` holds them,
else on random ellipses. The definition is left out: it would take minutes.
"""

import functools
import statistics
import time

import jax
import jax.numpy as jnp
from sr3d_kernels.rasterize import (
  BACKENDS,
  count_slots,
  next_capacity,
  rasterize,
  specs,
)

ROUNDS = 7


def time_call(function, *arrays) -> list[float]:
  """Milliseconds of each of `ROUNDS` calls, compilation excluded."""
  jax.block_until_ready(function(*arrays))
  times = []
  for _ in range(ROUNDS):
    start = time.perf_counter()
    jax.block_until_ready(function(*arrays))
    times.append(1e3 * (time.perf_counter() - start))
  return times


def make_calls(spec: specs.Spec, backend: str, capacity: int):
  """The forward and the forward+backward call of one backend."""
  draw = functools.partial(
    rasterize, **spec.options, capacity=capacity, backend=backend
  )
  weights = jax.random.normal(
    jax.random.key(0), (spec.height, spec.width, len(spec.background) + 2)
  )

  def loss(*splats):
    raster = draw(*splats)
    planes = raster.image, raster.alpha[..., None], raster.depth[..., None]
    return (jnp.concatenate(planes, axis=-1) * weights).sum()

  pull = jax.value_and_grad(loss, argnums=tuple(range(5)))
  return {'forward': jax.jit(draw), 'forward+backward': jax.jit(pull)}


def report(name: str, spec: specs.Spec) -> None:
  """Prints one line a backend and call, with the ratio to `xla`."""
  splats = tuple(map(jnp.asarray, spec.splats))
  means2d, conics, opacities, _, depths = splats
  size = {'width': spec.width, 'height': spec.height}
  num_slots = int(count_slots(means2d, conics, opacities, depths, **size))
  print(f'{name}: {spec.width}x{spec.height}, {num_slots} slots')
  medians = {}
  for backend in (name for name in BACKENDS if name != 'reference'):
    calls = make_calls(spec, backend, next_capacity(num_slots))
    for call, function in calls.items():
      times = time_call(function, *splats)
      median = statistics.median(times)
      ratio = median / medians.setdefault(call, median)
      print(
        f'  {backend:10s} {call:17s} median {median:7.1f} ms, '
        f'min {min(times):7.1f} ms, {ratio:.2f} of xla'
      )


def main() -> None:
  """Prints the table for the garden, or for ellipses where it is absent."""
  path = specs.garden_path()
  if path is None:
    report('50,000 ellipses', specs.make_random(0, 50_000, 648, 420))
    return
  report('50,000 garden points', specs.load_garden(path, 50_000))
  report('all garden points', specs.load_garden(path))


if __name__ == '__main__':
  main()
