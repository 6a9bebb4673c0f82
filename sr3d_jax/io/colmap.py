"""COLMAP's models, and points for known cameras, through pycolmap (an extra).

Photos whose cameras are known get points without moving the cameras: features
are found, matched between all pairs and triangulated.
"""

import hashlib
import importlib.util
import io
import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from sr3d_jax.files import write_whole
from sr3d_jax.types import Array, Camera, Views, only_pinholes

CACHE = pathlib.Path('~/.cache/sr3d_jax/points')


def is_available() -> bool:
  """Whether pycolmap can be imported."""
  return importlib.util.find_spec('pycolmap') is not None


class Photo(NamedTuple):
  """One registered image of a model."""

  name: str
  world_to_cam: np.ndarray  # [4, 4]
  focal: tuple[float, float]  # px
  center: tuple[float, float]  # px
  size: tuple[int, int]  # width, height
  lens: Callable[[np.ndarray], np.ndarray] | None  # see `lenses`


def read_model(
  folder: str | os.PathLike,
) -> tuple[list[Photo], np.ndarray, np.ndarray]:
  """Reads a COLMAP model, binary or text.

  Args:
    folder: holds `cameras`, `images` and `points3D`.

  Returns:
    The photos sorted by name, [P, 3] points, [P, 3] colours in [0, 1].
  """
  if not is_available():
    raise ImportError('reading COLMAP models wants pip install sr3d_jax[data]')
  pycolmap = importlib.import_module('pycolmap')
  model = pycolmap.Reconstruction(str(folder))
  photos = [
    _photo(image, model.cameras[image.camera_id])
    for image in model.images.values()
    if image.has_pose
  ]
  found = list(model.points3D.values())
  points = np.array([p.xyz for p in found], np.float32).reshape(-1, 3)
  colors = np.array([p.color for p in found], np.float32).reshape(-1, 3) / 255
  return sorted(photos, key=lambda photo: photo.name), points, colors


def _photo(image, camera) -> Photo:
  """A pycolmap image and its camera; only a lens still asks pycolmap."""
  if not camera.is_perspective():
    raise ValueError(
      f'{image.name} has camera model {camera.model.name}, which no pinhole '
      'comes near: cut the panorama into perspective photos first'
    )
  pose = np.eye(4)
  pose[:3] = image.cam_from_world().matrix()
  return Photo(
    name=image.name,
    world_to_cam=pose,
    focal=(camera.focal_length_x, camera.focal_length_y),
    center=(camera.principal_point_x, camera.principal_point_y),
    size=(camera.width, camera.height),
    lens=None if _is_pinhole(camera) else _lens(camera),
  )


def _is_pinhole(camera) -> bool:
  """Whether straight lines stay straight; fisheyes without terms bend them."""
  return camera.is_undistorted() and camera.is_perspective_pinhole()


def _lens(camera) -> Callable[[np.ndarray], np.ndarray]:
  """Any camera model as a function of the plane z = 1, [..., 2] to [..., 2]."""
  focal = np.array([camera.focal_length_x, camera.focal_length_y])
  center = np.array([camera.principal_point_x, camera.principal_point_y])

  def lens(plane: np.ndarray) -> np.ndarray:
    rays = np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1)
    pixels = camera.img_from_cam(rays.reshape(-1, 3))
    return ((pixels - center) / focal).reshape(plane.shape)

  return lens


def triangulate(
  views: Views, *, cache: str | os.PathLike = CACHE
) -> tuple[Array, Array]:
  """Finds points that posed views share; the poses stay as they are.

  Args:
    views: [V, H, W, 3] pinhole views.
    cache: folder that keeps the result under a hash of the views.

  Returns:
    [P, 3] points, scene units, and [P, 3] colours in [0, 1]; P is 0 where
    nothing matches.
  """
  only_pinholes(views.cameras, 'triangulate')
  images = np.round(255 * np.asarray(views.images)).astype(np.uint8)
  path = pathlib.Path(cache).expanduser() / f'{_digest(images, views)}.npz'
  if not path.exists():
    with tempfile.TemporaryDirectory() as folder:
      points, colors = _triangulate(pathlib.Path(folder), images, views.cameras)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, points=points, colors=colors)
    write_whole(path, buffer.getvalue())
  with np.load(path) as file:
    return file['points'], file['colors'].astype(np.float32) / 255


def _triangulate(
  folder: pathlib.Path, images: np.ndarray, cameras: Camera
) -> tuple[np.ndarray, np.ndarray]:
  """Points [P, 3] float32 and colours [P, 3] uint8."""
  pycolmap = importlib.import_module('pycolmap')
  pycolmap.logging.minloglevel = pycolmap.logging.ERROR.value
  photos, database = folder / 'photos', folder / 'database.db'
  photos.mkdir()
  for i, image in enumerate(images):
    Image.fromarray(image).save(photos / f'{i:05d}.png')
  pycolmap.extract_features(
    database, photos, camera_mode=pycolmap.CameraMode.PER_IMAGE
  )
  _set_intrinsics(pycolmap, database, cameras)
  pycolmap.match_exhaustive(database)
  model = _posed_model(pycolmap, database, cameras)
  (folder / 'model').mkdir()
  model = pycolmap.triangulate_points(model, database, photos, folder / 'model')
  found = list(model.points3D.values())
  return (
    np.array([p.xyz for p in found], np.float32).reshape(-1, 3),
    np.array([p.color for p in found], np.uint8).reshape(-1, 3),
  )


def _set_intrinsics(pycolmap, database: pathlib.Path, cameras: Camera) -> None:
  """Replaces guessed intrinsics by known ones, before geometry is verified."""
  with pycolmap.Database.open(database) as opened:
    for image in opened.read_all_images():
      i = int(image.name[:5])
      camera = pycolmap.Camera(
        model='PINHOLE',
        width=cameras.width,
        height=cameras.height,
        params=[*map(float, cameras.focal[i]), *map(float, cameras.center[i])],
        camera_id=image.camera_id,
      )
      camera.has_prior_focal_length = True
      opened.update_camera(camera)


def _posed_model(pycolmap, database: pathlib.Path, cameras: Camera):
  """A reconstruction without points that holds the known poses."""
  model = pycolmap.Reconstruction()
  with pycolmap.Database.open(database) as opened:
    for camera in opened.read_all_cameras():
      model.add_camera_with_trivial_rig(camera)
    for image in opened.read_all_images():
      pose = np.asarray(cameras.world_to_cam[int(image.name[:5])], np.float64)
      rotation = pycolmap.Rotation3d(pose[:3, :3])
      model.add_image_with_trivial_frame(
        image, pycolmap.Rigid3d(rotation, pose[:3, 3])
      )
  return model


def _digest(images: np.ndarray, views: Views) -> str:
  """Names the views by their content."""
  cameras = views.cameras
  digest = hashlib.sha256(images.tobytes())
  for values in (cameras.world_to_cam, cameras.focal, cameras.center):
    digest.update(np.asarray(values, np.float32).tobytes())
  return digest.hexdigest()[:24]
