"""How long a prior takes, apart from the fits between its steps."""

import time
from collections.abc import Callable
from typing import Any

import jax

from sr3d_jax.types import SRPrior


def timed(prior: SRPrior) -> tuple[SRPrior, list[float]]:
  """The same prior, and a list that takes the seconds of each of its calls."""
  seconds: list[float] = []

  def clocked(call: Callable) -> Callable:
    def run(*args: Any, **options: Any) -> Any:
      started = time.monotonic()
      result = jax.block_until_ready(call(*args, **options))
      seconds.append(time.monotonic() - started)
      return result

    return run

  calls = {
    name: clocked(getattr(prior, name))
    for name in ('begin', 'step', 'inject', 'couple')
    if getattr(prior, name) is not None
  }
  return prior._replace(**calls), seconds
