"""The `transforms.json` of NeRF captures, which many programs write.

Values that all frames share stand at the top, `frames` lists the rest; a pose,
`transform_matrix`, is camera-to-world with OpenGL axes.
"""

import json
import os
import pathlib
from typing import Any

WANTED = ('file_path', 'transform_matrix')


def load(path: str | os.PathLike) -> dict[str, Any]:
  """Reads the file; each of its `frames` names a photo and has a pose.

  The poses themselves are as they stand in the file.
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
  return header
