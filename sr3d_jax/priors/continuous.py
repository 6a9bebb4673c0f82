"""Networks that see a picture as a field of colour, so enlarge by any scale."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from sr3d_jax import fields
from sr3d_jax.backproject import back_project
from sr3d_jax.io import paths, pth
from sr3d_jax.io import weights as weight_files
from sr3d_jax.models import gaussian_sr, liif, lte
from sr3d_jax.models.blocks import check_scale
from sr3d_jax.types import FieldNetwork, Params, SRPrior, one_shot

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


def find(section: Mapping[str, Any]) -> FieldNetwork | None:
  """The network of a prior's section, where nothing but it makes the picture.

  None for other priors, and for one that looks at the whole result again.
  """
  if section['name'] != 'continuous' or section.get('back_projections'):
    return None
  network = section.get('network', 'gaussian_sr')
  return build(name=network, **(section.get('sizes') or {}))


def published(
  path: Path, network: str, init: Callable, *, section: str | None
) -> Params:
  """Reads a checkpoint that others trained.

  Where a network was published under several tables of names, the one is taken
  under which most of its parameters are in the file.

  Args:
    path: of a .pth file.
    network: one of `NETWORKS`.
    init: (key) -> params of the network that is to receive it.
    section: the entry of the file that holds the weights, or None.

  Returns:
    Parameters like those of `init`.
  """
  module = NETWORKS[network]
  checkpoint = pth.load(path, section=section)
  tables = (module.NAMES, getattr(module, 'OLD_NAMES', module.NAMES))
  ours = weight_files.flatten(jax.eval_shape(init, jax.random.key(0)))

  def num_known(names):
    return sum(
      weight_files.published_name(n, names) in checkpoint for n in ours
    )

  names = max(tables, key=num_known)
  try:
    return weight_files.convert(checkpoint, init, names)
  except ValueError as error:
    raise ValueError(
      f'{path} does not fit {network} of these sizes: {error}. Name the '
      'network and sizes that it was trained with; those of GaussianSR as '
      'published are gaussian_design.RELEASED'
    ) from error


def make(
  *,
  scale: float,
  network: str = 'gaussian_sr',
  weights: str | None,
  section: str | None = 'model.sd',
  sizes: Mapping[str, Any] | None = None,
  back_projections: int = 0,
) -> SRPrior:
  """Makes the prior.

  Args:
    scale: at least 1.
    network: one of `NETWORKS`.
    weights: an .npz file of `experiments.train_gaussian_sr`, or a published
      .pth file, absolute or below the data folder; 'shipped': the file that
      comes with this repository; None: untrained, for tests.
    section: the entry of a published file that holds the weights; None, where
      it does not wrap them.
    sizes: keywords of the network's `make`, {} where None. GaussianSR as
      published wants those of `gaussian_design.RELEASED`.
    back_projections: steps of `backproject` on each enlarged picture, so that
      it shrinks to the one it was made of; they take the picture whole.
  """
  check_scale(scale)
  if back_projections < 0:
    raise ValueError(
      f'back_projections must be at least 0, got {back_projections}: it is a '
      'number of steps'
    )
  net = build(name=network, **(sizes or {}))

  def init(key):
    if weights is None:
      return net.init(key)
    path = SHIPPED if weights == 'shipped' else paths.data_path(weights)
    if path.suffix == '.npz':
      return weight_files.restore(path, net.init)
    return published(path, network, net.init, section=section)

  def upsample(params, images):
    height, width = (round(scale * size) for size in images.shape[1:3])
    enlarged = [
      fields.enlarge(net, params, image, height, width, scale=scale)
      for image in images
    ]
    enlarged = back_project(
      jnp.stack(enlarged), images, num_steps=back_projections
    )
    return jnp.clip(enlarged, 0, 1)

  return one_shot(init, upsample, scale)
