"""Plug-ins by name: a config section in, what its module's `make` builds out.

A kind is a folder of `sr3d_jax` and a plug-in is a file in it, found by looking
there: adding one edits no list. Each has `make(**keys)`; a section is exactly
those keyword arguments, and `name`.
"""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

KINDS = ('priors', 'scenes', 'representations', 'batches')


def names(kind: str) -> tuple[str, ...]:
  """Lists the plug-ins of a kind, sorted."""
  _check(kind, KINDS, 'kind of plug-in')
  package = importlib.import_module(f'sr3d_jax.{kind}')
  found = (module.name for module in pkgutil.iter_modules(package.__path__))
  return tuple(sorted(name for name in found if not name.startswith('_')))


def module(kind: str, name: str) -> ModuleType:
  """Imports the plug-in `name` of a kind.

  Args:
    kind: one of `KINDS`.
    name: one of `names(kind)`.

  Returns:
    Its module, with `make`.

  Raises:
    ValueError: no such kind or name; the message says which there are.
  """
  _check(name, names(kind), f'name in {kind}')
  return importlib.import_module(f'sr3d_jax.{kind}.{name}')


def build(kind: str, section: Mapping[str, Any]) -> Any:
  """Builds the plug-in that a config section describes.

  Args:
    kind: one of `KINDS`.
    section: a dict or `ConfigDict` with `name`; the rest is given to `make`.

  Returns:
    What the plug-in's `make` returns.

  Raises:
    ValueError: `name` or a required key is missing, or a key is unknown.
  """
  keys = section.to_dict() if hasattr(section, 'to_dict') else dict(section)
  if 'name' not in keys:
    raise ValueError(
      f'a section for {kind} needs a name, got only {sorted(keys)}: '
      f'add name, one of {", ".join(names(kind))}'
    )
  name = keys.pop('name')
  make = module(kind, name).make
  _check_keys(make, keys, f'{kind} section {name!r}')
  return make(**keys)


def _check(word: str, known: Iterable[str], what: str) -> None:
  """Raises unless `word` is known, with the closest of the known ones."""
  if word not in known:
    raise ValueError(
      f'unknown {what}: {word!r}{_guess(word, known)}; '
      f'there are {", ".join(known) or "none"}'
    )


def _check_keys(make: Any, keys: Mapping[str, Any], where: str) -> None:
  """Raises unless `make` can be called with these keywords."""
  parameters = inspect.signature(make).parameters.values()
  takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
  named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
  accepted = [p.name for p in named]
  for key in keys:
    if not (takes_any or key in accepted):
      raise ValueError(
        f'{where} has an unknown key: {key!r}{_guess(key, accepted)}; '
        f'accepted are {", ".join(accepted) or "none"}'
      )
  for p in named:
    if p.default is p.empty and p.name not in keys:
      raise ValueError(
        f'{where} lacks a required key: {p.name!r}; '
        f'got {", ".join(keys) or "none"}, accepted are {", ".join(accepted)}'
      )


def _guess(word: str, known: Iterable[str]) -> str:
  """', did you mean x?' where something known is close, or nothing."""
  close = difflib.get_close_matches(str(word), known, n=1)
  return f', did you mean {close[0]!r}?' if close else ''
