"""Splats for viewers: `.splat`, read too, and binary glTF.

Both hold activated values (standard deviations, opacities) where PLY holds
what is learnt, so they are for looking and `ply` is for keeping. Splats whose
opacity is below 1/255 are left out: no viewer draws them.
"""

import json
import os
import struct
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from sr3d_kernels.rasterize.constants import ALPHA_MIN

from sr3d_jax.files import write_whole
from sr3d_jax.io import quantized
from sr3d_jax.types import Gaussians

MIN_SCALE = 1e-12  # scene units; what a flat splat has across, in place of 0
_SPLAT = np.dtype(
  [
    ('mean', '<f4', 3),
    ('scale', '<f4', 3),
    ('rgba', 'u1', 4),
    ('quat', 'u1', 4),  # wxyz
  ]
)
_KHR = 'KHR_gaussian_splatting'
_FLOAT, _POINTS, _VERTICES = 5126, 0, 34962  # glTF's numbers for these words


def save_splat(path: str | os.PathLike, gaussians: Gaussians) -> None:
  """Writes `.splat`: 32 bytes a splat, without view dependence.

  The format is that of github.com/antimatter15/splat. Big opaque splats come
  first, so that a viewer has something to show while it still loads.
  """
  means, scales, quats, opacities, sh = _activated(gaussians)
  order = np.argsort(-scales.prod(axis=1) * opacities, kind='stable')
  rgba = np.concatenate(
    [0.5 + quantized.C0 * sh[:, 0], opacities[:, None]], axis=1
  )
  rows = np.empty(len(means), _SPLAT)
  rows['mean'] = means
  rows['scale'] = scales
  rows['rgba'] = np.round(np.clip(rgba, 0, 1) * 255)
  rows['quat'] = np.clip(np.round(quats * 128 + 128), 0, 255)
  write_whole(path, rows[order].tobytes())


def load_splat(path: str | os.PathLike) -> Gaussians:
  """Reads `.splat`, in the axes of the PLY that it was made of.

  Alphas of 0 and 1 become finite logits, as `quantized.logits` says, and
  scales of 0 become `MIN_SCALE`.

  Returns:
    [N] without view dependence: harmonics of degree 0.
  """
  data = Path(path).read_bytes()
  if len(data) % _SPLAT.itemsize:
    raise ValueError(
      f'{path} has {len(data)} bytes, want a multiple of {_SPLAT.itemsize}, '
      'for a splat each: it is no .splat, or was cut short.'
    )
  rows = np.frombuffer(data, _SPLAT)
  if (rows['scale'] < 0).any():
    raise ValueError(
      f'{path} has scales as low as {rows["scale"].min():.3g}, want standard '
      'deviations: is it a .splat of 32 bytes each?'
    )
  rgb = rows['rgba'][:, :3] / np.float32(255)
  return Gaussians(
    means=jnp.asarray(rows['mean']),
    log_scales=jnp.asarray(np.log(np.maximum(rows['scale'], MIN_SCALE))),
    quats=jnp.asarray(quantized.unit((rows['quat'] - np.float32(128)) / 128)),
    opacity_logits=jnp.asarray(quantized.logits(rows['rgba'][:, 3])),
    sh=jnp.asarray(quantized.harmonics(rgb)[:, None]),
  )


def save_glb(path: str | os.PathLike, gaussians: Gaussians) -> None:
  """Writes `.glb` with Khronos' KHR_gaussian_splatting, all harmonics.

  Attributes keep our axes, whose y points down; the node turns them by pi
  about x, because glTF's y points up.
  """
  means, scales, quats, opacities, sh = _activated(gaussians)
  if not len(means):
    raise ValueError(
      'glTF has no empty arrays, and none of the '
      f'{len(gaussians.means)} splats is visible: fit the scene first.'
    )
  attributes = {
    'POSITION': means,
    f'{_KHR}:ROTATION': np.roll(quats, -1, axis=1),  # xyzw
    f'{_KHR}:SCALE': scales,
    f'{_KHR}:OPACITY': opacities[:, None],
  }
  for k in range(sh.shape[1]):
    degree = int(np.sqrt(k))
    attributes[f'{_KHR}:SH_DEGREE_{degree}_COEF_{k - degree**2}'] = sh[:, k]
  arrays = [x.astype('<f4') for x in attributes.values()]
  scene = _gltf(list(attributes), arrays)
  text = json.dumps(scene, separators=(',', ':')).encode('ascii')
  text += b' ' * (-len(text) % 4)
  body = b''.join(x.tobytes() for x in arrays)
  size = 12 + 8 + len(text) + 8 + len(body)
  header = struct.pack('<4sII', b'glTF', 2, size)
  json_header = struct.pack('<I4s', len(text), b'JSON')
  body_header = struct.pack('<I4s', len(body), b'BIN\0')
  write_whole(path, header + json_header + text + body_header + body)


def _gltf(names: list[str], arrays: list[np.ndarray]) -> dict:
  """Describes one cloud of splats, its arrays [N, C] one after the other."""
  ends = np.cumsum([x.nbytes for x in arrays]).tolist()
  views = [
    {
      'buffer': 0,
      'byteOffset': end - x.nbytes,
      'byteLength': x.nbytes,
      'target': _VERTICES,
    }
    for x, end in zip(arrays, ends, strict=True)
  ]
  accessors = [
    {
      'bufferView': i,
      'componentType': _FLOAT,
      'count': len(x),
      'type': {1: 'SCALAR', 3: 'VEC3', 4: 'VEC4'}[x.shape[1]],
    }
    for i, x in enumerate(arrays)
  ]
  accessors[0]['min'] = arrays[0].min(axis=0).tolist()
  accessors[0]['max'] = arrays[0].max(axis=0).tolist()
  primitive = {
    'mode': _POINTS,
    'attributes': {name: i for i, name in enumerate(names)},
    'extensions': {
      _KHR: {'kernel': 'ellipse', 'colorSpace': 'srgb_rec709_display'}
    },
  }
  return {
    'asset': {'version': '2.0', 'generator': 'sr3d_jax'},
    'extensionsUsed': [_KHR],
    'scene': 0,
    'scenes': [{'nodes': [0]}],
    'nodes': [{'mesh': 0, 'rotation': [1, 0, 0, 0]}],  # xyzw
    'meshes': [{'primitives': [primitive]}],
    'accessors': accessors,
    'bufferViews': views,
    'buffers': [{'byteLength': ends[-1]}],
  }


def _activated(gaussians: Gaussians) -> tuple[np.ndarray, ...]:
  """Means, scales, unit quats, opacities and sh of the visible splats."""
  opacities = np.asarray(gaussians.opacities)
  visible = opacities >= ALPHA_MIN
  quats = quantized.unit(np.asarray(gaussians.quats)[visible])
  means, scales, sh = (
    np.asarray(x)[visible]
    for x in (gaussians.means, gaussians.scales, gaussians.sh)
  )
  return means, scales, quats, opacities[visible], sh
