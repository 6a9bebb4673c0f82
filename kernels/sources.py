"""What the native library is built of; `setup.py` and `native` both ask here.

It imports the standard library alone, so that a build can ask before anything
is installed.
"""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent


def folders() -> list[Path]:
  """Where the sources lie."""
  return [FOLDER / 'native', *sorted(FOLDER.glob('*/cpu'))]


def digest() -> str:
  """Of all sources, by which a library is known to be theirs; '' without any.

  An installed wheel has none.
  """
  files = [x for folder in folders() for x in sorted(folder.glob('*.[ch]*'))]
  if not files:
    return ''
  texts = (x.name.encode() + x.read_bytes() for x in files)
  return hashlib.sha256(b''.join(texts)).hexdigest()[:16]
