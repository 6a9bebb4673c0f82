"""How an experiment starts, and fails: in one clear line, with an exit code."""

import atexit
import contextlib
import os
import re
import sys
from collections.abc import Callable

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from sr3d_jax import hosts

EXPECTED = (
  ValueError,
  OSError,
  FloatingPointError,
  ImportError,  # an optional package that a plug-in asks for
)
OUT_OF_MEMORY = (
  'out of memory: lower representation.capacity, fit.batch_size or the size '
  'of the views'
)
_NO_CONFIG = re.compile(r'Failed loading config file.*\[Errno 2\].*: (.*)')


def run(
  main: Callable[[list[str]], None],
  *,
  configs: str = 'configs',
  many_hosts: bool = False,
) -> None:
  """Runs `main` under absl; an expected error becomes one line and exit 1.

  Args:
    main: takes the arguments that are not flags.
    configs: where the configs are that it can read, told to who gives another.
    many_hosts: adds the flags that start it once on each of many hosts.
  """
  logging.set_verbosity(logging.WARNING)
  if many_hosts:
    _define_hosts()
    main = _joined(main)
  app.run(
    lambda argv: sys.exit(_guarded(main, argv, configs)), flags_parser=_parse
  )


def _define_hosts() -> None:
  flags.DEFINE_string(
    'coordinator',
    None,
    'host:port of the first of many hosts, or auto: as SLURM, MPI or the TPU '
    'says. Every host runs the same command but for its --host_index.',
  )
  flags.DEFINE_integer('num_hosts', None, 'How many hosts there are.')
  flags.DEFINE_integer('host_index', None, 'Which one this is, from 0.')


def _joined(main: Callable) -> Callable:
  """`main` among the hosts that the flags name; only the first one speaks."""

  def joined(argv: list[str]) -> None:
    values = flags.FLAGS
    hosts.join(values.coordinator, values.num_hosts, values.host_index)
    output = sys.stdout if hosts.is_first() else None
    try:
      with contextlib.redirect_stdout(output):
        main(argv)
    except BaseException:
      if values.coordinator is not None:
        # An orderly exit would wait for the others, who wait for us.
        atexit.register(os._exit, 1)
      raise

  return joined


def _parse(argv: list[str]) -> list[str]:
  """Parses flags; what a config file refuses is said in one line too."""
  try:
    return flags.FLAGS(argv)
  except (KeyError, AttributeError) as error:
    key = str(error).strip('"\'')
    _say(f'the config has no key {key}: see the config file for those it has')
  except (ValueError, OSError, flags.Error) as error:
    # ml_collections wraps a config's own error in a printed traceback.
    _say(str(error).split('ValueError: ')[-1])
  sys.exit(2)


def _guarded(main: Callable, argv: list[str], configs: str = 'configs') -> int:
  try:
    main(argv)
  except AttributeError as error:
    if not isinstance(error.obj, ConfigDict):
      raise
    file = config_flags.get_config_filename(flags.FLAGS['config'])
    _say(
      f'{file} has {", ".join(error.obj)} but no {error.name}: choose a config '
      f'of {configs}/, or add that key'
    )
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    _say(f'{OUT_OF_MEMORY} ({str(error).splitlines()[0]})')
  except MemoryError as error:
    _say(f'{OUT_OF_MEMORY} ({error})' if str(error) else OUT_OF_MEMORY)
  except EXPECTED as error:
    _say(error)
  else:
    return 0
  return 1


def _say(error: object) -> None:
  text = ' '.join(str(error).split())
  missing = _NO_CONFIG.search(text)  # ml_collections tells it twice
  if missing:
    text = f'there is no config file {missing[1]}: choose one of configs/'
  print(f'error: {text}', file=sys.stderr, flush=True)
