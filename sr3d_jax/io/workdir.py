"""The folder of a run: its config, and files that appear whole or not at all.

Beside `config.json`, `results.json` and `report.html` a run keeps a folder a
row, `rows/ROW/{ckpts,stats,tb,renders,point_cloud}`, and the exports of its
main row. Of many hosts, the first alone has it.
"""

import json
import os
import pathlib
import subprocess
from typing import Any

import jax

from sr3d_jax.files import write_whole


def write_json(path: str | os.PathLike, value: Any) -> None:
  """Writes JSON atomically."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  write_whole(path, json.dumps(value, indent=2, sort_keys=True) + '\n')


def read_json(path: str | os.PathLike) -> Any:
  """Reads JSON; None where there is no such file."""
  path = pathlib.Path(path)
  return json.loads(path.read_text()) if path.exists() else None


def open_workdir(path: str | os.PathLike, config: dict) -> pathlib.Path:
  """Opens the folder of a run, new or to be resumed; writes nothing yet.

  Args:
    path: the folder, which need not exist.
    config: plain values.

  Returns:
    The folder; `claim_workdir` makes it.

  Raises:
    ValueError: the folder holds a run of another config.
  """
  folder = pathlib.Path(path)
  if jax.process_index() > 0:
    return folder
  plain = _plain(config)
  kept = read_json(folder / 'config.json')
  if kept is not None and kept != plain:
    old, new = _flat(kept), _flat(plain)
    keys = sorted(
      k for k in old.keys() | new.keys() if old.get(k) != new.get(k)
    )
    changes = ', '.join(
      f'{k}: {old.get(k)!r} -> {new.get(k)!r}' for k in keys[:4]
    )
    raise ValueError(
      f'{folder} holds a run of another config ({changes}'
      f'{", ..." if len(keys) > 4 else ""}): give another --workdir, or '
      'delete that one'
    )
  return folder


def claim_workdir(folder: pathlib.Path, config: dict) -> None:
  """Binds a folder to a config, once all that it describes could be built.

  A config that is refused before that leaves the folder to its correction.

  Args:
    folder: of `open_workdir`; it exists afterwards on the first host.
    config: plain values; kept as `config.json`, beside the `commit.json`.
  """
  if jax.process_index() > 0 or (folder / 'config.json').exists():
    return
  write_json(folder / 'commit.json', {'commit': commit()})
  write_json(folder / 'config.json', _plain(config))


def load_scores(
  path: str | os.PathLike, expected: dict[str, Any]
) -> tuple[dict[str, dict], str]:
  """Reads what the finished rows of a run scored.

  Args:
    path: the folder of the run.
    expected: what its config must hold, section in section.

  Returns:
    {row: {'views': {view: {measure: value}}, 'facts': {measure: value}}}, where
    facts are of the whole row, its minutes among them; and the commit.

  Raises:
    FileNotFoundError: no row is finished there.
    ValueError: the run is of another config.
  """
  folder = pathlib.Path(path)
  entries = read_json(folder / 'results.json')
  if not entries:
    raise FileNotFoundError(f'{folder} holds no finished row')
  config, wanted = _flat(read_json(folder / 'config.json')), _flat(expected)
  for key, value in _plain(wanted).items():
    if config.get(key) != value:
      raise ValueError(
        f'{folder} holds a run with {key}={config.get(key)!r}, expected '
        f'{value!r}: give the table the folder of such a run, or make one'
      )
  per_view = read_json(folder / 'per_view.json')
  scores = {}
  for entry in entries:
    seconds = entry.get('seconds', 0.0) + entry.get('prior_seconds', 0.0)
    facts = {k: v for k, v in entry.items() if isinstance(v, int | float)}
    scores[entry['name']] = {
      'views': per_view[entry['name']],
      'facts': facts | {'minutes': seconds / 60},
    }
  made = read_json(folder / 'commit.json') or {}
  return scores, made.get('commit') or 'no commit'


def commit() -> str | None:
  """The commit of the code that runs; None outside a checkout.

  Where tracked files differ from it, it ends with '-dirty'.
  """
  here = pathlib.Path(__file__).parent
  try:
    done = subprocess.run(
      ['git', 'describe', '--always', '--dirty', '--exclude=*'],
      cwd=here,
      capture_output=True,
      text=True,
      check=True,
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return done.stdout.strip()


def _plain(config: dict) -> dict:
  """The config as JSON gives it back: tuples are lists."""
  return json.loads(json.dumps(config))


def _flat(tree: Any, prefix: str = '') -> dict[str, Any]:
  if not isinstance(tree, dict):
    return {prefix: tree}
  leaves = {}
  for key, value in tree.items():
    leaves |= _flat(value, f'{prefix}.{key}' if prefix else key)
  return leaves
