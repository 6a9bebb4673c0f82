"""Scenes that tests and benchmarks share: drawn by seed, made with numpy."""

import os
import pathlib
from typing import NamedTuple

import numpy as np

GARDEN = 'dev/scenes/garden_points/test_garden.npz'

_BLUR = 0.3  # px^2, of the classic screen filter
_NEAR = 0.01  # scene units


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
  num_splats: int | None = None,
  seed: int = 0,
  scale: float = 1.0,
) -> Spec:
  """First view of the garden's points, given random shapes and opacities.

  Scales are uniform in [1e-4, 0.02] scene units, opacities in [0, 1], rotations
  uniform.

  Args:
    path: of `test_garden.npz`.
    num_splats: size of a random subset; None takes all.
    seed: of the shapes and of the subset.
    scale: of the image, 648 x 420 px at 1.
  """
  data = np.load(path)
  width, height = (round(scale * int(data[x])) for x in ('width', 'height'))
  intrinsics = data['Ks'][0].astype(np.float64)
  intrinsics[:2] *= scale
  rng = np.random.default_rng(seed)
  total = len(data['means3d'])
  scales = rng.uniform(1e-4, 0.02, (total, 3))
  quats = rng.normal(size=(total, 4))
  opacities = rng.uniform(size=total)
  chosen = rng.permutation(total)[:num_splats]
  means2d, conics, depths = _project(
    data['means3d'][chosen].astype(np.float64),
    scales[chosen],
    quats[chosen],
    data['viewmats'][0].astype(np.float64),
    intrinsics,
    np.array([width, height]),
  )
  splats = (
    means2d,
    conics,
    opacities[chosen],
    data['colors'][chosen] / 255,
    depths,
  )
  splats = tuple(x.astype(np.float32) for x in splats)
  return Spec(splats, width, height, np.array([0.1, 0.2, 0.3], np.float32))


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
  depths = np.where(points[:, 2] > _NEAR, points[:, 2], -1)
  slopes = points[:, :2] / depths[:, None]
  focal, center = np.diag(intrinsics)[:2], intrinsics[:2, 2]
  factor = world_to_cam[:3, :3] @ _rotations(quats) * scales[:, None, :]
  low, high = (-0.15 * size - center) / focal, (1.15 * size - center) / focal
  bounded = np.clip(slopes, low, high)
  rows = factor[:, :2] - bounded[:, :, None] * factor[:, 2:]
  rows *= (focal / depths[:, None])[:, :, None]
  covariance = rows @ rows.transpose(0, 2, 1) + _BLUR * np.eye(2)
  inverse = np.linalg.inv(covariance)
  conics = np.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], 1)
  return slopes * focal + center, conics, depths
