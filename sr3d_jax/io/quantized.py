"""What files of splats keep in 8 or 10 bits, as the values that are learnt."""

import numpy as np

C0 = 0.5 / np.sqrt(np.pi)  # the harmonic of degree 0

# Code 255 stands for every alpha above 254.5/255, code 0 for all below 0.5/255.
MAX_LOGIT = float(np.log(2 * 255 - 1))

# Where w, x, y and z lie in (three smaller, largest), by the largest of them.
_PLACES = np.array([[3, 0, 1, 2], [0, 3, 1, 2], [0, 1, 3, 2], [0, 1, 2, 3]])


def logits(codes: np.ndarray) -> np.ndarray:
  """Turns alphas of 8 bits [N] into logits, all finite: log(α / (1 - α)).

  Alpha 0 and 1 would be infinite, where no gradient moves them, so that they
  count as half a step from there: 0.5/255 and 254.5/255.
  """
  alphas = np.clip(np.arange(256) / 255, 0.5 / 255, 254.5 / 255)
  return np.log(alphas / (1 - alphas)).astype(np.float32)[codes]


def harmonics(colors: np.ndarray) -> np.ndarray:
  """Turns colours [..., 3], about [0, 1], into harmonics of degree 0."""
  return ((colors - 0.5) / C0).astype(np.float32)


def with_largest(three: np.ndarray, index: np.ndarray) -> np.ndarray:
  """Completes unit quaternions whose largest entry was left out.

  Args:
    three: [N, 3] the others, in order.
    index: [N] which was left out, 0 to 3; it is positive.

  Returns:
    [N, 4] of length 1.
  """
  square = np.maximum(1 - (three**2).sum(axis=1, keepdims=True), 0)
  four = np.concatenate([three, np.sqrt(square)], axis=1)
  return unit(np.take_along_axis(four, _PLACES[index], axis=1))


def unit(quats: np.ndarray) -> np.ndarray:
  """Scales quaternions [N, 4], wxyz, to length 1; zeros mean no rotation."""
  norms = np.linalg.norm(quats, axis=1, keepdims=True)
  upright = np.array([1, 0, 0, 0], quats.dtype)
  whole = np.where(norms > 0, quats / np.where(norms > 0, norms, 1), upright)
  return whole.astype(np.float32)
