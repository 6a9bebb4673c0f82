"""The baseline: bicubic enlargement of each view, by any scale."""

import jax.numpy as jnp

from sr3d_jax import image
from sr3d_jax.models.blocks import check_scale
from sr3d_jax.types import SRPrior, one_shot

TINY = {'scale': 4.0}


def make(*, scale: float) -> SRPrior:
  """Makes the prior; it has nothing to learn."""
  check_scale(scale)
  return one_shot(
    init=lambda key: {},
    upsample=lambda params, images: jnp.clip(
      image.enlarge(images, scale), 0, 1
    ),
    scale=scale,
  )
