"""Compressed PLY of PlayCanvas and SuperSplat: 16 bytes a splat, and harmonics.

A PLY file of two or three elements: `chunk` holds the bounds of each 256
splats; `vertex` has four numbers of 32 bits a splat, whose parts are fractions
of the way from the chunk's least to its greatest value; `sh`, where there are
harmonics, has 8 bits a coefficient. Axes are those of the PLY that was
compressed. The layout is that of the reader in playcanvas/splat-transform.
"""

import os
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from sr3d_jax.io import quantized
from sr3d_jax.types import Gaussians

CHUNK = 256  # splats

_PACKED = (
  'packed_position',
  'packed_rotation',
  'packed_scale',
  'packed_color',
)


def decode(
  path: str | os.PathLike, elements: Mapping[str, Mapping[str, np.ndarray]]
) -> Gaussians:
  """Takes splats from the elements of a file that has `chunk`.

  Alphas of 0 and 1 become finite logits, as `quantized.logits` says.

  Args:
    path: for messages.
    elements: {element: {column: [rows]}}, as `ply.read_elements` gives them.

  Returns:
    [N] with harmonics of degree 0 to 3.
  """
  chunk, vertex = elements['chunk'], elements['vertex']
  has_colors = 'min_r' in chunk  # older files keep them in [0, 1]
  bounded = ['x y z', 'scale_x scale_y scale_z', *['r g b'] * has_colors]
  names = [
    f'{end}_{x}' for end in ('min', 'max') for x in ' '.join(bounded).split()
  ]
  _check_columns(path, 'chunk', chunk, names, 'f')
  _check_columns(path, 'vertex', vertex, _PACKED, 'u')
  count = len(vertex['packed_position'])
  num_chunks = len(chunk['min_x'])
  if num_chunks != -(-count // CHUNK):
    raise ValueError(
      f'{path} has {num_chunks} chunks for {count} splats, want one for each '
      f'{CHUNK}: it is not as SuperSplat writes it; write it again.'
    )
  where = np.arange(count) // CHUNK
  position, rotation, scale, color = (vertex[x] for x in _PACKED)
  fractions = _fields(color, 24, 16, 8) & 255
  colors = fractions / np.float32(255)
  if has_colors:
    colors = _within(chunk, 'r g b', where, colors)
  rotations = (_fields(rotation, 20, 10, 0) & 1023) / np.float32(1023) - 0.5
  dc = quantized.harmonics(colors)[:, None]
  rest = _rest(path, elements.get('sh', {}), count)
  return Gaussians(
    means=jnp.asarray(_within(chunk, 'x y z', where, _thirds(position))),
    log_scales=jnp.asarray(
      _within(chunk, 'scale_x scale_y scale_z', where, _thirds(scale))
    ),
    quats=jnp.asarray(
      quantized.with_largest(rotations * np.float32(2**0.5), rotation >> 30)
    ),
    opacity_logits=jnp.asarray(quantized.logits(color & 255)),
    sh=jnp.asarray(np.concatenate([dc, rest], axis=1)),
  )


def _check_columns(path, element, columns, names, kind) -> None:
  """Raises where columns are missing or not of 32 bits of their kind."""
  wrong = [x for x in names if x not in columns]
  wrong += [
    x for x in names if x in columns and columns[x].dtype.str[1:] != kind + '4'
  ]
  if wrong:
    raise ValueError(
      f'{path} has chunks as compressed splats have, but its {element} lacks '
      f'{", ".join(wrong)} of type {"float" if kind == "f" else "uint"}; it '
      f'has {", ".join(columns) or "none"}.'
    )


def _fields(packed: np.ndarray, *shifts: int) -> np.ndarray:
  """[N, len(shifts)] the bits of [N] from each shift up."""
  return packed[:, None] >> np.array(shifts, np.uint32)


def _thirds(packed: np.ndarray) -> np.ndarray:
  """[N, 3] fractions in [0, 1], of 11, 10 and 11 bits."""
  most = np.array([2047, 1023, 2047], np.uint32)
  return (_fields(packed, 21, 11, 0) & most) / most.astype(np.float32)


def _within(chunk, names: str, where: np.ndarray, fractions) -> np.ndarray:
  """[N, 3] values that lie `fractions` of the way between a chunk's bounds."""
  low, high = (
    np.stack([chunk[f'{end}_{x}'] for x in names.split()], axis=1)[where]
    for end in ('min', 'max')
  )
  return low * (1 - fractions) + high * fractions


def _rest(path, columns: Mapping[str, np.ndarray], count: int) -> np.ndarray:
  """[N, K - 1, 3] harmonics above degree 0, from columns of 8 bits.

  All of red come first, then of green, then of blue. A code is the middle of
  one of 256 equal steps of [-4, 4], the first and the last its ends.
  """
  num_rest = len(columns)
  names = [f'f_rest_{i}' for i in range(num_rest)]
  if num_rest not in (0, 9, 24, 45) or not set(names) <= columns.keys():
    raise ValueError(
      f'{path} has the columns {", ".join(columns)} in its element sh, want '
      'f_rest_0 and on, 9, 24 or 45 of them (degree 1 to 3).'
    )
  if not num_rest:
    return np.zeros((count, 0, 3), np.float32)
  codes = np.stack([columns[x] for x in names], axis=1)
  if codes.shape[0] != count or codes.dtype != np.uint8:
    raise ValueError(
      f'{path} has {len(codes)} harmonics of type {codes.dtype} for {count} '
      'splats, want as many of type uint8.'
    )
  steps = (np.arange(256) + 0.5) / 256
  steps[[0, 255]] = 0, 1
  values = ((steps - 0.5) * 8).astype(np.float32)
  return values[codes].reshape(count, 3, num_rest // 3).transpose(0, 2, 1)
