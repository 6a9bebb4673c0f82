"""Asks a trained network what becomes of a picture's waves.

Whether an enlarged picture shows a pattern, such as the lattice that it was
made on, and what is left of fine detail. Returns plain figures by name.
"""

from collections.abc import Sequence

import numpy as np

from sr3d_jax import degrade, fields, metrics, spectra
from sr3d_jax.types import FieldNetwork, Params

FLAT = 8  # px of a constant picture, coarse, in which no border is felt
FAR = 28  # px from a border, coarse, where a network has no halo to say
SEAM = 7  # px between the seams of the released tiles, coarse


def patterns(
  network: FieldNetwork,
  params: Params,
  squares: Sequence[np.ndarray],
  *,
  scale: float = 4.0,
  cycles: Sequence[float] = (0.25, 0.5),
) -> dict[str, float]:
  """What enlarged pictures repeat that they should not, and lose of detail.

  Args:
    network: any.
    params: of the network.
    squares: of one size, more than 6.5 times the 7 coarse pixels between the
      seams of released tiles.
    scale: above 2, or the fine grid is too coarse to show the coarse one.
    cycles: of gratings, a coarse pixel; 1/2 is the finest that it holds.

  Returns:
    'ripple': (max - min) / mean of an enlarged constant picture; 'lattice' and
    'seams': how far the periods of a coarse pixel and of 7 of them stand out of
    the enlarged squares' spectra, by how far they do of the true ones', 1 where
    nothing is added; 'gain at ...': amplitude of an enlarged grating by the
    grating's; 'fine': energy of the enlarged squares beyond what coarse pixels
    hold, by that of the true ones.
  """
  check_patterns(min(min(x.shape[:2]) for x in squares), scale)
  pairs = degrade.frozen_pairs(squares, scale)
  true = [hr for _, hr in pairs]
  found = [
    fields.enlarge(network, params, lr, *hr.shape[:2], scale=scale)
    for lr, hr in pairs
  ]
  size = min(pairs[0][0].shape[:2])
  fine = [
    sum(spectra.fine_energy(x, scale) for x in pictures)
    for pictures in (found, true)
  ]
  return {
    'ripple': _ripple(network, params, scale),
    'lattice': spectra.rise(found, true, scale),
    'seams': spectra.rise(found, true, SEAM * scale),
    **{
      f'gain at {f:g}': _gain(network, params, size, f, scale) for f in cycles
    },
    'fine': fine[0] / fine[1],
  }


def check_patterns(size: int, scale: float) -> None:
  """Raises where squares of a size cannot show what `patterns` looks for."""
  if scale <= 2:
    raise ValueError(
      f'patterns want a scale above 2, got {scale:g}: a grid of fine pixels '
      'that coarse shows no wave of one coarse pixel'
    )
  # Of the squares, only what whole coarse pixels cover is enlarged.
  size = round(int(size / scale + 1e-6) * scale)
  for period in (SEAM * scale, scale):
    spectra.check_period(size, period)


def _ripple(network: FieldNetwork, params: Params, scale: float) -> float:
  """(max - min) / mean of an enlarged constant, far from its borders."""
  far = FAR if network.halo is None else network.halo
  size = FLAT + 2 * far
  flat, new = np.full((size, size, 3), 0.5, np.float32), round(size * scale)
  found = fields.enlarge(network, params, flat, new, new, scale=scale)
  found = np.asarray(metrics.crop(found, int(np.ceil(far * scale))))
  return float(np.max(np.ptp(found, axis=(0, 1)) / found.mean(axis=(0, 1))))


def _gain(
  network: FieldNetwork, params: Params, size: int, cycles: float, scale: float
) -> float:
  """Contrast of an enlarged grating, mean over columns and rows."""
  picture, new = spectra.grating(size, cycles), round(size * scale)
  gains = []
  for axes in ((0, 1, 2), (1, 0, 2)):
    found = fields.enlarge(
      network, params, picture.transpose(axes), new, new, scale=scale
    )
    gains.append(spectra.contrast(found.transpose(axes), cycles * size / new))
  return float(np.mean(gains))
