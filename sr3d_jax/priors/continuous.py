"""Networks that see a picture as a field of colour, so enlarge by any scale."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from sr3d_jax import fields
from sr3d_jax.io import paths
from sr3d_jax.io import weights as weight_files
from sr3d_jax.models import gaussian_sr, liif, lte
from sr3d_jax.models.blocks import check_scale
from sr3d_jax.types import FieldNetwork, SRPrior, one_shot

NETWORKS = {'gaussian_sr': gaussian_sr, 'liif': liif, 'lte': lte}
SHIPPED = Path(__file__).parents[1] / 'weights' / 'gaussian_sr.npz'
TINY = {
  'scale': 4.0,
  'weights': None,
  'sizes': {
    'encoder': {'name': 'edsr', 'channels': 8, 'num_blocks': 1},
    'num_kernels': 4,
    'gaussian_channels': 4,
    'width': 8,
    'hidden': (8,),
  },
}


def build(*, name: str, **sizes: Any) -> FieldNetwork:
  """Makes one of `NETWORKS`; `sizes` are keywords of its own `make`."""
  if name not in NETWORKS:
    raise ValueError(
      f'unknown network {name!r}: choose from {", ".join(NETWORKS)}'
    )
  return NETWORKS[name].make(**sizes)


def make(
  *,
  scale: float,
  network: str = 'gaussian_sr',
  weights: str | None,
  sizes: Mapping[str, Any] | None = None,
) -> SRPrior:
  """Makes the prior.

  Args:
    scale: at least 1.
    network: one of `NETWORKS`.
    weights: an .npz file of `experiments.train_gaussian_sr`, or a published
      .pth file, absolute or below the data folder; 'shipped': the file that
      comes with this repository; None: untrained, for tests.
    sizes: keywords of the network's `make`; None: as published.
  """
  check_scale(scale)
  net = build(name=network, **(sizes or {}))

  def init(key):
    if weights is None:
      return net.init(key)
    path = SHIPPED if weights == 'shipped' else paths.data_path(weights)
    return weight_files.restore(path, net.init)

  def upsample(params, images):
    height, width = (round(scale * size) for size in images.shape[1:3])
    enlarged = [
      fields.enlarge(net, params, image, height, width, scale=scale)
      for image in images
    ]
    return jnp.clip(jnp.stack(enlarged), 0, 1)

  return one_shot(init, upsample, scale)
