"""PLY files: splats in the layout of 3D Gaussian Splatting, and point clouds.

A splat is one row of little-endian float32: x y z, nx ny nz (zero), f_dc_0..2,
f_rest_*, opacity, scale_0..2, rot_0..3; 62 columns at degree 3. It keeps the
unconstrained values (log scales, opacity logits, wxyz), and f_rest runs through
all the coefficients of red first, then of green, then of blue.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from sr3d_kernels.rasterize.constants import ALPHA_MIN

from sr3d_jax.files import write_whole
from sr3d_jax.types import Array, Gaussians

# A renderer skips what covers less of a pixel than one grey level, so a
# splat whose peak is below that is never seen: sigmoid(logit) < 1/255.
MIN_VISIBLE_LOGIT = -np.log(1 / ALPHA_MIN - 1)

_ENDIAN = {'binary_little_endian': '<', 'binary_big_endian': '>', 'ascii': '<'}
_DTYPES = {
  'char': 'i1', 'uchar': 'u1', 'short': 'i2', 'ushort': 'u2',
  'int': 'i4', 'uint': 'u4', 'float': 'f4', 'double': 'f8',
  'int8': 'i1', 'uint8': 'u1', 'int16': 'i2', 'uint16': 'u2',
  'int32': 'i4', 'uint32': 'u4', 'float32': 'f4', 'float64': 'f8',
}  # fmt: skip


def save(
  path: str | os.PathLike,
  gaussians: Gaussians,
  *,
  drop_invisible: bool = False,
) -> None:
  """Writes splats; the same splats always give the same bytes.

  The file appears whole or not at all.

  Args:
    path: where to; an existing file is replaced.
    gaussians: [N], spherical harmonics of degree 0 to 3.
    drop_invisible: leaves out those whose opacity is below 1/255.
  """
  arrays = [
    np.asarray(x, np.float32)
    for x in (
      gaussians.means,
      gaussians.sh,
      gaussians.opacity_logits,
      gaussians.log_scales,
      gaussians.quats,
    )
  ]
  if drop_invisible:
    visible = ~(arrays[2] < MIN_VISIBLE_LOGIT)
    arrays = [x[visible] for x in arrays]
  means, sh, opacity_logits, log_scales, quats = arrays
  count, num_coefficients, _ = sh.shape
  if num_coefficients not in (1, 4, 9, 16):
    raise ValueError(
      'sh must hold 1, 4, 9 or 16 coefficients (degree 0 to 3), got shape '
      f'{sh.shape}: pad it with zeros to the next degree.'
    )
  num_rest = 3 * (num_coefficients - 1)
  rest = sh[:, 1:].transpose(0, 2, 1).reshape(count, num_rest)
  columns = [means, np.zeros_like(means), sh[:, 0], rest]
  columns += [opacity_logits[:, None], log_scales, quats]
  rows = np.concatenate(columns, axis=1).astype('<f4')
  properties = ''.join(f'property float {x}\n' for x in _names(num_rest))
  header = (
    'ply\nformat binary_little_endian 1.0\n'
    f'element vertex {count}\n{properties}end_header\n'
  )
  write_whole(path, header.encode('ascii') + rows.tobytes())


def load(path: str | os.PathLike) -> Gaussians:
  """Reads splats written by `save` or by any program of the 3DGS family."""
  return decode(path, read_elements(path))


def decode(
  path: str | os.PathLike, elements: Mapping[str, Mapping[str, np.ndarray]]
) -> Gaussians:
  """Takes splats from the columns that `read_elements` gives of a file."""
  vertex = elements['vertex']
  num_rest = sum(name.startswith('f_rest_') for name in vertex)
  if num_rest not in (0, 9, 24, 45):
    raise ValueError(
      f'{path} has {num_rest} f_rest columns; degrees 0 to 3 have 0, 9, 24 or '
      '45: was it written by a program with another layout?'
    )
  missing = [x for x in _names(num_rest) if x not in vertex and x[0] != 'n']
  if missing:
    raise ValueError(
      f'{path} has no columns {", ".join(missing)}, so it does not hold '
      'splats; read a plain point cloud with load_points.'
    )
  dc = _stack(vertex, 'f_dc_0', 'f_dc_1', 'f_dc_2')
  rest = _stack(vertex, *(f'f_rest_{i}' for i in range(num_rest)))
  rest = rest.reshape(len(dc), 3, num_rest // 3).transpose(0, 2, 1)
  return Gaussians(
    means=jnp.asarray(_stack(vertex, 'x', 'y', 'z')),
    log_scales=jnp.asarray(_stack(vertex, 'scale_0', 'scale_1', 'scale_2')),
    quats=jnp.asarray(_stack(vertex, 'rot_0', 'rot_1', 'rot_2', 'rot_3')),
    opacity_logits=jnp.asarray(vertex['opacity'].astype(np.float32)),
    sh=jnp.asarray(np.concatenate([dc[:, None], rest], axis=1)),
  )


def load_points(path: str | os.PathLike) -> tuple[Array, Array]:
  """Reads a point cloud, binary or ASCII.

  Returns:
    points [P, 3] and their colours [P, 3] in [0, 1]; mid-grey where the file
    has no red, green and blue.
  """
  vertex = read_elements(path)['vertex']
  missing = [x for x in 'xyz' if x not in vertex]
  if missing:
    raise ValueError(
      f'{path} has no columns {", ".join(missing)}, so it holds no points; '
      f'it has {", ".join(vertex) or "none"}.'
    )
  points = _stack(vertex, 'x', 'y', 'z')
  if not {'red', 'green', 'blue'} <= vertex.keys():
    return jnp.asarray(points), jnp.full(points.shape, 0.5, jnp.float32)
  colors = _stack(vertex, 'red', 'green', 'blue')
  if vertex['red'].dtype.kind in 'iu':
    colors = colors / np.float32(np.iinfo(vertex['red'].dtype).max)
  return jnp.asarray(points), jnp.asarray(colors)


def read_elements(
  path: str | os.PathLike,
) -> dict[str, dict[str, np.ndarray]]:
  """Reads the columns of a file's elements, in the file's own types.

  Returns:
    {element: {column: [rows]}} in the order of the file, `vertex` among them;
    elements from the first with lists on, such as faces, are left out.
  """
  data = Path(path).read_bytes()
  head, found, body = data.partition(b'end_header')
  if not data.startswith(b'ply') or not found:
    raise ValueError(f'{path} is not a PLY file: it starts with {data[:16]!r}.')
  body = body[body.index(b'\n') + 1 :]
  layout, elements = _parse_header(path, head.decode('ascii', 'replace'))
  rows = body.splitlines() if layout == 'ascii' else memoryview(body)
  tables = {}
  for element, (count, columns) in elements.items():
    unknown = [f'{v} {k}' for k, v in columns.items() if v not in _DTYPES]
    if unknown and 'vertex' in tables:
      break
    if unknown:
      raise ValueError(
        f'{path} has {element} columns of unknown type: {unknown}.'
      )
    dtype = np.dtype(
      [(k, _ENDIAN[layout] + _DTYPES[v]) for k, v in columns.items()]
    )
    take = _take_lines if layout == 'ascii' else _take_bytes
    try:
      tables[element], num_found, rows = take(rows, count, dtype)
    except ValueError as error:
      raise ValueError(
        f'{path} has {element} {error}: was it cut short, or edited? Write or '
        'fetch it again.'
      ) from error
    if num_found < count:
      plural = 'vertices' if element == 'vertex' else f'rows of {element}'
      raise ValueError(
        f'{path} promises {count} {plural} and holds {num_found}: it was cut '
        'short; write or fetch it again.'
      )
  if 'vertex' not in tables:
    raise ValueError(f'{path} has no vertices, only {list(elements)}.')
  return tables


def _names(num_rest: int) -> list[str]:
  """Column names in the order of the file."""
  return [
    *('x', 'y', 'z', 'nx', 'ny', 'nz', 'f_dc_0', 'f_dc_1', 'f_dc_2'),
    *(f'f_rest_{i}' for i in range(num_rest)),
    *('opacity', 'scale_0', 'scale_1', 'scale_2'),
    *('rot_0', 'rot_1', 'rot_2', 'rot_3'),
  ]


def _stack(vertex: Mapping[str, np.ndarray], *names: str) -> np.ndarray:
  """[N, len(names)] float32; [N, 0] for no names."""
  count = len(next(iter(vertex.values())))
  columns = [vertex[x].astype(np.float32) for x in names]
  return np.stack(columns, axis=1) if columns else np.zeros((count, 0), 'f4')


def _take_bytes(
  body: memoryview, count: int, dtype: np.dtype
) -> tuple[dict[str, np.ndarray], int, memoryview]:
  """Columns of `count` rows or fewer, how many there were, and the rest."""
  num_found = min(count, len(body) // max(dtype.itemsize, 1))
  size = num_found * dtype.itemsize
  rows = np.frombuffer(body[:size], dtype) if size else np.empty(0, dtype)
  return {x: rows[x] for x in dtype.names}, num_found, body[size:]


def _take_lines(
  lines: list[bytes], count: int, dtype: np.dtype
) -> tuple[dict[str, np.ndarray], int, list[bytes]]:
  """The same of lines of text, one a row."""
  rows = [line.split() for line in lines[:count]]
  for i, row in enumerate(rows):
    if len(row) != len(dtype):
      raise ValueError(f'{i} with {len(row)} values of {len(dtype)}')
  try:
    table = np.array(rows, np.float64).reshape(-1, len(dtype))
  except ValueError as error:
    raise ValueError(f'rows that are not all numbers ({error})') from error
  columns = {x: table[:, i].astype(dtype[x]) for i, x in enumerate(dtype.names)}
  return columns, len(table), lines[count:]


def _parse_header(
  path: str | os.PathLike, head: str
) -> tuple[str, dict[str, tuple[int, dict[str, str]]]]:
  """Finds the format, and each element's count and {column: type}."""
  layout, elements = '', {}
  for words in map(str.split, head.splitlines()):
    if words[:1] == ['format']:
      layout = words[1]
    elif words[:1] == ['element']:
      columns = {}
      elements[words[1]] = int(words[2]), columns
    elif words[:1] == ['property']:
      columns[words[-1]] = ' '.join(words[1:-1])
  if layout not in _ENDIAN:
    raise ValueError(f'{path} has format {layout!r}, want {sorted(_ENDIAN)}.')
  return layout, elements
