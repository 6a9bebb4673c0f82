"""The `cameras.json` of 3D Gaussian Splatting, which its viewers open.

An entry holds the camera's place in the world: `position`, and `rotation`, the
rows of the cam_to_world rotation. The format knows no principal point; ours
goes under `cx` and `cy`, which other readers skip, and where those are missing
it is the middle of the picture.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from sr3d_jax.files import write_whole
from sr3d_jax.types import Camera, only_pinholes

WANTED = ('img_name', 'width', 'height', 'position', 'rotation', 'fx', 'fy')


def save(
  path: str | os.PathLike, cameras: Camera, names: Sequence[str]
) -> None:
  """Writes cameras [V] with the names of their images."""
  only_pinholes(cameras, 'cameras.json')
  world_to_cam = np.asarray(cameras.world_to_cam, np.float64)
  if world_to_cam.shape != (len(names), 4, 4):
    raise ValueError(
      f'{len(names)} names need cameras [{len(names)}], got world_to_cam of '
      f'shape {world_to_cam.shape}: give one name for each camera.'
    )
  entries = [
    {
      'id': i,
      'img_name': name,
      'width': cameras.width,
      'height': cameras.height,
      'position': (-pose[:3, :3].T @ pose[:3, 3]).tolist(),
      'rotation': pose[:3, :3].T.tolist(),
      'fx': float(cameras.focal[i, 0]),
      'fy': float(cameras.focal[i, 1]),
      'cx': float(cameras.center[i, 0]),
      'cy': float(cameras.center[i, 1]),
    }
    for i, (name, pose) in enumerate(zip(names, world_to_cam, strict=True))
  ]
  write_whole(path, json.dumps(entries, indent=1) + '\n')


def load(path: str | os.PathLike) -> tuple[Camera, tuple[str, ...]]:
  """Reads cameras [V] and the names of their images.

  All must be of one size, as the pictures of `Views` are.
  """
  try:
    entries = json.loads(Path(path).read_text(encoding='utf-8'))
  except ValueError as error:
    raise ValueError(f'{path} is not valid JSON: {error}') from error
  for i, entry in enumerate(entries):
    missing = [key for key in WANTED if key not in entry]
    if missing:
      raise ValueError(
        f'camera {i} of {path} has no {" and no ".join(missing)}'
      )
  sizes = {(entry['width'], entry['height']) for entry in entries}
  if len(sizes) != 1:
    raise ValueError(
      f'{path} must hold cameras of one size, got {sorted(sizes)}: split the '
      'file by size.'
    )
  ((width, height),) = sizes
  cam_to_world = np.array([entry['rotation'] for entry in entries], np.float64)
  position = np.array([entry['position'] for entry in entries], np.float64)
  world_to_cam = np.tile(np.eye(4), (len(entries), 1, 1))
  world_to_cam[:, :3, :3] = np.swapaxes(cam_to_world, 1, 2)
  world_to_cam[:, :3, 3] = -np.einsum('vji,vj->vi', cam_to_world, position)
  center = [
    (entry.get('cx', width / 2), entry.get('cy', height / 2))
    for entry in entries
  ]
  cameras = Camera(
    world_to_cam=jnp.asarray(world_to_cam, jnp.float32),
    focal=jnp.asarray([(x['fx'], x['fy']) for x in entries], jnp.float32),
    center=jnp.asarray(center, jnp.float32),
    width=width,
    height=height,
  )
  return cameras, tuple(entry['img_name'] for entry in entries)
