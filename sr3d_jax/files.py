"""Files that appear whole or not at all, whatever interrupts their writing."""

import contextlib
import os
import secrets
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
