"""Files that appear whole or not at all, whatever interrupts their writing."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_whole(path: str | os.PathLike, data: bytes | str) -> None:
  """Writes beside the file, then puts it in the place of an older one.

  Args:
    path: where to; its folder exists.
    data: all of it; a string is written as UTF-8.

  Raises:
    OSError: see `replacing`.
  """
  with replacing(path) as part:
    part.write_bytes(data.encode('utf-8') if isinstance(data, str) else data)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
  """Lends a name beside the file for what will take its place.

  For a library that wants to write a file itself; others use `write_whole`.

  Raises:
    OSError: it could not be written (a full disk); what was there before
      still is, and nothing half-written is left.
  """
  # Two that write one file do not write one part; on hosts that share a disk
  # even their process numbers may agree.
  part = Path(f'{os.fspath(path)}.{secrets.token_hex(8)}.part')
  try:
    yield part
    os.replace(part, path)
  except OSError as error:
    reason = error.strerror or error
    raise OSError(
      f'could not write {path} ({reason}): free some space, or choose another '
      'place, and run the same command again'
    ) from error
  finally:
    part.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike) -> None:
  """Raises where `path` could not be written later, and leaves no trace.

  For a job of minutes, which should learn it first. Missing folders do not
  count: whoever writes makes them.

  Raises:
    OSError: it is a folder, is protected, or lies where nothing can be made.
  """
  path = Path(path)
  if path.is_dir():
    raise IsADirectoryError(f'{path} is a folder: name a file in it')
  if path.exists() and not os.access(path, os.W_OK):
    raise PermissionError(
      f'{path} is there and protected from writing: choose another name'
    )
  folder = next(x for x in path.absolute().parents if os.path.lexists(x))
  try:
    with tempfile.TemporaryFile(dir=folder):
      pass
  except OSError as error:
    raise OSError(
      f'{path} cannot be written, since {folder} takes no files '
      f'({error.strerror}): choose another place'
    ) from error
