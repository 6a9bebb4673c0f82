"""A file or a folder says which scene reads it."""

import pytest

from sr3d_jax import inputs

PLY = b'ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\n'


def _file(folder, name, data=b'x'):
  path = folder / name
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(data)
  return path


@pytest.mark.parametrize(
  'name, scene',
  [
    ('cow.OBJ', 'mesh'),
    ('duck.glb', 'mesh'),
    ('bike.spz', 'splats'),
    ('bike.splat', 'splats'),
    ('field.npz', 'nerf'),
  ],
)
def test_an_ending_tells_the_scene(tmp_path, name, scene):
  assert inputs.scene_name(_file(tmp_path, name)) == scene


@pytest.mark.parametrize(
  'lines, scene',
  [
    (b'property float opacity\n', 'splats'),
    (b'element chunk 2\n', 'splats'),
    (b'element face 12\n', 'mesh'),
    (b'element face 12\nproperty uchar opacity\n', 'splats'),
  ],
)
def test_the_header_of_a_ply_tells_the_scene(tmp_path, lines, scene):
  path = _file(tmp_path, 'a.ply', PLY + lines + b'end_header\n\xff\xfe')
  assert inputs.scene_name(path) == scene


@pytest.mark.parametrize(
  'inside, scene',
  [
    ('transforms.json', 'transforms_json'),
    ('transforms_train.json', 'blender'),
    ('poses_bounds.npy', 'llff'),
    ('sparse/0/cameras.bin', 'colmap'),
    ('cam_extrinsics.pkl', 'supergaussian'),
    ('a.jpg', 'photos'),
  ],
)
def test_what_lies_in_a_folder_tells_the_scene(tmp_path, inside, scene):
  _file(tmp_path, inside)
  assert inputs.scene_name(tmp_path) == scene


@pytest.mark.parametrize(
  'name, data, told',
  [
    ('a.ply', PLY + b'end_header\n', 'neither faces nor opacities, only elem'),
    ('a.ply', PLY + b'element face 0\nend_header\n', 'points alone show no'),
    ('a.ply', b'\0' * 90, 'only bytes'),
    ('a.txt', b'x', 'the ending .txt, wanted a mesh'),
    ('model', b'x', 'the ending of nothing'),
  ],
)
def test_what_nothing_reads_is_told(tmp_path, name, data, told):
  with pytest.raises(ValueError, match=told):
    inputs.scene_name(_file(tmp_path, name, data))


def test_an_empty_folder_and_a_stray_key_are_told(tmp_path):
  with pytest.raises(ValueError, match='holds nothing that is known'):
    inputs.scene_name(tmp_path)
  with pytest.raises(ValueError, match=r'got up: .*config\.scene\.mesh\.up'):
    inputs.scene_section({'root': 'a.obj', 'up': (0, 0, 1)})


def test_a_section_takes_what_its_kind_is_told_and_nothing_else(tmp_path):
  root = str(_file(tmp_path, 'cow.obj'))
  keys = {
    'name': 'any',
    'root': root,
    'mesh': {'num_views': 7, 'max_faces': None},
    'splats': {'num_views': 9},
  }
  assert inputs.scene_section(keys) == {
    'name': 'mesh', 'root': root, 'num_views': 7,
  }  # fmt: skip
