"""The choice among the backends of one operation."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any


def choose(
  backends: Mapping[str, ModuleType], name: str | None, **settings: Any
) -> str:
  """Name of the first backend that serves, or of the one asked for.

  Args:
    backends: in order of preference; each has `unsupported(**settings)`, which
      returns a reason or None.
    name: of one of them, or None.
    **settings: of the call.

  Raises:
    ValueError: for an unknown name, or with all reasons where none serves.
  """
  if name is not None and name not in backends:
    raise ValueError(
      f'unknown backend {name!r}: use one of {sorted(backends)}, or None for '
      'the first that serves'
    )
  reasons = []
  for candidate in [name] if name else backends:
    reason = backends[candidate].unsupported(**settings)
    if reason is None:
      return candidate
    reasons.append(f'{candidate}: {reason}')
  raise ValueError('no backend serves this call: ' + '; '.join(reasons))
