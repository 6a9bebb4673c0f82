"""Where the time of a compiled program goes, by the lines of code it came from.

The compiler merges and moves what the code says, so that pieces compiled alone
do not add up to the whole. Here the whole runs, watched by the profiler of jax,
and each instruction of it is looked up in the compiled text, which remembers
the calls that led to it. A merged one counts for the line of its result.
"""

import collections
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax

IDLE = ''  # in place of a name: no instruction ran

_INSTRUCTION = re.compile(r'\s+(?:ROOT )?%?([\w.\-]+) = .*metadata=\{(.*?)\}')


class Event(NamedTuple):
  """An instruction's time on one thread, ns."""

  thread: int
  start: float
  end: float
  name: str


class Origin(NamedTuple):
  """What an instruction was made of.

  Attributes:
    scope: transformations and the primitive, joined by slashes.
    frames: 'path:function' of the calls that led to it, innermost first.
  """

  scope: str
  frames: tuple[str, ...]

  @property
  def is_backward(self) -> bool:
    return 'transpose(' in self.scope


def origins(text: str) -> dict[str, Origin]:
  """Origins of the instructions by name, from a compiled program's text."""
  frames = _frames(text)
  found = {}
  for name, metadata in _INSTRUCTION.findall(text):
    scope = re.search(r'op_name="(.*?)"', metadata)
    frame = _field(metadata, 'stack_frame_id')
    found[name] = Origin(scope[1] if scope else '', frames.get(frame, ()))
  return found


def watch(call: Callable[[], object]) -> dict[str, float]:
  """Seconds of each instruction while `call` runs, and of `IDLE`.

  They add up to the time from the first to the last; see `share`.
  """
  options = jax.profiler.ProfileOptions()
  options.python_tracer_level = 0
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder, profiler_options=options):
      jax.block_until_ready(call())
    (path,) = pathlib.Path(folder).rglob('*.xplane.pb')
    return share(_events(path))


def share(events: Iterable[Event]) -> dict[str, float]:
  """Splits wall time, s, among the instructions that ran at each moment.

  On a thread the last to begin counts, since it was called by the others.
  """
  events = list(events)
  edges = [(event.start, 1, event) for event in events]
  edges += [(event.end, 0, event) for event in events]
  running = collections.defaultdict(list)
  seconds = collections.Counter()
  before = None
  for time, is_start, event in sorted(edges, key=lambda edge: edge[:2]):
    if before is not None and time > before:
      names = [stack[-1].name for stack in running.values() if stack] or [IDLE]
      for name in names:
        seconds[name] += 1e-9 * (time - before) / len(names)
    stack = running[event.thread]
    stack.append(event) if is_start else stack.remove(event)
    before = time
  return dict(seconds)


def _events(path: pathlib.Path) -> Iterable[Event]:
  data = jax.profiler.ProfileData.from_file(str(path))
  lines = [line for plane in data.planes for line in plane.lines]
  for thread, line in enumerate(lines):
    for event in line.events:
      if event.duration_ns and 'hlo_op' in dict(event.stats):
        end = event.start_ns + event.duration_ns
        yield Event(thread, event.start_ns, end, event.name)


def _frames(text: str) -> dict[str, tuple[str, ...]]:
  """Calls by the number of their innermost one."""
  files, functions, places, frames = (
    _section(text, name)
    for name in ('FileNames', 'FunctionNames', 'FileLocations', 'StackFrames')
  )
  # Some versions count the callers from 1, where 0 is none, others from 2.
  none = int(_field(frames['1'], 'parent_frame_id'))

  def unfold(number: str) -> tuple[str, ...]:
    place = places[_field(frames[number], 'file_location_id')]
    file = files[_field(place, 'file_name_id')].strip('"')
    function = functions[_field(place, 'function_name_id')].strip('"')
    parent = int(_field(frames[number], 'parent_frame_id')) - none
    callers = unfold(str(parent)) if parent else ()
    return (f'{file}:{function}', *callers)

  return {number: unfold(number) for number in frames}


def _section(text: str, name: str) -> dict[str, str]:
  """Numbered lines of one table at the head of the text."""
  parts = text.split(f'\n{name}\n', 1)
  if len(parts) < 2:
    raise ValueError(
      f'the compiled text has no {name}, by which jax 0.10 to 0.12 say where '
      f'code came from: jax {jax.__version__} may write them otherwise'
    )
  lines = parts[1].split('\n\n', 1)[0].splitlines()
  return dict(line.split(' ', 1) for line in lines)


def _field(text: str, name: str) -> str:
  found = re.search(rf'\b{name}=(\d+)', text)
  return found[1] if found else ''
