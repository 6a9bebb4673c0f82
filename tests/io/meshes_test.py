"""Meshes are read as their formats mean them, or said to be spoilt."""

import numpy as np
import pytest

from sr3d_jax import raycast
from sr3d_jax.io import images, meshes

trimesh = pytest.importorskip('trimesh')

SQUARE = """mtllib {mtl}
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0.5 0
vt 1 0
vt 1 1
vt 0.5 1
vt 0 0
vt 0 1
usemtl paint
f 1/1 2/2 3/3
f 1/5 3/4 4/6
"""
TEXTURE = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]])


def _write(folder, *, texture='the picture.png', mtl='paint.mtl', line=None):
  """A textured square whose diagonal is a seam of its texture."""
  images.save(folder / 'the picture.png', TEXTURE.astype(np.uint8))
  line = f'map_Kd {texture}' if line is None else line
  (folder / 'paint.mtl').write_text(f'newmtl paint\nKd 0.5 0.5 0.5\n{line}\n')
  (folder / 'square.obj').write_text(SQUARE.format(mtl=mtl))
  return folder / 'square.obj'


def _read(path):
  (piece,) = meshes.load(path)
  return piece


def test_an_obj_keeps_its_texture_on_both_sides_of_a_seam(tmp_path):
  mesh, normals, is_painted = _read(_write(tmp_path))
  assert is_painted
  np.testing.assert_array_equal(mesh.textures[0], TEXTURE)
  np.testing.assert_array_equal(mesh.colors, np.ones((6, 3)))
  assert len(mesh.vertices) == 6  # of which two lie where others do
  first, second = mesh.uv[mesh.faces]
  np.testing.assert_allclose(first, [[0.5, 0], [1, 0], [1, 1]])
  np.testing.assert_allclose(second, [[0, 0], [0.5, 1], [0, 1]])
  np.testing.assert_allclose(
    mesh.vertices[mesh.faces[1]], [[0, 0, 0], [1, 1, 0], [0, 1, 0]]
  )
  np.testing.assert_allclose(normals, np.tile([0, 0, 1.0], (6, 1)), atol=1e-6)


def test_a_colour_of_the_material_stands_where_there_is_no_picture(tmp_path):
  piece = _read(_write(tmp_path, line=''))
  assert not piece.is_painted
  np.testing.assert_array_equal(piece.mesh.textures[0], raycast.WHITE)
  np.testing.assert_allclose(piece.mesh.colors, 0.5)


@pytest.mark.parametrize('suffix', ['ply', 'stl', 'off'])
def test_a_mesh_without_colours_is_grey(tmp_path, suffix):
  path = tmp_path / f'ball.{suffix}'
  ball = trimesh.creation.icosphere(subdivisions=1)
  ball.export(path)
  piece = _read(path)
  assert not piece.is_painted and len(piece.mesh.faces) == len(ball.faces)
  np.testing.assert_allclose(piece.mesh.colors, meshes.GREY)
  outwards = np.sum(piece.normals * piece.mesh.vertices, axis=-1)
  assert outwards.min() > 0.9


def test_colours_of_vertices_and_of_faces_are_read(tmp_path):
  box = trimesh.creation.box()
  colors = np.arange(32, dtype=np.uint8).reshape(8, 4) * 8
  box.visual.vertex_colors = colors
  box.export(tmp_path / 'vertices.ply')
  piece = _read(tmp_path / 'vertices.ply')
  assert piece.is_painted
  np.testing.assert_allclose(piece.mesh.colors, colors[:, :3] / 255)

  box = trimesh.creation.box()
  box.visual.face_colors = np.arange(48, dtype=np.uint8).reshape(12, 4) * 5
  faces = meshes._painted(box, np.array(box.vertices), False, 'box')[0]
  assert faces.vertices.shape == (36, 3)
  np.testing.assert_array_equal(
    faces.vertices[faces.faces], box.vertices[box.faces]
  )
  np.testing.assert_allclose(
    255 * faces.colors[faces.faces[:, 1]], box.visual.face_colors[:, :3]
  )


def test_parts_of_a_glb_are_moved_and_their_linear_colours_brought_to_srgb(
  tmp_path,
):
  square = trimesh.Trimesh(
    [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]], [[0, 1, 2], [0, 2, 3]],
    process=False,
  )  # fmt: skip
  material = trimesh.visual.material.PBRMaterial(
    baseColorFactor=[128, 255, 0, 255]
  )
  square.visual = trimesh.visual.TextureVisuals(
    uv=np.zeros((4, 2)), material=material
  )
  mirror = np.diag([-2.0, 2, 2, 1])
  mirror[:3, 3] = [0, 0, 5]
  scene = trimesh.Scene()
  scene.add_geometry(square, node_name='here')
  scene.add_geometry(square, node_name='there', transform=mirror)
  scene.export(tmp_path / 'two.glb')
  here, there = sorted(
    meshes.load(tmp_path / 'two.glb'), key=lambda p: p.mesh.vertices[0, 2]
  )
  np.testing.assert_allclose(here.mesh.colors[0], [0.737, 1, 0], atol=1e-3)
  np.testing.assert_allclose(
    there.mesh.vertices, here.mesh.vertices * [-2, 2, 2] + np.array([0, 0, 5])
  )
  for piece in (here, there):  # wound anew by the mirror
    a, b, c = piece.mesh.vertices[piece.mesh.faces[0]]
    assert np.cross(b - a, c - a)[2] > 0
    np.testing.assert_allclose(piece.normals[0], [0, 0, 1], atol=1e-6)


@pytest.mark.parametrize('has_material', [False, True])
def test_linear_colours_of_a_glb_s_vertices_are_brought_to_srgb(
  tmp_path, has_material
):
  box = trimesh.creation.box()
  colors = np.full((8, 4), 255, np.uint8)
  colors[0, :3] = 0, 55, 128
  box.visual.vertex_colors = colors
  if has_material:
    box.visual = trimesh.visual.TextureVisuals(
      uv=np.zeros((8, 2)), material=trimesh.visual.material.PBRMaterial()
    )
    box.visual.vertex_attributes['color'] = colors
  box.export(tmp_path / 'box.glb')
  piece = _read(tmp_path / 'box.glb')
  assert piece.is_painted
  darkest = piece.mesh.colors[piece.mesh.colors.sum(-1).argmin()]
  np.testing.assert_allclose(darkest, [0, 0.502, 0.737], atol=1e-3)


def test_a_glb_s_texture_stands_as_that_of_an_obj(tmp_path):
  path = _write(tmp_path)
  trimesh.load_scene(path, process=False).export(tmp_path / 'square.glb')
  obj, glb = _read(path).mesh, _read(tmp_path / 'square.glb').mesh
  np.testing.assert_allclose(glb.uv[glb.faces], obj.uv[obj.faces], atol=1e-6)
  np.testing.assert_array_equal(glb.textures[0], obj.textures[0])


def _spoil(folder, kind):
  """A file that is no mesh, or none that can be drawn."""
  path = _write(folder)
  if kind == 'texture':
    (folder / 'the picture.png').unlink()
  elif kind == 'cut':
    data = (folder / 'the picture.png').read_bytes()
    (folder / 'the picture.png').write_bytes(data[:40])
  elif kind == 'mtl':
    (folder / 'paint.mtl').unlink()
  elif kind == 'points':
    path = folder / 'points.ply'
    trimesh.PointCloud(np.eye(3)).export(path)
  elif kind == 'text':
    path = folder / 'letter.ply'
    path.write_text('dear reader')
  elif kind == 'half':
    path = folder / 'ball.glb'
    data = trimesh.creation.icosphere().export(file_type='glb')
    path.write_bytes(data[: len(data) // 2])
  elif kind == 'suffix':
    path = folder / 'square.txt'
    path.write_text(SQUARE)
  elif kind == 'nan':
    path.write_text(path.read_text().replace('v 1 1 0', 'v 1 nan 0'))
  elif kind == 'empty':
    path.write_text('')
  elif kind == 'folder':
    path = folder
  return path


@pytest.mark.parametrize(
  'kind, told',
  [
    ('texture', r"square\.obj wants 'the picture\.png', which is not below"),
    ('cut', r"square\.obj wants 'the picture\.png', .* not a readable image"),
    ('mtl', r"square\.obj wants 'paint\.mtl', which is not below"),
    ('points', r'points\.ply has no faces \(it holds PointCloud'),
    ('half', r'ball\.glb is no mesh .*expected a whole file'),
    ('text', r'letter\.ply is no mesh that trimesh reads'),
    (
      'suffix',
      r'square\.txt is no mesh .*expected a whole file, \.glb.*\.obj',
    ),
    ('nan', r'square\.obj.* has 2 of 6 vertices that are not finite'),
    ('empty', r'square\.obj (has no faces|is no mesh)'),
    ('folder', 'is a folder: root should name a mesh'),
  ],
)
def test_bad_files_are_told(kind, told, tmp_path):
  with pytest.raises((ValueError, FileNotFoundError), match=told):
    meshes.load(_spoil(tmp_path, kind))


def test_a_file_that_is_not_there_is_told(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'nosuch\.obj does not exist'):
    meshes.load(tmp_path / 'nosuch.obj')
