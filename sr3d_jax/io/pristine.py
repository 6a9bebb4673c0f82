"""What good photographs are like: the statistics that NIQE compares with.

They come with NIQE and not with this code: `niqe_pris_params.npz` of BasicSR,
which holds what the authors' MATLAB file holds.
"""

import os
import zipfile

import numpy as np

PATH = 'weights/niqe/niqe_pris_params.npz'  # below the data folder
_SHAPES = {'mu_pris_param': (1, 36), 'cov_pris_param': (36, 36)}


def load(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
  """Reads the model of pristine photographs.

  Args:
    path: of the npz file.

  Returns:
    Mean [36] and covariance [36, 36] of the features of `niqe`.
  """
  try:
    with np.load(path, allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
  except (ValueError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(
      f'{path} is no npz of plain arrays ({error}): fetch it anew'
    ) from error
  shapes = {name: array.shape for name, array in arrays.items()}
  if not _SHAPES.items() <= shapes.items():
    raise ValueError(
      f"{path} must hold {_SHAPES}, got {shapes}: is it NIQE's file?"
    )
  mean, covariance = (arrays[name].astype(np.float64) for name in _SHAPES)
  return mean[0], covariance
