"""Finds data: the one place that knows where data lives."""

import os
import pathlib

VARIABLE = 'SR3D_DATA'
CHECKOUT = pathlib.Path(__file__).parents[2]


def data_path(root: str | os.PathLike) -> pathlib.Path:
  """The existing file or folder that `root` names.

  Args:
    root: an absolute path, or one below the folder that the environment
      variable SR3D_DATA names; without it, below `data/` of the checkout.

  Returns:
    An absolute path.
  """
  folder = pathlib.Path(os.environ.get(VARIABLE) or CHECKOUT / 'data')
  path = folder.expanduser().absolute() / root  # an absolute root stays
  if not path.exists():
    known = f'is {folder}' if os.environ.get(VARIABLE) else 'is not set'
    raise FileNotFoundError(
      f'{root!s} was looked for at {path}, where nothing is ({VARIABLE} '
      f'{known}): set {VARIABLE} to the folder that holds it, or pass an '
      'absolute path'
    )
  return path
