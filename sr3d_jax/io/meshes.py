"""Reads meshes (.obj, .glb, .gltf, .ply, .stl, .off and the like) by trimesh.

What a file paints is kept as a display shows it: pictures and colours of .obj
and .ply are sRGB; glTF's factors and vertex colours are linear, and are brought
to sRGB here. Transparency, gloss and bumps are left out.
"""

import dataclasses
import io
import os
import pathlib
import warnings
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sr3d_jax.raycast import WHITE, Mesh, library

GREY = 0.8  # of a mesh that says nothing of its colour


class Piece(NamedTuple):
  """One mesh of a file, where the file puts it."""

  mesh: Mesh
  normals: np.ndarray  # [N, 3] unit, or 0: of the file, or of its triangles
  is_painted: bool  # by a texture, or by colours of vertices or faces


def load(path: str | os.PathLike) -> list[Piece]:
  """Reads every mesh of a file, moved to its place in the whole.

  Args:
    path: the file. Textures that it names are looked for below its folder.

  Returns:
    At least one piece, each with at least one triangle.
  """
  path = pathlib.Path(path)
  if not path.exists():
    raise FileNotFoundError(
      f'{path} does not exist: root should name a mesh file, absolute or below '
      'the data folder'
    )
  if not path.is_file():
    raise ValueError(f'{path} is a folder: root should name a mesh file')
  trimesh = library('trimesh')
  files = _Files(path)
  try:
    # Not maintain_order: it would give a vertex on a seam one place of two.
    scene = trimesh.load_scene(path, resolver=_resolver(files), process=False)
  except Exception as error:  # trimesh lets through whatever its readers meet
    files.check()
    raise ValueError(
      f'{path} is no mesh that trimesh reads: {error} (expected a whole file, '
      '.glb, .gltf, .obj, .off, .ply or .stl by name and content)'
    ) from error
  files.check()
  is_linear = path.suffix.lower() in ('.glb', '.gltf')
  pieces, others = [], []
  for node in scene.graph.nodes_geometry:
    transform, name = scene.graph[node]
    geometry = scene.geometry[name]
    if isinstance(geometry, trimesh.Trimesh) and len(geometry.faces):
      where = f'{path} ({name})'
      pieces.append(_piece(geometry, transform, is_linear, where))
    else:
      others.append(f'{type(geometry).__name__} {geometry}')
  if not pieces:
    raise ValueError(
      f'{path} has no faces (it holds {"; ".join(others) or "nothing"}): '
      'expected a whole mesh of triangles; points alone have no surface'
    )
  return pieces


class _Files:
  """The files that a mesh names beside itself, and what is wrong with them."""

  def __init__(self, path: pathlib.Path):
    self.path = path
    self.missing = []
    self.broken = []

  def note(self, name: str, data: bytes | None) -> None:
    """Takes down a file that was asked for; None: it is not there."""
    if data is None:
      self.missing.append(name)
    elif pathlib.PurePath(name.strip()).suffix.lower() not in ('.mtl', '.bin'):
      try:
        Image.open(io.BytesIO(data)).load()
      except (OSError, ValueError, SyntaxError):
        self.broken.append(name)

  def check(self) -> None:
    """Raises for what trimesh would silently leave out."""
    if self.missing:
      raise FileNotFoundError(
        f'{self.path} wants {self.missing[0]!r}, which is not below '
        f'{self.path.parent}: put it there, or take the line that names it out'
      )
    if self.broken:
      raise ValueError(
        f'{self.path} wants {self.broken[0]!r}, which is not a readable image: '
        'was it cut short?'
      )


def _resolver(files: _Files) -> Any:
  """trimesh's own, that takes down what it is asked for."""

  class Resolver(library('trimesh.resolvers').FilePathResolver):
    def get(self, name):
      try:
        data = super().get(name)
      except (OSError, ValueError):
        files.note(name, None)
        raise
      files.note(name, data)
      return data

  return Resolver(str(files.path))


def _piece(
  geometry: Any, transform: np.ndarray, is_linear: bool, where: str
) -> Piece:
  """A piece of a trimesh."""
  faces = np.asarray(geometry.faces, np.int64)
  if faces.min() < 0 or faces.max() >= len(geometry.vertices):
    raise ValueError(
      f'{where} has triangles of vertices {faces.min()} to {faces.max()}, but '
      f'{len(geometry.vertices)} vertices: was the file cut short?'
    )
  _check_finite(np.asarray(geometry.vertices), where)
  turn, shift = transform[:3, :3], transform[:3, 3]
  vertices = np.asarray(geometry.vertices) @ turn.T + shift
  normals = np.asarray(geometry.vertex_normals) @ np.linalg.pinv(turn)
  mesh, is_painted = _painted(geometry, vertices, is_linear, where)
  if np.linalg.det(turn) < 0:
    mesh = dataclasses.replace(mesh, faces=mesh.faces[:, ::-1])
  length = np.linalg.norm(normals, axis=-1, keepdims=True)
  normals = normals / np.where(length > 0, length, 1)
  if len(mesh.vertices) != len(vertices):  # triangles have their own corners
    normals = normals[faces].reshape(-1, 3)
  return Piece(mesh=mesh, normals=normals, is_painted=is_painted)


def _painted(
  geometry: Any, vertices: np.ndarray, is_linear: bool, where: str
) -> tuple[Mesh, bool]:
  """The mesh with its colours, linear or not, and whether they vary."""
  faces = np.asarray(geometry.faces, np.int64)
  visual = geometry.visual
  texture, colors, uv = WHITE, np.full_like(vertices, GREY), None
  if visual.kind == 'texture':
    texture, color = _material(visual.material, where)
    colors = np.broadcast_to(color, vertices.shape)
    uv = visual.uv
    if uv is None and texture.size > 3:
      raise ValueError(
        f'{where} has a texture but no texture coordinates: expected one for '
        'each vertex'
      )
    extra = visual.vertex_attributes.get('color')
    if extra is not None:  # only glTF has both
      colors = colors * _srgb(_unit(extra))
  elif visual.kind == 'vertex':
    colors = _unit(visual.vertex_colors)
    colors = _srgb(colors) if is_linear else colors
  elif visual.kind == 'face':
    colors = np.repeat(_unit(visual.face_colors), 3, axis=0)
    vertices, faces = vertices[faces].reshape(-1, 3), _own_corners(faces)
  uv = np.zeros((len(vertices), 2)) if uv is None else np.asarray(uv, float)
  _check_finite(uv, f'{where}, in its texture coordinates,')
  mesh = Mesh(
    vertices=vertices,
    faces=faces,
    colors=np.asarray(colors, np.float64),
    uv=uv[:, :2],
    textures=(texture,),
    texture_index=np.zeros(len(faces), int),
  )
  return mesh, bool(texture.size > 3 or np.ptp(colors, axis=0).max() > 0)


def _material(material: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
  """A texture [h, w, 3] uint8 and the colour [3] that multiplies it, sRGB.

  The product of two sRGB values is nearly that of the linear ones in sRGB: the
  curve is nearly a power.
  """
  is_gltf = hasattr(material, 'baseColorTexture')
  if not is_gltf:  # MTL: where there is a picture it is shown as it is
    if material.image is not None:
      return np.asarray(material.image.convert('RGB')), np.ones(3)
    diffuse = material.kwargs.get('kd', (GREY,) * 3)
    return WHITE, np.clip(np.broadcast_to(diffuse, 3), 0, 1)
  if material.alphaMode not in (None, 'OPAQUE'):
    warnings.warn(
      f'{where} is in part transparent ({material.alphaMode}): it is drawn as '
      'if it were not',
      stacklevel=2,
    )
  factor = material.baseColorFactor
  color = np.ones(3) if factor is None else _srgb(_unit(factor))
  if material.baseColorTexture is None:
    return WHITE, color
  return np.asarray(material.baseColorTexture.convert('RGB')), color


def _unit(colors: Any) -> np.ndarray:
  """[..., 3] in [0, 1] of RGB or RGBA, integers or already in [0, 1]."""
  colors = np.asarray(colors)
  full = np.iinfo(colors.dtype).max if colors.dtype.kind in 'ui' else 1
  return np.clip(colors[..., :3] / full, 0, 1)


def _srgb(linear: np.ndarray) -> np.ndarray:
  """Brings linear light to display values (IEC 61966-2-1)."""
  bent = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
  return np.where(linear <= 0.0031308, 12.92 * linear, bent)


def _own_corners(faces: np.ndarray) -> np.ndarray:
  """Triangles [F, 3] that share no vertex."""
  return np.arange(faces.size).reshape(-1, 3)


def _check_finite(array: np.ndarray, where: str) -> None:
  is_finite = np.isfinite(array).all(axis=-1)
  if not is_finite.all():
    raise ValueError(
      f'{where} has {(~is_finite).sum()} of {len(array)} vertices that are not '
      f'finite, the first is vertex {np.argmin(is_finite)}: expected numbers'
    )
