"""Times moments against one picture and its gradient, of the same backend.

    python -m experiments.bench_moments --shapes 50000,648x420

Takes the flags of `sr3d_kernels.rasterize.bench` that choose shapes and
backends. Both calls see the same splats in the same interleaved rounds; the
moments have a residual and weights, so all thirty-two sums are taken. A line
has the medians and least times in ms, and their ratios: they shall not exceed
2.5, or a Hessian is not nearly free.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from sr3d_kernels import moments
from sr3d_kernels.rasterize import (
  bench,
  count_slots,
  next_capacity,
  specs,
  timing,
)

GATE = 2.5


def make_calls(cloud: specs.Cloud, backend: str) -> dict:
  """The calls by name: 'gradient' draws and pulls back, 'moments' sums."""
  spec = specs.project(cloud)
  splats = tuple(map(jnp.asarray, spec.splats))
  means2d, conics, opacities, _, depths = splats
  size = {'width': spec.width, 'height': spec.height}
  slots = int(count_slots(means2d, conics, opacities, depths, **size))
  rng = np.random.default_rng(0)
  shape = (spec.height, spec.width)
  residual = jnp.asarray(rng.normal(size=(*shape, 3)), jnp.float32)
  weights = jnp.asarray(rng.uniform(size=shape), jnp.float32)

  @jax.jit
  def found(splats, residual, weights):
    return moments.moments(
      *splats, **spec.options, residual=residual, weights=weights,
      capacity=next_capacity(slots), backend=backend,
    )  # fmt: skip

  def run():
    return jax.block_until_ready(found(splats, residual, weights))

  drawing = bench.make_calls(cloud, backend)['rasterize']
  return {'gradient': drawing[timing.GRADIENT](), 'moments': run}


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--shapes', nargs='+', default=['50000,648x420'])
  parser.add_argument('--backend', nargs='+', default=[moments.choose(None)])
  args = parser.parse_args()
  bench.describe()
  for shape in args.shapes:
    for backend in args.backend:
      times = timing.measure(make_calls(bench.load(shape), backend))
      drawn, found = times['gradient'], times['moments']
      ratio = found.median / drawn.median, found.best / drawn.best
      print(
        f'{shape} {backend}: forward and backward {drawn.median:.1f} '
        f'(least {drawn.best:.1f}), moments {found.median:.1f} '
        f'({found.best:.1f}), ratio {ratio[0]:.2f} ({ratio[1]:.2f}), '
        f'gate {GATE}',
        flush=True,
      )


if __name__ == '__main__':
  main()
