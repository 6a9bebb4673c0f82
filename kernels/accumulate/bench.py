"""What a window cuts off, and what it costs.

    python -m sr3d_kernels.accumulate.bench

The first table has the root mean square of what a window leaves out, relative
to the standard deviation of the dense sum, for random fields of anisotropic
Gaussians (sigma from 0.2 to the greatest, correlations within a half) asked for
at random positions. The second has the milliseconds of one call on a grid of
256 x 256 positions at x4, the shortest of a few, and what XLA plans for it.
"""

import functools
import time

import jax
import jax.numpy as jnp
from sr3d_kernels.accumulate import accumulate

SIGMAS = (0.5, 0.6, 0.8, 1.0, 1.5, 2.0)  # greatest, px
RADII = (1, 2, 3, 4, 5)
SIZE = 40  # px
NUM = 2000
CHANNELS = 8
SIDE, SCALE = 256, 4  # of the grid
ROUNDS = 10
POINT = jnp.zeros(3)  # the footprint of a point


def make_field(key: jax.Array, size: int, greatest: float) -> tuple:
  """Values, covariances and opacities of random Gaussians."""
  keys = jax.random.split(key, 5)
  uniform = functools.partial(jax.random.uniform, shape=(size, size))
  rows, columns = (
    uniform(key, minval=0.2, maxval=greatest) for key in keys[:2]
  )
  rho = uniform(keys[2], minval=-0.5, maxval=0.5)
  covariances = jnp.stack([rows**2, rho * rows * columns, columns**2], axis=-1)
  values = jax.random.normal(keys[3], (size, size, CHANNELS))
  return values, covariances, uniform(keys[4], minval=0.3, maxval=1.0)


def truncation(greatest: float, radii: tuple[int, ...] = RADII) -> list[float]:
  """What windows of these radii leave out, relative to what there is."""
  field = make_field(jax.random.key(0), SIZE, greatest)
  rows, columns = SIZE * jax.random.uniform(jax.random.key(1), (2, NUM))
  ask = functools.partial(accumulate, *field, rows, columns, POINT)
  dense = ask(radius=1, backend='reference').values
  found = [ask(radius=radius, backend='xla').values for radius in radii]
  scale = jnp.std(dense)
  return [float(jnp.sqrt(jnp.mean((x - dense) ** 2)) / scale) for x in found]


def cost(radius: int) -> tuple[float, int]:
  """Milliseconds of a grid, and the bytes that XLA plans for it."""
  field = make_field(jax.random.key(0), SIDE // SCALE, 1.0)
  at = (jnp.arange(SIDE) + 0.5) / SCALE
  ask = functools.partial(accumulate, radius=radius, backend='xla')
  args = (*field, at[:, None], at[None], POINT)
  call = jax.jit(ask).lower(*args).compile()
  jax.block_until_ready(call(*args))
  times = []
  for _ in range(ROUNDS):
    start = time.perf_counter()
    jax.block_until_ready(call(*args))
    times.append(1e3 * (time.perf_counter() - start))
  return min(times), call.memory_analysis().temp_size_in_bytes


def run() -> None:
  """Prints both tables."""
  device = jax.devices()[0].device_kind
  print(f'jax {jax.__version__} on {device}')
  print('greatest sigma ' + ''.join(f'     R={radius}' for radius in RADII))
  for greatest in SIGMAS:
    errors = truncation(greatest)
    print(f'{greatest:14.1f} ' + ''.join(f' {x:7.1e}' for x in errors))
  for radius in RADII:
    taken, planned = cost(radius)
    print(f'R={radius}: {taken:6.1f} ms, {planned / 2**20:.1f} MiB')


if __name__ == '__main__':
  run()
