"""Scenes that tests and benchmarks share: drawn by seed, made with numpy."""

import os
import pathlib
from typing import NamedTuple

import numpy as np

GARDEN = 'dev/scenes/garden_points/test_garden.npz'
GARDEN_SPLATS = 138_766
GARDEN_SIZE = (648, 420)  # width, height, px

BLUR = 0.3  # px^2, of the classic screen filter
NEAR = 0.01  # scene units
_JITTER = 0.02  # scene units, of a point's copies


class Spec(NamedTuple):
  """The arguments of one `rasterize` call.

  Attributes:
    splats: means2d, conics, opacities, features and depths.
    width: px.
    height: px.
    background: [C].
  """

  splats: tuple[np.ndarray, ...]
  width: int
  height: int
  background: np.ndarray

  @property
  def options(self) -> dict:
    """The keyword arguments."""
    return {
      'width': self.width,
      'height': self.height,
      'background': self.background,
    }


class Cloud(NamedTuple):
  """Gaussians in space, float64, and a pinhole that looks at them.

  Attributes:
    means: [N, 3] scene units.
    scales: [N, 3] standard deviations, scene units.
    quats: [N, 4] rotations, wxyz, not normalised.
    opacities: [N] in [0, 1].
    colors: [N, 3] in [0, 1].
    world_to_cam: [4, 4] x right, y down, z forward.
    intrinsics: [3, 3] px.
    width: px.
    height: px.
    background: [3].
  """

  means: np.ndarray
  scales: np.ndarray
  quats: np.ndarray
  opacities: np.ndarray
  colors: np.ndarray
  world_to_cam: np.ndarray
  intrinsics: np.ndarray
  width: int
  height: int
  background: np.ndarray


def conics_of(deviations: np.ndarray, angles: np.ndarray) -> np.ndarray:
  """[N, 3] conics of ellipses.

  Args:
    deviations: [N, 2] along the two axes, px.
    angles: [N] of the first axis from +x towards +y, radians.
  """
  cos, sin = np.cos(angles), np.sin(angles)
  a, b = 1 / np.moveaxis(deviations, -1, 0) ** 2
  xx, yy = a * cos**2 + b * sin**2, a * sin**2 + b * cos**2
  xy = (a - b) * cos * sin
  return np.stack([xx, xy, yy], axis=-1)


def make_random(
  seed: int,
  num_splats: int,
  width: int,
  height: int,
  channels: int = 3,
  dtype: type = np.float32,
) -> Spec:
  """Ellipses of 0.6 to 6 px around the image, a fifth of it outside."""
  rng = np.random.default_rng(seed)
  size = np.array([width, height])
  margin = 0.1 * size + 2
  means2d = rng.uniform(-margin, size + margin, (num_splats, 2))
  deviations = np.exp(rng.uniform(np.log(0.6), np.log(6), (num_splats, 2)))
  splats = (
    means2d,
    conics_of(deviations, rng.uniform(0, np.pi, num_splats)),
    rng.uniform(0.05, 0.95, num_splats),
    rng.normal(size=(num_splats, channels)),
    rng.uniform(1, 5, num_splats),
  )
  splats = tuple(x.astype(dtype) for x in splats)
  background = rng.uniform(size=channels).astype(dtype)
  return Spec(splats, width, height, background)


def garden_path() -> pathlib.Path | None:
  """The garden points under $SR3D_DATA or ./data, or None."""
  path = pathlib.Path(os.environ.get('SR3D_DATA', 'data')) / GARDEN
  return path if path.exists() else None


def load_garden(
  path: pathlib.Path,
  num_splats: int = GARDEN_SPLATS,
  seed: int = 0,
  size: tuple[int, int] = GARDEN_SIZE,
) -> Spec:
  """First view of the garden's points; the arguments are of `load_cloud`."""
  return project(load_cloud(path, num_splats, seed, size))


def load_cloud(
  path: pathlib.Path,
  num_splats: int = GARDEN_SPLATS,
  seed: int = 0,
  size: tuple[int, int] = GARDEN_SIZE,
) -> Cloud:
  """The garden's points, given random shapes and opacities, and its first view.

  Scales are uniform in [1e-4, 0.02] scene units, opacities in [0, 1], rotations
  uniform.

  Args:
    path: of `test_garden.npz`.
    num_splats: of a random order; beyond all it repeats, moved a little.
    seed: of the shapes and of the order.
    size: (width, height) px; a wider image is the same view, cut or extended
      above and below.
  """
  data = np.load(path)
  rng = np.random.default_rng(seed)
  total = len(data['means3d'])
  shapes = _random_shapes(rng, total)
  chosen = np.resize(rng.permutation(total), num_splats)
  means = data['means3d'][chosen].astype(np.float64)
  means[total:] += rng.normal(scale=_JITTER, size=means[total:].shape)
  ratio = size[0] / int(data['width'])
  intrinsics = data['Ks'][0].astype(np.float64)
  intrinsics[:2] *= ratio
  intrinsics[1, 2] += (size[1] - ratio * int(data['height'])) / 2
  return Cloud(
    means,
    *(x[chosen] for x in shapes),
    data['colors'][chosen] / 255,
    data['viewmats'][0].astype(np.float64),
    intrinsics,
    *size,
    np.array([0.1, 0.2, 0.3], np.float32),
  )


def make_cloud(seed: int, num_splats: int, size: tuple[int, int]) -> Cloud:
  """Random Gaussians before a camera at the origin, 1 to 5 units away."""
  rng = np.random.default_rng(seed)
  width, height = size
  focal = 0.75 * width
  intrinsics = np.array(
    [[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]
  )
  depths = rng.uniform(1, 5, (num_splats, 1))
  pixels = rng.uniform(-0.1, 1.1, (num_splats, 2)) * size
  slopes = (pixels - intrinsics[:2, 2]) / focal
  return Cloud(
    np.concatenate([slopes * depths, depths], axis=1),
    *_random_shapes(rng, num_splats),
    rng.uniform(size=(num_splats, 3)),
    np.eye(4),
    intrinsics,
    width,
    height,
    np.array([0.1, 0.2, 0.3], np.float32),
  )


def project(cloud: Cloud) -> Spec:
  """What the camera of a cloud sees."""
  means2d, conics, depths = _project(
    cloud.means,
    cloud.scales,
    cloud.quats,
    cloud.world_to_cam,
    cloud.intrinsics,
    np.array([cloud.width, cloud.height]),
  )
  splats = means2d, conics, cloud.opacities, cloud.colors, depths
  splats = tuple(x.astype(np.float32) for x in splats)
  return Spec(splats, cloud.width, cloud.height, cloud.background)


def _random_shapes(rng, num):
  """Scales, quaternions and opacities."""
  scales = rng.uniform(1e-4, 0.02, (num, 3))
  quats = rng.normal(size=(num, 4))
  return scales, quats, rng.uniform(size=num)


def _rotations(quats):
  """[N, 3, 3] of quaternions wxyz."""
  w, x, y, z = np.moveaxis(quats / np.linalg.norm(quats, axis=1)[:, None], 1, 0)
  rows = [
    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
  ]
  return np.moveaxis(np.array(rows), -1, 0)


def _project(means, scales, quats, world_to_cam, intrinsics, size):
  """means2d, conics, depths by the local affine approximation (EWA).

  It is taken at most 15% of the image outside it: without this bound points
  beside the camera would cover the whole view.
  """
  points = means @ world_to_cam[:3, :3].T + world_to_cam[:3, 3]
  depths = np.where(points[:, 2] > NEAR, points[:, 2], -1)
  slopes = points[:, :2] / depths[:, None]
  focal, center = np.diag(intrinsics)[:2], intrinsics[:2, 2]
  factor = world_to_cam[:3, :3] @ _rotations(quats) * scales[:, None, :]
  low, high = (-0.15 * size - center) / focal, (1.15 * size - center) / focal
  bounded = np.clip(slopes, low, high)
  rows = factor[:, :2] - bounded[:, :, None] * factor[:, 2:]
  rows *= (focal / depths[:, None])[:, :, None]
  covariance = rows @ rows.transpose(0, 2, 1) + BLUR * np.eye(2)
  inverse = np.linalg.inv(covariance)
  conics = np.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], 1)
  return slopes * focal + center, conics, depths
