"""How long calls take, and how much memory: what the benchmarks share.

A call is a function without arguments that returns when it is done. Rounds are
interleaved, so that what else the machine does meets all calls alike and ratios
are of one run; a steady loop repeats one call alone, its caches warm.
"""

import pathlib
import re
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax

FORWARD, GRADIENT = 'forward', 'with gradient'

ROUNDS = 15
REPEATS = 30  # in the steady loop
PATIENCE = 5  # s, after which a steady loop of a few repeats is enough
FEW = 5


class Times(NamedTuple):
  """Of one call, ms.

  Attributes:
    median: of the interleaved rounds.
    best: the shortest of all.
    steady: median of the steady loop.
  """

  median: float
  best: float
  steady: float


def both_ways(
  draw: Callable, arrays: tuple, shape: tuple[int, int, int]
) -> dict[str, Callable]:
  """Functions that compile, and return, `draw` and it with its gradient.

  Cotangents of image and alpha are random and given: no loss is timed.

  Args:
    draw: arrays -> image [H, W, C], alpha [H, W].
    arrays: all get gradients.
    shape: (H, W, C).
  """

  def pull(arrays, cotangents):
    images, back = jax.vjp(lambda arrays: tuple(draw(*arrays)), arrays)
    return images, back(cotangents)[0]

  def compile_forward():
    run = jax.jit(lambda arrays: draw(*arrays)).lower(arrays).compile()
    return lambda: jax.block_until_ready(run(arrays))

  def compile_gradient():
    keys = jax.random.split(jax.random.key(0))
    given = tuple(map(jax.random.normal, keys, (shape, shape[:2])))
    run = jax.jit(pull).lower(arrays, given).compile()
    return lambda: jax.block_until_ready(run(arrays, given))

  return {FORWARD: compile_forward, GRADIENT: compile_gradient}


def measure(calls: dict) -> dict[object, Times]:
  """Times calls by key; each runs once before, so that nothing is the first."""
  for call in calls.values():
    call()
  rounds = [{key: _once(call) for key, call in calls.items()}]
  while len(rounds) < ROUNDS:
    rounds.append({key: _once(call) for key, call in calls.items()})
  times = {}
  for key, call in calls.items():
    samples, steady = [x[key] for x in rounds], _steady(call)
    times[key] = Times(
      statistics.median(samples),
      min(samples + steady),
      statistics.median(steady),
    )
  return times


def peak_memory(call: Callable) -> int | None:
  """Bytes that the first run of a call takes beyond what was there, at most.

  Of the device, or on a CPU of the process; None where the system does not say.
  Meant for a fresh process: what an earlier call left behind would be used.
  """
  stats = jax.devices()[0].memory_stats()
  if stats:
    call()
    after = jax.devices()[0].memory_stats()
    return after['peak_bytes_in_use'] - stats['bytes_in_use']
  status = pathlib.Path('/proc/self/status')
  if not status.exists():
    return None
  # 5 puts the high-water mark back to what is in use now.
  status.with_name('clear_refs').write_text('5')
  before = _kilobytes(status, 'VmRSS')
  call()
  return 1024 * (_kilobytes(status, 'VmHWM') - before)


def _once(call):
  start = time.perf_counter()
  call()
  return 1e3 * (time.perf_counter() - start)


def _steady(call):
  samples = []
  while len(samples) < FEW or (
    len(samples) < REPEATS and sum(samples) < 1e3 * PATIENCE
  ):
    samples.append(_once(call))
  return samples


def _kilobytes(status, name):
  return int(re.search(rf'{name}:\s+(\d+)', status.read_text())[1])
