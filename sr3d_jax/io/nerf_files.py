"""A radiance field in one file, `nerf.npz`: what it is, learnt, and saw.

    header            JSON: format, version, name, network, width, height
    params.<name>     what was learnt, float16
    cameras.<field>   the cameras that it learnt from: world_to_cam [V, 4, 4],
                      focal [V, 2] and center [V, 2], for width x height px

`network` holds the keyword arguments that make the field again, its box and the
colour behind it among them.
"""

import dataclasses
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sr3d_jax.files import write_whole
from sr3d_jax.types import Camera, only_pinholes

FORMAT = 'sr3d_jax radiance field'
VERSION = 1
HEADER = ('format', 'version', 'name', 'network', 'width', 'height')
SHAPES = {'world_to_cam': (4, 4), 'focal': (2,), 'center': (2,)}
AGAIN = 'make it again with experiments.fit_nerf'

# what a damaged .npz, or none, provokes in numpy
_UNREADABLE = (
  ValueError,
  TypeError,
  EOFError,
  zipfile.BadZipFile,
  zlib.error,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nerf:
  """A field as it lies in a file.

  Attributes:
    name: of the scene that it learnt.
    network: keyword arguments of `models.radiance.make`.
    arrays: dotted name of a parameter -> array.
    cameras: [V] those that it learnt from.
  """

  name: str
  network: Mapping[str, Any]
  arrays: Mapping[str, np.ndarray]
  cameras: Camera


def save(path: str | os.PathLike, nerf: Nerf) -> None:
  """Writes a field, whole or not at all."""
  cameras = only_pinholes(nerf.cameras, 'nerf.npz')
  header = {
    'format': FORMAT,
    'version': VERSION,
    'name': nerf.name,
    'network': dict(nerf.network),
    'width': cameras.width,
    'height': cameras.height,
  }
  arrays = {'header': np.array(json.dumps(header))}
  for name, array in nerf.arrays.items():
    arrays[f'params.{name}'] = np.asarray(array, np.float16)
  for field in SHAPES:
    arrays[f'cameras.{field}'] = np.asarray(getattr(cameras, field), np.float32)
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays)
  write_whole(path, buffer.getvalue())


def load(path: str | os.PathLike) -> Nerf:
  """Reads what `save` wrote; whether its arrays fit, their network knows.

  Raises:
    ValueError: the file is damaged, of another kind, or lacks something.
  """
  path = Path(path)
  if path.is_dir():
    raise ValueError(f'{path} is a folder: name the nerf.npz in it')
  try:
    with np.load(path, allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
  # A file that is not there keeps its own error; one array is no archive.
  except (*_UNREADABLE, AttributeError) as error:
    raise ValueError(
      f'{path} is no whole .npz file ({error}): it was cut short or damaged; '
      f'{AGAIN}'
    ) from error
  header = _header(path, arrays)
  params = {
    name.removeprefix('params.'): array.astype(np.float32)
    for name, array in arrays.items()
    if name.startswith('params.')
  }
  bad = [name for name, x in params.items() if not np.isfinite(x).all()]
  if bad or not params:
    what = f'{bad[0]} is not finite' if bad else 'it has no params'
    raise ValueError(f'{path} holds no field: {what}; {AGAIN}')
  return Nerf(
    name=str(header['name']),
    network=dict(header['network']),
    arrays=params,
    cameras=_cameras(path, header, arrays),
  )


def _header(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """What the file says of itself, once it is known to be one of ours."""
  found = ', '.join(sorted(arrays)[:4]) or 'nothing'
  other = (
    f'{path} is an .npz of another kind, which holds {found}: wanted a '
    'nerf.npz of experiments.fit_nerf'
  )
  if 'header' not in arrays:
    raise ValueError(other)
  try:
    header = json.loads(str(arrays['header']))
  except ValueError as error:
    raise ValueError(other) from error
  if not isinstance(header, dict) or header.get('format') != FORMAT:
    raise ValueError(other)
  if header.get('version') != VERSION:
    raise ValueError(
      f'{path} has version {header.get("version")}, this code reads {VERSION}: '
      f'{AGAIN}'
    )
  missing = [key for key in HEADER if key not in header]
  if missing:
    raise ValueError(f'the header of {path} has no {missing[0]}; {AGAIN}')
  return header


def _cameras(
  path: Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Camera:
  """The cameras [V] of a file, V at least 1."""
  fields = {}
  for field, shape in SHAPES.items():
    name = f'cameras.{field}'
    if name not in arrays:
      raise ValueError(f'{path} has no {name}; {AGAIN}')
    array = fields[field] = arrays[name]
    count = len(fields['world_to_cam'])
    if array.shape != (count, *shape) or not count:
      raise ValueError(
        f'{name} of {path} has shape {array.shape}, wanted '
        f'{(max(count, 1), *shape)}; {AGAIN}'
      )
    if not np.isfinite(array).all():
      raise ValueError(f'{name} of {path} is not finite; {AGAIN}')
  return Camera(
    **fields, width=int(header['width']), height=int(header['height'])
  )
