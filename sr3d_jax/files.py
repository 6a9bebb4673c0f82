"""Files that appear whole or not at all, whatever interrupts their writing."""

import os
from pathlib import Path


def write_whole(path: str | os.PathLike, data: bytes | str) -> None:
  """Writes beside the file, then puts it in the place of an older one.

  Args:
    path: where to; its folder exists.
    data: all of it; a string is written as UTF-8.

  Raises:
    OSError: it could not be written (a full disk); what was there before
      still is, and nothing half-written is left.
  """
  part = Path(f'{os.fspath(path)}.part')
  data = data.encode('utf-8') if isinstance(data, str) else data
  try:
    part.write_bytes(data)
    os.replace(part, path)
  except OSError as error:
    part.unlink(missing_ok=True)
    reason = error.strerror or error
    raise OSError(
      f'could not write {path} ({reason}): free some space, or choose another '
      'place, and run the same command again'
    ) from error
