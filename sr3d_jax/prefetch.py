"""Makes the batches of the next steps while the device works on this one."""

from collections.abc import Callable
from typing import Any

import grain

LAST_STEP = 2**31
NUM_THREADS = 2  # NumPy and Pillow let the interpreter go only now and then


def ahead(
  batches: Callable[[int], Any], num_batches: int = 4
) -> Callable[[int], Any]:
  """The same stream, of which threads make the next few batches.

  The stream stays a function of the step. Only steps that follow one another
  profit; any other step, as after resuming, starts anew from there.

  Args:
    batches: step -> batch.
    num_batches: that may lie ready.

  Returns:
    step -> the same batch.
  """
  if num_batches < 1:
    raise ValueError(f'num_batches must be positive, got {num_batches}')
  options = grain.ReadOptions(
    num_threads=min(NUM_THREADS, num_batches), prefetch_buffer_size=num_batches
  )
  upcoming, ready = None, None

  def batch(step: int) -> Any:
    nonlocal upcoming, ready
    if step != upcoming:
      steps = grain.MapDataset.range(step, LAST_STEP)
      ready = iter(steps.map(batches).to_iter_dataset(options))
    upcoming = None  # where this one fails, asking again must not skip it
    made = next(ready)
    upcoming = step + 1
    return made

  return batch
