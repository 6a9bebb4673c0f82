"""Casts rays at textured triangle meshes: pictures, alpha and exact depths.

A surface shows its texture times its vertex colours, the same from everywhere:
what is to be super-resolved must not change with the view. `lit` paints light
onto a mesh that would be a flat silhouette. Arrays are numpy, on the host;
Embree finds the triangles, through trimesh and embreex, which are imported when
they are needed. Light is added up on display (sRGB) values, so that the mean
over a block of pixels is the picture of a coarser camera.
"""

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from operator import itemgetter
from types import ModuleType
from typing import NamedTuple

import jax
import numpy as np

from sr3d_jax.types import Camera, only_pinholes

WHITE = np.full((1, 1, 3), 255, np.uint8)  # a texture that changes nothing
MAX_RAYS = 1 << 20  # at a time: about 200 MB
AMBIENT = 0.25  # of the light comes from everywhere
LAMP = (0.6, 1.0, 0.4)  # towards it, as east, up and north


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mesh:
  """Triangles and what is painted on them.

  Attributes:
    vertices: [N, 3] scene units.
    faces: [F, 3] int, vertices of each triangle.
    colors: [N, 3] in [0, 1]; they multiply the texture.
    uv: [N, 2] places in the texture, right and up from its lower left corner,
      of which the whole is 1 wide and 1 high; it repeats.
    textures: [h, w, 3] uint8 each.
    texture_index: [F] int, the texture of each triangle.
  """

  vertices: np.ndarray
  faces: np.ndarray
  colors: np.ndarray
  uv: np.ndarray
  textures: tuple[np.ndarray, ...]
  texture_index: np.ndarray


class Hits(NamedTuple):
  """The first triangle along each of R rays."""

  face: np.ndarray  # [R] int; -1 where nothing is met
  weights: np.ndarray  # [R, 3] of its vertices; they sum to 1
  depth: np.ndarray  # [R] ray parameter; infinite where nothing is met


class Pictures(NamedTuple):
  """What cameras see."""

  image: np.ndarray  # [..., H, W, 3] in [0, 1], on the background
  alpha: np.ndarray  # [..., H, W] the share of a pixel that is covered
  depth: np.ndarray  # [..., H, W] z at its centre, infinite where nothing is


def library(name: str) -> ModuleType:
  """Imports what meshes need beyond the core, or says how to get it."""
  try:
    return importlib.import_module(name)
  except ImportError as error:
    raise ImportError(
      f'meshes want {name}, which cannot be imported ({error}): pip install '
      "'sr3d_jax[data]'"
    ) from error


def caster(mesh: Mesh) -> Callable[[np.ndarray, np.ndarray], Hits]:
  """Builds the tree of a mesh once.

  Returns:
    A function of origins [R, 3] and directions [R, 3], of any length.
  """
  embree = library('trimesh.ray.ray_pyembree')
  tree = embree.RayMeshIntersector(
    library('trimesh').Trimesh(mesh.vertices, mesh.faces, process=False)
  )
  corners = np.asarray(mesh.vertices, np.float64)[mesh.faces]

  def cast(origins, directions):
    face = tree.intersects_first(origins, directions)
    is_met = face >= 0
    weights = np.zeros((len(face), 3))
    depth = np.full(len(face), np.inf)
    weights[is_met], depth[is_met] = _meet(
      corners[face[is_met]], origins[is_met], directions[is_met]
    )
    return Hits(face=face, weights=weights, depth=depth)

  return cast


def surface_colors(
  mesh: Mesh, face: np.ndarray, weights: np.ndarray
) -> np.ndarray:
  """Colours [R, 3] in [0, 1] at weights [R, 3] of the vertices of faces [R]."""
  corners = mesh.faces[face]
  uv = np.einsum('rc,rcd->rd', weights, mesh.uv[corners])
  colors = np.einsum('rc,rcd->rd', weights, mesh.colors[corners])
  index = mesh.texture_index[face]
  for i in np.unique(index):
    is_here = index == i
    colors[is_here] *= look_up(mesh.textures[i], uv[is_here])
  return colors


def look_up(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
  """Interpolates a repeating texture [h, w, 3] of uint8 bilinearly.

  The texel in row j, column i has its centre at u = (i + 1/2) / w and, since v
  points up, v = 1 - (j + 1/2) / h.

  Args:
    texture: [h, w, 3] uint8.
    uv: [R, 2].

  Returns:
    [R, 3] in [0, 1].
  """
  height, width = texture.shape[:2]
  x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
  left, top = np.floor(x).astype(int), np.floor(y).astype(int)
  x, y = (x - left)[:, None], (y - top)[:, None]
  columns = left % width, (left + 1) % width
  rows = top % height, (top + 1) % height
  upper = (1 - x) * texture[rows[0], columns[0]]
  upper += x * texture[rows[0], columns[1]]
  lower = (1 - x) * texture[rows[1], columns[0]]
  lower += x * texture[rows[1], columns[1]]
  return ((1 - y) * upper + y * lower) / 255


def render(
  mesh: Mesh,
  camera: Camera,
  *,
  supersample: int = 4,
  background: Sequence[float] = (0.0, 0.0, 0.0),
) -> Pictures:
  """Draws one view.

  Args:
    mesh: what there is.
    camera: one pinhole.
    supersample: samples along each side of a pixel.
    background: colour where a ray meets nothing.

  Returns:
    The picture; colours are averaged premultiplied with alpha.
  """
  return _draw(mesh, caster(mesh), camera, supersample, background)


def render_views(mesh: Mesh, cameras: Camera, **keys) -> Pictures:
  """Draws cameras with a leading V; `keys` are those of `render`."""
  cast = caster(mesh)
  keys = {'supersample': 4, 'background': (0.0, 0.0, 0.0), **keys}
  views = [
    _draw(mesh, cast, jax.tree.map(itemgetter(i), cameras), **keys)
    for i in range(len(cameras.world_to_cam))
  ]
  return Pictures(*(np.stack(planes) for planes in zip(*views)))


def pixel_centers(camera: Camera) -> np.ndarray:
  """[H, W, 2] positions (x, y) of the pixels' centres, px."""
  columns, rows = np.arange(camera.width), np.arange(camera.height)
  return np.stack(np.meshgrid(columns, rows), axis=-1) + 0.5


def camera_rays(
  camera: Camera, pixels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """World rays through image positions, in float64.

  Args:
    camera: one pinhole.
    pixels: [..., 2] positions (x, y), px; a pixel's centre is at + 1/2.

  Returns:
    [R, 3] origins and [R, 3] directions whose z in the camera is 1, so that the
    ray's parameter is the depth.
  """
  only_pinholes(camera, 'camera_rays')
  pose = np.asarray(camera.world_to_cam, np.float64)
  plane = (pixels.reshape(-1, 2) - camera.center) / camera.focal
  local = np.concatenate([plane, np.ones_like(plane[:, :1])], axis=-1)
  directions = np.asarray(local, np.float64) @ pose[:3, :3]
  origin = -pose[:3, 3] @ pose[:3, :3]
  return np.broadcast_to(origin, directions.shape), directions


def lit(mesh: Mesh, normals: np.ndarray, up: Sequence[float]) -> Mesh:
  """Paints the light of one distant lamp, which stays where it is.

  A + (1 - A) (1 + n l) / 2, half Lambert: no side of the mesh is black, and
  none is flat, whichever way its triangles are wound.

  Args:
    mesh: as it is painted.
    normals: [N, 3] unit, or 0.
    up: the lamp hangs on this side, a little aside.

  Returns:
    The mesh with its colours darkened where they look away from the lamp.
  """
  up = np.asarray(up) / np.linalg.norm(up)
  east = np.cross(up, np.eye(3)[np.abs(up).argmin()])
  east = east / np.linalg.norm(east)
  lamp = np.asarray(LAMP) @ np.stack([east, up, np.cross(up, east)])
  cosine = normals @ (lamp / np.linalg.norm(lamp))
  light = AMBIENT + (1 - AMBIENT) * 0.5 * (1 + cosine)
  return dataclasses.replace(mesh, colors=mesh.colors * light[:, None])


def join(meshes: Sequence[Mesh]) -> Mesh:
  """Makes one mesh of several; each keeps its textures."""
  num_vertices = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
  num_textures = np.cumsum([0] + [len(mesh.textures) for mesh in meshes])

  faces = [mesh.faces + i for mesh, i in zip(meshes, num_vertices)]
  indices = [mesh.texture_index + i for mesh, i in zip(meshes, num_textures)]
  return Mesh(
    vertices=np.concatenate([mesh.vertices for mesh in meshes]),
    faces=np.concatenate(faces),
    colors=np.concatenate([mesh.colors for mesh in meshes]),
    uv=np.concatenate([mesh.uv for mesh in meshes]),
    textures=tuple(x for mesh in meshes for x in mesh.textures),
    texture_index=np.concatenate(indices),
  )


def _draw(
  mesh: Mesh,
  cast: Callable,
  camera: Camera,
  supersample: int,
  background: Sequence[float],
) -> Pictures:
  """Draws a block of rows after the other, for memory."""
  if supersample < 1:
    raise ValueError(f'supersample must be at least 1, got {supersample}')
  side = (np.arange(supersample) + 0.5) / supersample - 0.5
  offsets = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
  centers = pixel_centers(camera)
  step = max(1, MAX_RAYS // (camera.width * len(offsets)))
  image, alpha, depth = [], [], []
  for first in range(0, camera.height, step):
    block = centers[first : first + step]
    hits = cast(*camera_rays(camera, block[:, :, None] + offsets))
    is_met = hits.face >= 0
    color = np.zeros((len(is_met), 3))
    color[is_met] = surface_colors(
      mesh, hits.face[is_met], hits.weights[is_met]
    )
    image.append(color.reshape(*block.shape[:2], -1, 3).mean(axis=2))
    alpha.append(is_met.reshape(*block.shape[:2], -1).mean(axis=2))
    middle = cast(*camera_rays(camera, block))
    depth.append(middle.depth.reshape(block.shape[:2]))
  image, alpha, depth = (
    np.concatenate(x).astype(np.float32) for x in (image, alpha, depth)
  )
  image += (1 - alpha[..., None]) * np.float32(background)
  return Pictures(image=np.clip(image, 0, 1), alpha=alpha, depth=depth)


def _meet(
  corners: np.ndarray, origins: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Weights [R, 3] and ray parameters [R] on triangles [R, 3, 3].

  Möller and Trumbore 1997, "Fast, minimum storage ray/triangle intersection",
  in float64: Embree, which chose the triangles, computes in float32.
  """
  first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
  start = origins - corners[:, 0]
  across, around = np.cross(directions, second), np.cross(start, first)
  scale = _dot(first, across)
  scale = np.where(scale == 0, np.finfo(float).tiny, scale)
  u, v = _dot(start, across) / scale, _dot(directions, around) / scale
  weights = np.clip(np.stack([1 - u - v, u, v], axis=-1), 0, 1)
  weights /= weights.sum(axis=-1, keepdims=True)
  return weights, _dot(second, around) / scale


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  return np.einsum('...i,...i->...', a, b)
