"""What a lens does to a picture, and a pinhole's picture in its place.

A lens is a function of the plane z = 1, from where a pinhole would see points
to where they are seen; [..., 2] to [..., 2], not a number where a point has no
image. Any camera model fits: its focal lengths and centre are not the lens's.
"""

from collections.abc import Callable

import numpy as np
import scipy.ndimage

Lens = Callable[[np.ndarray], np.ndarray]


def opencv(
  k1: float = 0.0,
  k2: float = 0.0,
  p1: float = 0.0,
  p2: float = 0.0,
  k3: float = 0.0,
) -> Lens | None:
  """Makes the lens of OpenCV's five coefficients; None where all are zero.

  x' = x (1 + k1 r² + k2 r⁴ + k3 r⁶) + 2 p1 x y + p2 (r² + 2 x²), and y' the
  same with x, y and p1, p2 exchanged.
  """
  if not any((k1, k2, p1, p2, k3)):
    return None

  def lens(plane: np.ndarray) -> np.ndarray:
    x, y = plane[..., 0], plane[..., 1]
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return np.stack(
      [
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y * y),
      ],
      axis=-1,
    )

  return lens


def undistort(
  image: np.ndarray, focal: np.ndarray, center: np.ndarray, lens: Lens
) -> tuple[np.ndarray, np.ndarray]:
  """Resamples a photo (cubic spline) as a pinhole of the same focal sees it.

  Args:
    image: [H, W, C].
    focal: [2] px.
    center: [2] px.
    lens: see above.

  Returns:
    [H, W, C], and [H, W] bool, false where the photo does not reach.
  """
  height, width = image.shape[:2]
  x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
  plane = (np.stack([x, y], axis=-1) - center) / focal
  source = lens(plane) * focal + center
  is_inside = ((source >= 0) & (source <= (width, height))).all(axis=-1)
  is_inside &= _is_unfolded(source, center)
  source = np.nan_to_num(source)
  rows_columns = np.stack([source[..., 1], source[..., 0]]) - 0.5

  def resample(plane):
    if np.ptp(plane) == 0:
      return plane
    return scipy.ndimage.map_coordinates(plane, rows_columns, mode='nearest')

  planes = [resample(image[..., c]) for c in range(image.shape[-1])]
  return np.stack(planes, axis=-1), is_inside


def _is_unfolded(source: np.ndarray, center: np.ndarray) -> np.ndarray:
  """[H, W] bool: around the axis, as far as the lens keeps its orientation.

  Far from the axis a polynomial turns back and images the photo's inside again;
  the fold, where the Jacobian's determinant changes its sign, closes a region.
  """
  height, width = source.shape[:2]
  xy_by_row, xy_by_column = np.gradient(source, axis=(0, 1))
  area = (
    xy_by_column[..., 0] * xy_by_row[..., 1]
    - xy_by_column[..., 1] * xy_by_row[..., 0]
  )
  regions, _ = scipy.ndimage.label(area > 0)
  column, row = np.clip(center, 0, (width - 1, height - 1)).astype(int)
  return (area > 0) & (regions == regions[row, column])
