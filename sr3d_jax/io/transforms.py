"""The `transforms.json` of NeRF captures, which many programs write.

Values that all frames share stand at the top, `frames` lists the rest; a pose,
`transform_matrix`, is camera-to-world with OpenGL axes.
"""

import json
import os
import pathlib
import posixpath
import warnings
from typing import Any

WANTED = ('file_path', 'transform_matrix')
SPLITS = ('train', 'val', 'test')


def load(path: str | os.PathLike) -> dict[str, Any]:
  """Reads the file; each of its `frames` names a photo and has a pose.

  The poses themselves are as they stand in the file. Where nerfstudio's
  `train_filenames`, `val_filenames` and `test_filenames` list the photos, each
  listed frame gets its `split` of them, and the others are left out.
  """
  path = pathlib.Path(path)
  try:
    header = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise ValueError(f'{path} is not valid JSON: {error}') from error
  frames = header.get('frames') if isinstance(header, dict) else None
  if not frames or not isinstance(frames, list):
    raise ValueError(f'{path} lists no frames')
  for i, frame in enumerate(frames):
    has = frame if isinstance(frame, dict) else ()
    missing = [key for key in WANTED if key not in has]
    if missing:
      raise ValueError(f'frame {i} of {path} has no {" and no ".join(missing)}')
  return header | {'frames': _listed(path, header)}


def _listed(path: pathlib.Path, header: dict[str, Any]) -> list[dict]:
  """The frames, chosen and divided by the header's lists, if it has any."""
  frames, keys = header['frames'], {x: f'{x}_filenames' for x in SPLITS}
  splits = {
    posixpath.normpath(name): split
    for split, key in keys.items()
    for name in header.get(key, ())
  }
  if not any(key in header for key in keys.values()):
    return frames
  if keys['train'] not in header:
    raise ValueError(
      f'{path} lists test photos but has no {keys["train"]}: list the training '
      'photos too'
    )
  names = [posixpath.normpath(frame['file_path']) for frame in frames]
  unknown = sorted(splits.keys() - set(names))
  if unknown:
    raise ValueError(
      f'{path} lists {unknown[0]} in {keys[splits[unknown[0]]]}, but no frame '
      'has that file_path: correct the list or add the frame'
    )
  listed = [
    {'split': splits[name], **frame}
    for name, frame in zip(names, frames, strict=True)
    if name in splits
  ]
  if len(listed) < len(frames):
    warnings.warn(
      f'{len(frames) - len(listed)} of {len(frames)} frames of {path} are in '
      'none of its lists of filenames and are skipped',
      stacklevel=3,
    )
  return listed
