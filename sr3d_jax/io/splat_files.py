"""Reads splats of every format that is known, chosen by the file's name.

| name | format | axes |
|---|---|---|
| `.ply` | 3D Gaussian Splatting, exact | as they are |
| `.ply`, `.compressed.ply` | PlayCanvas, told by its header | as they are |
| `.splat` | antimatter15, 32 bytes each, no view dependence | as they are |
| `.spz` | Niantic, versions 1 to 4 | turned from y up to y down |
"""

import dataclasses
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from sr3d_jax.io import compressed_ply, ply, quantized, spz
from sr3d_jax.io.splats import load_splat
from sr3d_jax.types import Gaussians


def load(path: str | os.PathLike) -> Gaussians:
  """Reads splats, all of them finite.

  Where a file says that alpha is 0 or 1, which a PLY does by an infinite logit,
  it counts as half a step of 8 bits from there; see `quantized.logits`.

  Args:
    path: a file; its name, in capitals or not, tells the format.

  Returns:
    [N] with harmonics of degree 0 to 3.
  """
  kind = Path(path).suffix.lower()
  if kind not in READERS:
    raise ValueError(
      f'{path} has the ending {kind or "of nothing"}, splats are read from '
      f'{", ".join(READERS)}: rename the file or save it as one of these.'
    )
  if not os.path.getsize(path):
    raise ValueError(f'{path} is empty: write or fetch it again.')
  return _finite(path, READERS[kind](path))


def _load_ply(path: str | os.PathLike) -> Gaussians:
  """Reads a PLY, compressed or not."""
  elements = ply.read_elements(path)
  reader = compressed_ply if 'chunk' in elements else ply
  return reader.decode(path, elements)


READERS = {'.ply': _load_ply, '.splat': load_splat, '.spz': spz.load}


def _finite(path: str | os.PathLike, gaussians: Gaussians) -> Gaussians:
  """Makes infinite logits finite; raises on whatever else is not finite."""
  logits = jnp.nan_to_num(
    gaussians.opacity_logits,
    nan=jnp.nan,
    posinf=quantized.MAX_LOGIT,
    neginf=-quantized.MAX_LOGIT,
  )
  gaussians = dataclasses.replace(gaussians, opacity_logits=logits)
  broken = {}
  for field in dataclasses.fields(gaussians):
    values = np.asarray(getattr(gaussians, field.name))
    values = values.reshape(len(values), values[:1].size)
    broken[field.name] = ~np.isfinite(values).all(axis=1)
  is_broken = np.any(list(broken.values()), axis=0)
  if is_broken.any():
    names = [name for name, rows in broken.items() if rows.any()]
    raise ValueError(
      f'{path}: {is_broken.sum()} of {len(is_broken)} splats are not finite in '
      f'{", ".join(names)}, the first is number {is_broken.argmax()}: remove '
      'them where the file was made.'
    )
  return gaussians
