"""How an experiment starts, and fails: in one clear line, with an exit code."""

import sys
from collections.abc import Callable

import jax
from absl import app, flags, logging

EXPECTED = (ValueError, OSError, FloatingPointError, MemoryError)


def run(main: Callable[[list[str]], None]) -> None:
  """Runs `main` under absl; an expected error becomes one line and exit 1.

  Args:
    main: takes the arguments that are not flags.
  """
  logging.set_verbosity(logging.WARNING)
  app.run(lambda argv: sys.exit(_guarded(main, argv)), flags_parser=_parse)


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


def _guarded(main: Callable, argv: list[str]) -> int:
  try:
    main(argv)
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    _say(
      'out of memory: lower representation.capacity, fit.batch_size or the '
      f'size of the views ({str(error).splitlines()[0]})'
    )
    return 1
  except EXPECTED as error:
    _say(error)
    return 1
  return 0


def _say(error: object) -> None:
  if isinstance(error, MemoryError):
    error = 'out of memory: lower representation.capacity or the view size'
  text = ' '.join(str(error).split())
  print(f'error: {text}', file=sys.stderr, flush=True)
