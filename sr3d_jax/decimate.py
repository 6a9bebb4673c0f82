"""Makes a mesh coarse and keeps its picture: a budget of triangles.

The shape goes by quadric error metrics (Garland and Heckbert 1997), which know
nothing of textures and would tear at their seams. So the triangles are welded
by place, and what was painted on the fine surface is baked anew: each coarse
triangle gets a cell of one texture, every texel of it the colour of the nearest
point of the fine mesh.
"""

import numpy as np
from scipy import spatial

from sr3d_jax.raycast import Mesh, library, surface_colors

FEWEST = 4  # triangles: a tetrahedron, the least that closes
TEXELS = 1 << 20  # of the new texture, half of which triangles use
SIDES = (3, 128)  # texels, of a triangle's cell
SAMPLES = 1 << 18  # of the fine surface, among which neighbours are looked for
NEIGHBOURS = 4
CHUNK = 1 << 16  # texels at a time, for memory


def decimate(mesh: Mesh, max_faces: int) -> Mesh:
  """Brings a mesh to at most `max_faces` triangles.

  Args:
    mesh: of any textures.
    max_faces: at least 4.

  Returns:
    The mesh as it is where it has no more; otherwise one whose triangles share
    no vertices and have one texture.
  """
  if max_faces < FEWEST:
    raise ValueError(
      f'max_faces must be at least {FEWEST}, a tetrahedron, got {max_faces}'
    )
  if len(mesh.faces) <= max_faces:
    return mesh
  corners = _simplify(*_weld(mesh), max_faces)
  cell = int(np.sqrt(TEXELS / len(corners)))
  return bake(mesh, corners, int(np.clip(cell, *SIDES)))


def bake(mesh: Mesh, corners: np.ndarray, cell: int) -> Mesh:
  """Paints triangles with what is nearest to them on a mesh.

  Cells lie row by row in a nearly square texture. A cell's texel (i, j) is at
  the place a + (b - a) i / n + (c - a) j / n of its triangle, n = cell - 1, so
  that a lookup between the corners' texels never meets another cell; those just
  beyond the long side are painted for the lookups next to it.

  Args:
    mesh: what is painted.
    corners: [F, 3, 3] triangles to paint.
    cell: texels along each side of a triangle's cell, at least 2.

  Returns:
    A mesh of F triangles, each with its own vertices.
  """
  num_faces, last = len(corners), cell - 1
  i, j = np.meshgrid(np.arange(cell), np.arange(cell))
  is_used = i + j <= last + 1
  weights = np.stack([last - i - j, i, j], axis=-1)[is_used] / last
  places = np.einsum('tc,fcd->ftd', weights, corners)
  colors = surface_colors(mesh, *nearest(mesh, places.reshape(-1, 3)))

  across = int(np.ceil(np.sqrt(num_faces)))
  down = -(-num_faces // across)
  cells = np.zeros((down * across, cell, cell, 3), np.uint8)
  texels = (255 * colors + 0.5).astype(np.uint8)
  cells[:num_faces, is_used] = texels.reshape(num_faces, -1, 3)
  texture = cells.reshape(down, across, cell, cell, 3).swapaxes(1, 2)
  texture = texture.reshape(down * cell, across * cell, 3)

  row, column = np.divmod(np.arange(num_faces), across)
  starts = np.stack([column, row], axis=-1)[:, None] * cell + 0.5
  pixels = starts + np.array([[0, 0], [last, 0], [0, last]])
  uv = pixels / texture.shape[1::-1]
  uv[..., 1] = 1 - uv[..., 1]
  return Mesh(
    vertices=corners.reshape(-1, 3),
    faces=np.arange(3 * num_faces).reshape(-1, 3),
    colors=np.ones((3 * num_faces, 3)),
    uv=uv.reshape(-1, 2),
    textures=(texture,),
    texture_index=np.zeros(num_faces, int),
  )


def nearest(mesh: Mesh, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Finds the point of a mesh that is nearest to each of `points` [P, 3].

  Exact for each triangle that is looked at: those that hold the samples of the
  surface next to the point. Between so many samples others hardly come nearer.

  Returns:
    [P] int faces and [P, 3] weights of their vertices.
  """
  triangles = library('trimesh').triangles
  corners = np.asarray(mesh.vertices, np.float64)[mesh.faces]
  face, samples = _samples(corners)
  tree = spatial.cKDTree(samples)
  faces, weights = [], []
  for start in range(0, len(points), CHUNK):
    chunk = points[start : start + CHUNK]
    found = tree.query(chunk, min(NEIGHBOURS, len(samples)), workers=-1)[1]
    candidates = face[found.reshape(len(chunk), -1)]
    towards = np.repeat(chunk, candidates.shape[1], axis=0)
    met = triangles.closest_point(corners[candidates.ravel()], towards)
    distance = np.linalg.norm(met - towards, axis=-1)
    best = distance.reshape(candidates.shape).argmin(axis=1)
    rows = np.arange(len(chunk))
    faces.append(candidates[rows, best])
    met = met.reshape(*candidates.shape, 3)[rows, best]
    weights.append(_weights(corners[faces[-1]], met))
  return np.concatenate(faces), np.concatenate(weights)


def _weld(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
  """Vertices [N, 3] and triangles [F, 3], those at one place made one."""
  vertices, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
  faces = index.reshape(-1)[mesh.faces]
  is_flat = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
  faces = faces[~is_flat]
  sides = np.diff(vertices[faces], axis=1)
  if not np.cross(sides[:, 0], sides[:, 1]).any():
    raise ValueError(
      f'none of the {len(mesh.faces)} triangles has an area, so that nothing '
      'of them could be kept: all corners of each should be at places of their '
      'own, not on one line'
    )
  return vertices, faces


def _simplify(
  vertices: np.ndarray, faces: np.ndarray, max_faces: int
) -> np.ndarray:
  """Triangles [F, 3, 3], F at most `max_faces`."""
  num_faces = len(faces)
  if num_faces <= max_faces:  # the others were no triangles
    return vertices[faces]
  vertices, faces = library('fast_simplification').simplify(
    vertices, faces.astype(np.int32), target_count=max_faces
  )
  if not len(faces):
    raise ValueError(
      f'nothing is left of the mesh of {num_faces} triangles at max_faces '
      f'{max_faces}: they lie on each other, or their parts are smaller than '
      'that; ask for more, or leave the mesh as it is'
    )
  if len(faces) > max_faces:
    raise ValueError(
      f'max_faces is {max_faces}, but the mesh of {num_faces} triangles came '
      f'down to {len(faces)} only: its parts and borders want more, ask for '
      'more'
    )
  return vertices[faces]


def _samples(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Each triangle's middle, and others by area: faces [S], points [S, 3]."""
  rng = np.random.default_rng(0)
  sides = corners[:, 1:] - corners[:, :1]
  area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=-1)
  share = area / area.sum() if area.sum() > 0 else None
  face = rng.choice(len(corners), SAMPLES, p=share)
  weights = rng.dirichlet((1, 1, 1), SAMPLES)  # even over a triangle
  points = np.einsum('sc,scd->sd', weights, corners[face])
  middles = corners.mean(axis=1)
  return np.append(np.arange(len(corners)), face), np.append(
    middles, points, axis=0
  )


def _weights(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
  """Weights [P, 3] of triangles' corners [P, 3, 3] at points that they hold."""
  a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
  p = points - corners[:, 0]
  normal = np.cross(a, b)
  square = np.maximum((normal**2).sum(axis=-1), np.finfo(float).tiny)
  u = (np.cross(p, b) * normal).sum(axis=-1) / square
  v = (np.cross(a, p) * normal).sum(axis=-1) / square
  weights = np.clip(np.stack([1 - u - v, u, v], axis=-1), 0, 1)
  return weights / weights.sum(axis=-1, keepdims=True)
