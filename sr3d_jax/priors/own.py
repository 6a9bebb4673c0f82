"""The small network that ships with this repository, so that a clone works.

See sr3d_jax/weights/README.md for how it was trained and what it scores. It
enlarges by 4; other scales are resized from that.
"""

from pathlib import Path

from sr3d_jax.io import paths
from sr3d_jax.io import weights as weight_files
from sr3d_jax.models import compact
from sr3d_jax.models.blocks import upsampler
from sr3d_jax.types import SRPrior, one_shot

SHIPPED = Path(__file__).parents[1] / 'weights' / 'own_x4.npz'
TINY = {'scale': 4.0}


def make(
  *,
  scale: float,
  weights: str | None = None,
  channels: int = 32,
  num_blocks: int = 6,
) -> SRPrior:
  """Makes the prior.

  Args:
    scale: at least 1.
    weights: an .npz file of `io.weights.save`, absolute or below the data
      folder; None takes the shipped one.
    channels: of the network that the file holds.
    num_blocks: likewise.
  """
  net = compact.make(channels=channels, num_blocks=num_blocks)

  def init(key):
    del key  # everything is in the file
    path = SHIPPED if weights is None else paths.data_path(weights)
    return weight_files.restore(path, net.init)

  return one_shot(init, upsampler(net.apply, scale), scale)
