"""The window of SSIM and its two stabilisers, for every backend."""

import numpy as np

RADIUS, SIGMA = 5, 1.5
C1, C2 = 0.01**2, 0.03**2

_OFFSETS = np.arange(-RADIUS, RADIUS + 1)
_WEIGHTS = np.exp(-0.5 * (_OFFSETS / SIGMA) ** 2)
TAPS = (_WEIGHTS / _WEIGHTS.sum()).astype(np.float32)  # [11], sum 1
