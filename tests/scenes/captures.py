"""Small captures on disk, one writer a format, for the tests beside this file.

Each writer takes a folder and cam_to_world poses [V, 4, 4] with OpenCV axes,
and returns the photos' paths, one a pose, for a test to spoil.
"""

import collections
import json
import pickle
import sys
import types

import jax
import numpy as np
from scipy.spatial.transform import Rotation

from sr3d_jax import geometry
from sr3d_jax.io import images, nerf_files, ply, weights
from sr3d_jax.models import radiance
from sr3d_jax.types import Camera, Gaussians

NUM_VIEWS = 9
SIZE = (12, 8)
FOCAL = 20.0


def photo(seed, channels=3, scale=1):
  """[H, W, channels] uint8 noise."""
  shape = (scale * SIZE[1], scale * SIZE[0], channels)
  return np.random.default_rng(seed).integers(0, 255, shape, np.uint8)


def circle(num_views=NUM_VIEWS):
  """[V, 4, 4] cameras on an arc that rises, all looking at the origin."""
  turn = 0.3 * np.arange(num_views)
  height = 1.0 + 0.1 * np.arange(num_views)
  eyes = np.stack([3 * np.cos(turn), 3 * np.sin(turn), height], axis=-1)
  poses = geometry.look_at(eyes, np.zeros(3), np.array([0.0, 0, 1]))
  return np.linalg.inv(np.asarray(poses, np.float64))


def opengl(pose):
  """A pose as NeRF captures write it."""
  return (pose @ np.diag([1.0, -1, -1, 1])).tolist()


def write_points(folder):
  """Two coloured points in a `points3D.ply`."""
  (folder / 'points3D.ply').write_text("""ply
format ascii 1.0
element vertex 2
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
end_header
0 0.5 1 255 0 0
-1 0 0 0 51 102
""")


def write_transforms(folder, poses, *, num_files=None, header=None, **keys):
  """nerfstudio's; `keys` go into every frame."""
  header = header or {'fl_x': FOCAL, 'fl_y': 21.0, 'cx': 5.5, 'cy': 4.5}
  paths = [folder / 'images' / f'{i}.png' for i in range(len(poses))]
  for i, path in enumerate(paths[:num_files]):
    images.save(path, photo(i))
  frames = [
    {
      'file_path': f'images/{path.name}',
      'transform_matrix': opengl(pose),
      **keys,
    }
    for path, pose in zip(paths, poses)
  ]
  text = json.dumps({**header, 'frames': frames})
  (folder / 'transforms.json').write_text(text)
  return paths


def write_llff(folder, poses):
  """`poses_bounds.npy` for photos four times as large as those in images_4."""
  rows, paths = [], []
  for i, pose in enumerate(poses):
    paths.append(folder / 'images_4' / f'{i}.png')
    images.save(paths[-1], photo(i))
    right, down, forward, eye = pose[:3].T
    hwf = np.array([4 * SIZE[1], 4 * SIZE[0], 4 * FOCAL])
    matrix = np.stack([down, right, -forward, eye, hwf], axis=1)
    rows.append(np.concatenate([matrix.ravel(), [1.0, 9.0]]))
  np.save(folder / 'poses_bounds.npy', np.array(rows))
  return paths


def write_blender(folder, poses):
  """Two splits of the same cameras; returns the training pictures' paths."""
  for split, channels in (('test', 3), ('train', 4)):
    paths = [folder / split / f'r_{i}.png' for i in range(len(poses))]
    for i, path in enumerate(paths):
      images.save(path, photo(i, channels))
    frames = [
      {'file_path': f'./{split}/{path.stem}', 'transform_matrix': opengl(pose)}
      for path, pose in zip(paths, poses)
    ]
    (folder / f'transforms_{split}.json').write_text(
      json.dumps({'camera_angle_x': 0.6, 'frames': frames})
    )
  return paths


def write_model(folder, names, poses):
  """A COLMAP model with one camera and two points."""
  import pycolmap

  model = pycolmap.Reconstruction()
  model.add_camera_with_trivial_rig(
    pycolmap.Camera(
      model='SIMPLE_PINHOLE',
      width=SIZE[0],
      height=SIZE[1],
      params=[FOCAL, SIZE[0] / 2, SIZE[1] / 2],
      camera_id=1,
    )
  )
  for i, (name, pose) in enumerate(zip(names, np.linalg.inv(poses))):
    model.add_image_with_trivial_frame(
      pycolmap.Image(name=name, camera_id=1, image_id=i + 1),
      pycolmap.Rigid3d(pycolmap.Rotation3d(pose[:3, :3]), pose[:3, 3]),
    )
  for point in np.eye(3)[:2]:
    color = np.array([255, 0, 51])
    model.add_point3D(point, pycolmap.Track(), color)
  folder.mkdir(parents=True)
  model.write(str(folder))


def write_colmap(folder, poses):
  """Photos beside a model in sparse/0."""
  paths = [folder / 'images' / f'{i}.png' for i in range(len(poses))]
  for i, path in enumerate(paths):
    images.save(path, photo(i))
  write_model(folder / 'sparse' / '0', [p.name for p in paths], poses)
  return paths


def write_supergaussian(folder, poses):
  """The released archive's layout; tuples are of a module that is gone.

  All poses are captured, all but the first are traj_1, but the last traj_0.
  Cameras are for photos of twice the size; names and numbers go backwards.
  """
  world_to_cam = np.linalg.inv(poses)
  clips = {'': world_to_cam, 'traj_0_': world_to_cam[:-1]}
  clips['traj_1_'] = world_to_cam[1:]
  paths = []
  for place, scale in (('LR_131072_gaussian', 1), ('HR_131072_gaussian', 4)):
    for j, (clip, clip_poses) in enumerate(clips.items()):
      for i in range(len(clip_poses)):
        file = folder / place / f'{clip}{i:03d}.png'
        side = 8 * scale
        images.save(file, photo(100 * j + i, scale=scale)[:side, :side])
        paths += [file] if not clip and scale > 1 else []
  kinds = {
    'Image': 'id qvec tvec camera_id name xys point3D_ids',
    'Camera': 'id model width height params',
  }
  module = types.ModuleType('a_loader_that_is_gone')
  for name, fields in kinds.items():
    setattr(module, name, collections.namedtuple(name, fields))
    getattr(module, name).__module__ = module.__name__
  size = 2 * SIZE[0], 2 * SIZE[1]
  params = np.array([2 * FOCAL, size[0] / 2 + 1, size[1] / 2 - 1, 0.01])
  trees = {'cam_intrinsics': {1: ('Camera', 1, 'SIMPLE_RADIAL', *size, params)}}
  trees['cam_extrinsics'] = {
    99 - i: ('Image', 99 - i, _quaternion(pose), pose[:3, 3], 1,
             f'{i + 1:03d}.jpg', np.zeros((0, 2)), np.zeros(0, int))
    for i, pose in reversed(list(enumerate(world_to_cam)))
  }  # fmt: skip
  sys.modules[module.__name__] = module
  for name, tree in trees.items():
    made = {k: getattr(module, v[0])(*v[1:]) for k, v in tree.items()}
    (folder / f'{name}.pkl').write_bytes(pickle.dumps(made))
  del sys.modules[module.__name__]
  points, colors = np.eye(3)[:2], np.uint8([[255, 0, 51], [0, 51, 102]])
  for name, array in (('xyz', points), ('rgb', colors)):
    (folder / f'{name}.pkl').write_bytes(pickle.dumps(array))
  (folder / 'novel_trajectory_poses').mkdir()
  for i in range(2):
    file = folder / 'novel_trajectory_poses' / f'{i:03d}.json'
    file.write_text(json.dumps(clips[f'traj_{i}_'].tolist()))
  return paths


def _quaternion(pose):
  """[4] wxyz of a pose, by SciPy."""
  return np.roll(Rotation.from_matrix(pose[:3, :3]).as_quat(), 1)


def write_splats(folder, poses):
  """Forty splats in scene.ply and their cameras; there are no photos."""
  rng = np.random.default_rng(0)
  ply.save(
    folder / 'scene.ply',
    Gaussians(
      means=rng.normal(size=(40, 3)),
      log_scales=np.full((40, 3), -2.0),
      quats=np.tile([1.0, 0, 0, 0], (40, 1)),
      opacity_logits=rng.choice([-np.inf, -2.0, 1.0, np.inf], 40),
      sh=rng.normal(size=(40, 4, 3)),
    ),
  )
  entries = [
    {
      'img_name': f'{i}.png',
      'width': SIZE[0],
      'height': SIZE[1],
      'position': pose[:3, 3].tolist(),
      'rotation': pose[:3, :3].tolist(),
      'fx': FOCAL,
      'fy': FOCAL,
    }
    for i, pose in enumerate(poses)
  ]
  (folder / 'cameras.json').write_text(json.dumps(entries))
  return []


def write_mesh(folder, poses=()):
  """A textured cube: `scene.obj`, its material and its picture."""
  del poses
  images.save(folder / 'paint.png', photo(0, scale=4))
  (folder / 'scene.mtl').write_text('newmtl paint\nmap_Kd paint.png\n')
  corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
  sides = ['1243', '5687', '1562', '3784', '1375', '2486']
  lines = ['mtllib scene.mtl', *('v {} {} {}'.format(*c) for c in corners)]
  lines += ['vt 0 0', 'vt 1 0', 'vt 1 1', 'vt 0 1', 'usemtl paint']
  for a, b, c, d in sides:
    lines += [f'f {a}/1 {b}/2 {c}/3', f'f {a}/1 {c}/3 {d}/4']
  (folder / 'scene.obj').write_text('\n'.join(lines))


def write_nerf(folder, poses, **keys):
  """An opaque block in the middle of what the cameras see: `nerf.npz`."""
  network = {
    'low': (-0.5, -0.4, -0.3),
    'high': (0.5, 0.4, 0.3),
    'background': (0.0, 0.0, 0.0),
    'resolution': 2,
    'density_channels': 2,
    'color_channels': 2,
    'hidden': 4,
    'proposal': 2,
    **keys,
  }
  params = jax.jit(radiance.make(**network).init)(jax.random.key(0))
  params = params | {
    name: np.full(params[name].shape, value)
    for name, value in {'planes': 1.5, 'lines': 1.5, 'coarse': 5.0}.items()
  }
  cameras = Camera(
    world_to_cam=np.linalg.inv(np.stack(poses)),
    focal=np.full((len(poses), 2), FOCAL),
    center=np.tile(np.array(SIZE) / 2, (len(poses), 1)),
    width=SIZE[0],
    height=SIZE[1],
  )
  nerf = nerf_files.Nerf(
    name='block',
    network=network,
    arrays=weights.flatten(params),
    cameras=cameras,
  )
  nerf_files.save(folder / 'nerf.npz', nerf)
