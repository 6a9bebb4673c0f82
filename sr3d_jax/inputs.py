"""Which scene reads a file or a folder: told by its ending, or what is in it.

| root | scene |
|---|---|
| `.obj` `.glb` `.gltf` `.stl` `.off`, a `.ply` with faces | `mesh` |
| `.splat` `.spz` `.compressed.ply`, a `.ply` with opacities | `splats` |
| `.npz` of `experiments.fit_nerf` | `nerf` |
| a folder with `transforms.json` | `transforms_json` |
| a folder with `transforms_train.json` | `blender` |
| a folder with `sparse/`, `poses_bounds.npy` | `colmap`, `llff` |
| a folder with `cam_extrinsics.pkl` | `supergaussian` |
| a folder of pictures | `photos` |
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

from sr3d_jax.io import images, paths

MESHES = ('.obj', '.glb', '.gltf', '.stl', '.off')
SPLATS = ('.splat', '.spz')
# What is in a folder that a scene reads.
FOLDERS = {
  'transforms.json': 'transforms_json',
  'transforms_train.json': 'blender',
  'poses_bounds.npy': 'llff',
  'sparse': 'colmap',
  'cam_extrinsics.pkl': 'supergaussian',
}
PHOTOS = (*FOLDERS.values(), 'photos')  # scenes that photos come from
HEADER = 1 << 16  # bytes that hold any PLY's
KINDS = ('mesh', 'splats', 'nerf', 'photos')


def scene_section(keys: Mapping[str, Any]) -> dict[str, Any]:
  """Makes the section of the scene that reads a root.

  Args:
    keys: `root`, absolute or below the data folder, and for each of `KINDS` a
      section of what else that kind of scene is told; None says nothing.

  Returns:
    The section, with its `name`.

  Raises:
    ValueError: nothing is known that reads it.
  """
  keys = dict(keys)
  keys.pop('name', None)
  root = keys.pop('root')
  strange = set(keys) - set(KINDS)
  if strange:
    raise ValueError(
      f'a scene of any kind has a root and sections for {", ".join(KINDS)}, '
      f'got {", ".join(sorted(strange))}: put it into the section of the kind, '
      f'as --config.scene.mesh.{min(strange)}'
    )
  name = scene_name(paths.data_path(root))
  kind = 'photos' if name in PHOTOS else name
  told = {k: v for k, v in keys.get(kind, {}).items() if v is not None}
  return {'name': name, 'root': root, **told}


def scene_name(path: pathlib.Path) -> str:
  """Names the scene plug-in that reads a file or folder."""
  if path.is_dir():
    for inside, name in FOLDERS.items():
      if (path / inside).exists():
        return name
    try:
      images.list_images(path)
    except FileNotFoundError as error:
      raise ValueError(
        f'the folder {path} holds nothing that is known: wanted pictures, or '
        f'one of {", ".join(FOLDERS)}'
      ) from error
    return 'photos'
  suffix = path.suffix.lower()
  if suffix == '.ply':
    return _of_ply(path)
  for suffixes, name in (
    (MESHES, 'mesh'),
    (SPLATS, 'splats'),
    ('.npz', 'nerf'),
  ):
    if suffix and suffix in suffixes:
      return name
  raise ValueError(
    f'{path} has the ending {suffix or "of nothing"}, wanted a mesh '
    f'({", ".join(MESHES)}, .ply), splats ({", ".join(SPLATS)}, .ply), a '
    'nerf.npz or a folder of photos'
  )


def _of_ply(path: pathlib.Path) -> str:
  """A PLY may hold a mesh, splats, or points alone: its header tells."""
  with open(path, 'rb') as file:
    head = (
      file.read(HEADER).partition(b'end_header')[0].decode('ascii', 'replace')
    )
  if re.search(r'^element chunk|^property \w+ opacity', head, re.MULTILINE):
    return 'splats'
  if re.search(r'^element face [1-9]', head, re.MULTILINE):
    return 'mesh'
  found = re.findall(r'^element \w+ \d+', head, re.MULTILINE) or ['bytes']
  raise ValueError(
    f'{path} has neither faces nor opacities, only {", ".join(found)}: points '
    'alone show no surface; make a mesh of them, or fit splats to the photos '
    'that they come from'
  )
