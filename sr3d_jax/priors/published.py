"""Published feed-forward networks, with the weights that others trained.

They enlarge by 4; at another scale the result is resized to the size asked for
(see `models.blocks.upsampler`), which below 4 loses nothing that shows and
above 4 is bicubic enlargement of what the network gave.
"""

from collections.abc import Mapping

from sr3d_jax.io import paths, pth
from sr3d_jax.io import weights as weight_files
from sr3d_jax.models import imdn, pan, rlfn
from sr3d_jax.models.blocks import upsampler
from sr3d_jax.types import SRPrior, one_shot

NETWORKS = {'imdn': imdn, 'pan': pan, 'rlfn': rlfn}
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
  sizes: Mapping[str, int] | None = None,
) -> SRPrior:
  """Makes the prior.

  Args:
    scale: at least 1.
    network: one of `NETWORKS`.
    weights: the published .pth file, absolute or below the data folder; None
      leaves the network untrained, for tests.
    sizes: keywords of the network's `make`; None: as published.
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
    checkpoint = pth.load(paths.data_path(weights))
    return weight_files.convert(checkpoint, net.init, module.NAMES)

  return one_shot(init, upsampler(net.apply, scale), scale)
