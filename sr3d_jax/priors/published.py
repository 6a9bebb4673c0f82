"""Published feed-forward networks, with the weights that others trained.

Each enlarges by one factor, mostly 4; at another scale its result is resized to
the size asked for (see `models.blocks.upsampler`), which below the factor loses
nothing that shows and above it is bicubic enlargement of what the network gave.
"""

from collections.abc import Mapping
from typing import Any

from sr3d_jax.io import paths, pth
from sr3d_jax.io import weights as weight_files
from sr3d_jax.models import edsr, imdn, pan, rlfn, rrdbnet, swinir
from sr3d_jax.models.blocks import upsampler
from sr3d_jax.types import SRPrior, one_shot

NETWORKS = {
  'edsr': edsr,
  'imdn': imdn,
  'pan': pan,
  'rlfn': rlfn,
  'rrdbnet': rrdbnet,
  'swinir': swinir,
}
TINY = {
  'scale': 4.0,
  'network': 'rlfn',
  'weights': None,
  'sizes': {
    'channels': 4,
    'middle_channels': 4,
    'attention_channels': 4,
    'num_blocks': 1,
  },
}


def make(
  *,
  scale: float,
  network: str = 'rlfn',
  weights: str | None,
  section: str | None = None,
  sizes: Mapping[str, Any] | None = None,
) -> SRPrior:
  """Makes the prior.

  Args:
    scale: at least 1.
    network: one of `NETWORKS`.
    weights: the published .pth file, absolute or below the data folder; None
      leaves the network untrained, for tests.
    section: the entry of that file that holds the weights, where it wraps them
      (often 'params' or 'params_ema').
    sizes: keywords of the network's `make`, among them its own factor where it
      has a choice; None: as published.
  """
  if network not in NETWORKS:
    raise ValueError(
      f'unknown network {network!r}: choose from {", ".join(NETWORKS)}'
    )
  module = NETWORKS[network]
  net = module.make(**(sizes or {}))

  def init(key):
    if weights is None:
      return net.init(key)
    checkpoint = pth.load(paths.data_path(weights), section=section)
    constants = getattr(module, 'CONSTANTS', ())
    return weight_files.convert(checkpoint, net.init, module.NAMES, constants)

  return one_shot(init, upsampler(net.apply, scale), scale)
